"""Gets a kernel package through apt, from the host's own mirror, without touching the host's apt state.

A package in the cache is used as long as its SHA-256 is the pinned one; apt is asked only when it is not there.
"""

import functools
import hashlib
import os
import subprocess
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# For hosts whose own apt sources are not Debian's.
MIRROR_VARIABLES = {"Debian": "RETROSCOPE_DEBIAN_MIRROR", "Debian-Security": "RETROSCOPE_DEBIAN_SECURITY_MIRROR"}


class Missing(Exception):
    """Something that has to be there is not. `hint`: the way out."""

    exit_code = 3

    def __init__(self, what, hint):
        super().__init__(what)
        self.hint = hint


class Tampered(Missing):
    """A package is there, and is not the pinned one."""

    exit_code = 1


def kernel_package(kernel, cache):
    """The .deb of a kernel of kernels.toml, and a note if it is another version than the pinned one."""
    cached = cache / f"{kernel['package']}_{kernel['version'].replace(':', '%3a')}_amd64.deb"
    if cached.exists() and sha256(cached) == kernel["sha256"]:
        return cached, None
    apt = Apt(cache)
    if kernel["version"] in apt.versions(kernel["package"]):
        path = apt.download(kernel["package"], kernel["version"])
        found = sha256(path)
        if found != kernel["sha256"]:
            path.unlink()
            raise Tampered(
                f"{path.name} has SHA-256 {found} instead of the pinned {kernel['sha256']}",
                "the archive never changes a version: find out who did, before anything is booted",
            )
        return path, None
    package, version = apt.newest(kernel["series"], kernel["suites"])
    path = apt.download(package, version)
    return path, f"{kernel['version']} has left the archive: {package} {version} stands in for it"


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Apt:
    """apt with a state, a cache and sources of its own. Keys, proxies and credentials are the host's."""

    _fresh = set()

    def __init__(self, cache):
        self._cache = cache
        state = cache / "apt"
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (state / directory).mkdir(parents=True, exist_ok=True)
        self._sources = state / "sources.list"
        self._options = [
            f"-oDir::State={state / 'state'}",
            f"-oDir::Cache={state / 'cache'}",
            f"-oDir::Etc::SourceList={self._sources}",
            "-oDir::Etc::SourceParts=/dev/null",
            "-oDir::State::status=/dev/null",
            "-oAPT::Architecture=amd64",
            "-oAPT::Sandbox::User=root",  # the cache need not be readable by _apt
            "-oAcquire::Languages=none",
            "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ]
        if cache not in Apt._fresh:
            self._sources.write_text(sources())
            self._run("apt-get", "-qq", "update")
            Apt._fresh.add(cache)

    def _run(self, program, *arguments):
        command = [program, *self._options, *arguments]
        done = subprocess.run(command, cwd=self._cache, capture_output=True, text=True)
        if done.returncode != 0:
            message = done.stderr.strip().splitlines() or ["it said nothing"]
            raise Missing(f"{program} {' '.join(arguments)}: {message[-1]}", "is the mirror of this host's apt reachable?")
        return done.stdout

    def versions(self, package):
        """Version → suite, of every source that has the package."""
        # package | version | uri suite/component arch Packages
        rows = [line.split("|") for line in self._run("apt-cache", "madison", package).splitlines()]
        return {row[1].strip(): row[2].split()[1].split("/")[0] for row in rows}

    def newest(self, series, suites):
        """Package and version of the newest cloud kernel of a series."""
        names = self._run("apt-cache", "pkgnames", series).split()
        found = [
            (package, version)
            for package in names
            if package.endswith("-cloud-amd64")
            for version, suite in self.versions(package).items()
            if suite in suites
        ]
        if not found:
            raise Missing(f"no {series}*-cloud-amd64 in {', '.join(suites)}", "take a series that Debian still has")
        return max(found, key=functools.cmp_to_key(lambda a, b: compare_versions(a[1], b[1])))

    def download(self, package, version):
        """apt checks the file against its signed index."""
        before = set(self._cache.glob("*.deb"))
        self._run("apt-get", "-qq", "download", f"{package}={version}")
        name = f"{package}_{version.replace(':', '%3a')}_amd64.deb"
        path = self._cache / name
        if not path.exists():
            new = set(self._cache.glob("*.deb")) - before
            raise Missing(f"apt downloaded {[p.name for p in new]}, not {name}", "this is a mistake in record/kernels")
        return path


def compare_versions(a, b):
    older = subprocess.run(["dpkg", "--compare-versions", a, "lt", b]).returncode == 0
    return -1 if older else int(a != b)


def sources():
    """Sources of every suite of the matrix, at the URIs from which this host gets Debian."""
    mirrors = {label: os.environ.get(variable) for label, variable in MIRROR_VARIABLES.items()}
    query = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
    for line in subprocess.run(query, capture_output=True, text=True).stdout.splitlines():
        label, uri = line.split("|", 1)
        mirrors[label] = mirrors.get(label) or uri
    for label, variable in MIRROR_VARIABLES.items():
        if not mirrors.get(label):
            raise Missing(
                f"no apt source of this host is labelled {label}",
                f"the kernels are Debian's: give the URI of a mirror in {variable}, or run apt-get update if this is Debian",
            )
    if not Path(KEYRING).exists():
        raise Missing(f"{KEYRING} is not there", "apt-get install debian-archive-keyring")
    plain, security = mirrors["Debian"], mirrors["Debian-Security"]
    suites = [
        (plain, "bullseye"), (security, "bullseye-security"),
        (plain, "bookworm"), (security, "bookworm-security"), (plain, "bookworm-backports"),
    ]  # fmt: skip
    return "".join(f"deb [signed-by={KEYRING}] {uri} {suite} main\n" for uri, suite in suites)
