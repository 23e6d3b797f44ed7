"""Builds the initramfs of a test VM: busybox, `record` and `enforce` with their shared libraries, some modules, and `init`.

The format is "newc" cpio: https://www.kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html. It is not
compressed: an emulated CPU unpacks slower than it copies.
"""

import lzma
import re
import shutil
import stat
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class Archive:
    """A cpio archive in memory."""

    def __init__(self):
        self._parts = []
        self._names = set()

    def directory(self, name):
        if name not in self._names:
            parent = str(Path(name).parent)
            if parent != ".":
                self.directory(parent)
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, content, mode=0o755):
        self.directory(str(Path(name).parent))
        self._add(name, stat.S_IFREG | mode, content)

    def _add(self, name, mode, content):
        self._names.add(name)
        path = name.encode() + b"\0"
        # ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        fields = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._parts += [pad(header + path), pad(content)]

    def bytes(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def libraries(program):
    """Where the dynamic loader finds what `program` needs, and the loader itself, as ldd says."""
    lines = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines()
    found = [re.search(r"(/\S+) \(0x", line) for line in lines]
    return [match[1] for match in found if match]


def installed(library):
    """The file of a shared library of this host, as a list of one; empty if it has none of that name."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True).stdout
    found = re.search(rf"^\s*{re.escape(library)} \(.*x86-64.*=> (\S+)$", cache, re.MULTILINE)
    return [found[1]] if found else []


def modules(tree, wanted):
    """Files of the modules and of what they depend on, each after what it needs. Ones that are built in are left out."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in tree.glob("**/*.ko*")}
    ordered = {}

    def visit(name):
        path = files.get(name.replace("-", "_"))
        if path is None or path in ordered:
            return
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        # .modinfo is a run of NUL-terminated key=value strings.
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in depends[1].decode().split(",") if depends else []:
            visit(other)
        ordered[path] = content

    for name in wanted:
        visit(name)
    return {path.name.split(".")[0] + ".ko": content for path, content in ordered.items()}


def build(binaries, busybox, kernel_tree, wanted_modules, wanted_libraries, wanted_programs, arguments):
    archive = Archive()
    for directory in ("dev", "proc", "sys", "tmp", "run", "etc", "root", "modules"):
        archive.directory(directory)
    archive.file("init", (HERE / "init").read_bytes())
    archive.file("bin/busybox", Path(busybox).read_bytes())
    for binary in binaries:
        archive.file(f"bin/{Path(binary).name}", Path(binary).read_bytes())
    extra = [path for library in wanted_libraries for path in installed(library)]
    programs = [path for path in map(shutil.which, wanted_programs) if path]
    for program in programs:
        archive.file(f"bin/{Path(program).name}", Path(program).read_bytes())
    needed = [path for file in [*binaries, *extra, *programs] for path in libraries(file)]
    for library in dict.fromkeys(extra + needed):
        archive.file(library.lstrip("/"), Path(library).read_bytes())
    found = modules(kernel_tree, wanted_modules)
    for name, content in found.items():
        archive.file(f"modules/{name}", content)
    archive.file("modules/order", "".join(f"{name}\n" for name in found).encode())
    archive.file("arguments", " ".join(arguments).encode())
    return archive.bytes()
