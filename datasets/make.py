#!/usr/bin/env python3
"""Records the scenarios, and writes down what was made.

`./dev datasets` builds what is needed and calls this. It can be stopped and started again: what is there, whole, and of the same
definition is kept. Needs root, BTF and podman. Only the standard library is used.

    make.py                     the reduced set, each scenario at least once, into datasets/recordings
    make.py --full              each scenario with every seed of splits.toml, into datasets/full
    make.py --only webapp xmrig --dry-run
"""

import argparse
import getpass
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPLITS = ("train", "validation", "test")
# Recorded first: what is learned from and what is reported on. Runs of two splits are never made at the same time.
ORDER = ("train", "test", "validation")
# Of the reduced set. The lives that the attacks happen in are learned from twice: a profile is worth what it was learned from.
BASES = ("webapp", "node-agent", "ssh-fleet")
# Attacks on services that no life has: their ordinary life is recorded without the attack, to learn from.
OWN_LIFE = ("crash-then-shell", "package-postinst", "sql-injection", "web-shell")
OWN_LIFE_S = 120
# Ordinary life is cut to so many seconds.
LIFE_S = {"train": 150, "validation": 100, "test": 100}
BEFORE_ATTACK_S = 60
# Around a run: containers that start and end, labels, verification; s.
AROUND = 30
# Bytes of a recording per second of a run, until some have been made here: those of the shipped webapp and xmrig.
BYTES_PER_S = 2_800
# A run in which something failed or was lost is made again, once.
TRIES = 2


@dataclass(frozen=True)
class Run:
    scenario: dict
    seed: int
    split: str
    # Seconds of ordinary life, where they are not the scenario's own.
    benign: int | None = None
    attack: bool = True

    @property
    def name(self):
        """Of its folder."""
        life = "" if self.attack else "-life"
        return f"{self.scenario['name']}{life}-{self.seed}"

    @property
    def seconds(self):
        """How long it takes at least."""
        benign = self.scenario["benign_s"]
        whole = self.scenario["duration_s"] if self.attack else benign
        return whole - benign + (benign if self.benign is None else self.benign)

    def __hash__(self):
        return hash(self.name)


def plan(scenarios, splits, full):
    """The runs of the set."""
    seeds = {split: splits[split]["seeds"] for split in SPLITS}
    runs = []
    for scenario in scenarios:
        wanted = ("test",) if scenario["name"] in splits.get("unseen", []) else SPLITS
        if full:
            runs += [Run(scenario, seed, split) for split in wanted for seed in seeds[split]]
        else:
            runs += reduced(scenario, seeds, wanted)
    return runs


def reduced(scenario, seeds, splits):
    """A scenario's runs in the reduced set: lives are learned from, attacks are there to be found."""
    name, own = scenario["name"], scenario["benign_s"]
    cut = lambda most: most if most < own else None
    if not scenario["benign"]:
        runs = [Run(scenario, seeds["test"][0], "test", cut(BEFORE_ATTACK_S))]
        if name in OWN_LIFE and "train" in splits:
            runs.append(Run(scenario, seeds["train"][0], "train", OWN_LIFE_S, attack=False))
        return runs
    times = {"train": 2 if name in BASES else 1}
    return [Run(scenario, seed, split, cut(LIFE_S[split])) for split in splits for seed in seeds[split][: times.get(split, 1)]]


def manifest_of(folder):
    try:
        return json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return {}


def is_made(folder, run):
    """Whether the run is there: complete, of that seed and length, and of the scenario as it is now."""
    manifest = manifest_of(folder)
    shown = manifest.get("scenario") or {}
    found = (shown.get("name"), shown.get("seed"), shown.get("definition"), shown.get("benign_s"), bool(shown.get("steps")))
    scenario = run.scenario
    benign = scenario["benign_s"] if run.benign is None else run.benign
    attacked = run.attack and not scenario["benign"]
    wanted = (scenario["name"], run.seed, scenario["definition"], benign, attacked)
    return manifest.get("state") == "complete" and found == wanted


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def recordings(into):
    """Names of the recordings in a folder."""
    found = (path for path in into.iterdir() if (path / "manifest.json").is_file() and not path.name.startswith("."))
    return sorted(path.name for path in found)


def sums(into, names):
    """The text of SHA256SUMS, as sha256sum -c reads it."""
    lines = []
    for name in sorted(names):
        for file in sorted(path for path in (into / name).rglob("*") if path.is_file()):
            lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(into)}\n")
    return "".join(lines)


def lost(manifest):
    """Events that a recording should have and has not."""
    accounts = [account for cpu in manifest["accounting"]["cpus"] for account in cpu["classes"].values()]
    return sum(sum(account["dropped"].values()) + account["sampled_out"] for account in accounts)


def strangers(containers, scenario):
    """Containers that are none of the scenario's own."""
    services = "|".join(re.escape(service) for service in scenario["services"])
    own = re.compile(rf"retroscope-{re.escape(scenario['name'])}-({services})(-\d+)?")
    return [container["name"] or container["id"] for container in containers if not own.fullmatch(container["name"] or "")]


def words_of_this_machine():
    """What would tell where a recording was made, and must not be in it."""
    words = {platform.node(), str(HERE.parent), str(Path.cwd())}
    home, user = Path.home(), getpass.getuser()
    # Containers have a root of their own.
    words |= {str(home), user} - {"/root", "root", "/"}
    try:
        words.add(Path("/etc/machine-id").read_text().strip())
    except OSError:
        pass
    return sorted(word for word in words if len(word) > 1)


class Maker:
    """Makes recordings, several at a time."""

    def __init__(self, binaries, into):
        self.binaries, self.into = binaries, into
        self.words = words_of_this_machine()
        self.stopped = False
        self.children = set()
        self.turn = threading.Condition()

    def run(self, program, *arguments):
        """Its stdout. Raises RuntimeError with what it said last."""
        command = [str(self.binaries / program), *map(str, arguments)]
        # Out of the terminal's reach: Ctrl-C comes through stop(), once.
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with self.turn:
            if self.stopped:
                raise RuntimeError("interrupted")
            child = subprocess.Popen(command, start_new_session=True, **pipes)
            self.children.add(child)
        try:
            out, said = child.communicate()
        finally:
            with self.turn:
                self.children.discard(child)
        if self.stopped:
            raise RuntimeError("interrupted")
        if child.returncode:
            last = " ".join((said or out).splitlines()[-3:])
            raise RuntimeError(f"{program} {arguments[0]}: exit {child.returncode}: {last}")
        return out

    def stop(self):
        """Ends what runs; containers are removed by those who made them."""
        with self.turn:
            self.stopped = True
            for child in self.children:
                child.send_signal(signal.SIGINT)

    def make(self, run):
        """Makes one recording; what was there before stays until the new one is whole. Returns the number of lost events."""
        part = self.into / f".{run.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        # One segment of a class: each costs some kilobytes.
        options = ["--scenario", run.scenario["name"], "--seed", run.seed, "--segment-time", "1h", "--quiet", "-o", part]
        options += [] if run.benign is None else ["--benign", run.benign]
        options += [] if run.attack else ["--no-attack"]
        self.run("record", *options)
        self.run("datasets", "verify", part)
        foreign = strangers(json.loads(self.run("datasets", "info", part, "--format", "json"))["containers"], run.scenario)
        if foreign:
            raise RuntimeError(f"other containers are in it: {', '.join(foreign)}")
        self.run("datasets", "absent", part, *self.words)
        # The recorder's files are for their owner only; these are for everybody.
        for path in [part, *part.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.rmtree(self.into / run.name, ignore_errors=True)
        part.rename(self.into / run.name)
        return lost(manifest_of(self.into / run.name))

    def card(self, name):
        folder = self.into / name
        self.run("eval", "card", folder, "-o", folder)

    def attempts(self, run):
        """None if the recording was made, else why not."""
        for attempt in range(1, TRIES + 1):
            begin = time.monotonic()
            try:
                missing = self.make(run)
            except (OSError, RuntimeError, KeyError, ValueError) as error:
                if self.stopped or attempt == TRIES:
                    return str(error)
                say(f"    {run.name}: {error}; once more")
                continue
            if missing and attempt < TRIES and not self.stopped:
                say(f"    {run.name}: {missing} events were lost; once more")
                continue
            gap = f", {missing} events lost" if missing else ""
            say(f"    {run.name}: {size(self.into / run.name) / 1e6:.2f} MB in {time.monotonic() - begin:.0f} s{gap}")
            return None


def in_turns(runs, jobs, work, turn, stopped):
    """Calls work(run) for each of one split, `jobs` at a time, the longest first; never two runs of one scenario at once."""
    waiting = sorted(runs, key=lambda run: -run.seconds)
    busy = set()

    def worker():
        while True:
            with turn:
                ready = None
                while waiting and not stopped():
                    ready = next((run for run in waiting if run.scenario["name"] not in busy), None)
                    if ready:
                        break
                    turn.wait(1)
                if ready is None or stopped():
                    return
                waiting.remove(ready)
                busy.add(ready.scenario["name"])
            try:
                work(ready)
            finally:
                with turn:
                    busy.discard(ready.scenario["name"])
                    turn.notify_all()

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1)


def say(line):
    print(line, flush=True)


def clock(seconds):
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


class Progress:
    """How far it is, and how long it takes yet: by the scenarios' own lengths, corrected by how long runs have taken."""

    def __init__(self, runs, jobs):
        self.number, self.of, self.jobs = 0, len(runs), jobs
        self.begin, self.begun, self.whole = time.monotonic(), 0, sum(run.seconds + AROUND for run in runs)

    def next(self, run):
        self.number += 1
        passed = time.monotonic() - self.begin
        # The first runs say nothing of the pace yet.
        pace = self.begun / passed if self.number > 2 * self.jobs else self.jobs
        left = (self.whole - self.begun) / pace
        self.begun += run.seconds + AROUND
        say(f"[{self.number}/{self.of}] {run.name} ({run.split}), {clock(left)} left")


def main():
    parser = argparse.ArgumentParser(description="Record the scenarios; can be stopped and started again.")
    parser.add_argument("--full", action="store_true", help="every seed of every split, each in its own length")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these scenarios")
    parser.add_argument("--split", choices=SPLITS, help="runs of this split")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many runs at a time [2]")
    parser.add_argument("--into", type=Path, help="folder to write to [datasets/recordings; with --full datasets/full]")
    parser.add_argument("--binaries", type=Path, default=HERE.parent / "target/release", help="where record is")
    parser.add_argument("--cards", action="store_true", help="write every data card anew")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, how long it takes, and end")
    options = parser.parse_args()
    into = (options.into or HERE / ("full" if options.full else "recordings")).absolute()
    binaries = options.binaries.absolute()

    listed = subprocess.run([binaries / "scenarios", "list", "--format", "json"], check=True, capture_output=True)
    scenarios = json.loads(listed.stdout)
    if options.only:
        unknown = set(options.only) - {scenario["name"] for scenario in scenarios}
        if unknown:
            sys.exit(f"error: no scenario called {', '.join(sorted(unknown))}")
        scenarios = [scenario for scenario in scenarios if scenario["name"] in options.only]
    runs = plan(scenarios, tomllib.loads((HERE / "splits.toml").read_text()), options.full)
    runs = [run for run in runs if options.split in (None, run.split)]
    made = [run for run in runs if is_made(into / run.name, run)]
    todo = [run for run in runs if run not in made]
    seconds = sum(run.seconds for run in made)
    rate = sum(size(into / run.name) for run in made) / seconds if seconds else BYTES_PER_S
    left = sum(run.seconds + AROUND for run in todo) / options.jobs
    bytes_left = sum(run.seconds for run in todo) * rate
    say(f"{len(runs)} runs: {len(made)} are there, {len(todo)} to make, about {clock(left)} and {bytes_left / 1e6:.0f} MB")
    if options.dry_run:
        for run in todo:
            say(f"  {run.name:32} {run.split:10} {run.seconds} s")
        return
    if todo and os.geteuid() != 0:
        sys.exit("error: recording needs root\nhint: run it with sudo")
    # In the background of a shell interrupts are ignored, and what asks it to end would be too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)

    into.mkdir(parents=True, exist_ok=True)
    maker = Maker(binaries, into)
    failed = {}
    try:
        if todo:
            # Before anything runs at the same time: two runs may need the same image.
            maker.run("scenarios", "build", *sorted({run.scenario["name"] for run in todo}))
        progress = Progress(todo, options.jobs)

        def work(run):
            with maker.turn:
                progress.next(run)
            reason = maker.attempts(run)
            if reason:
                failed[run.name] = reason
                say(f"    {run.name}: failed: {reason}")

        for split in ORDER:
            in_turns([run for run in todo if run.split == split], options.jobs, work, maker.turn, lambda: maker.stopped)
        for name in recordings(into):
            if options.cards or not (into / name / "card.md").is_file():
                try:
                    maker.card(name)
                except (OSError, RuntimeError) as error:
                    failed[f"the card of {name}"] = error
                    say(f"    the card of {name}: failed: {error}")
    except KeyboardInterrupt:
        say("interrupted: ending what runs")
        maker.stop()
        while maker.children:
            time.sleep(0.1)
        sys.exit(130)
    (into / "SHA256SUMS").write_text(sums(into, recordings(into)))
    done = [run for run in runs if is_made(into / run.name, run)]
    total = sum(size(into / name) for name in recordings(into))
    say(f"{len(done)} of {len(runs)} runs are there; {total / 1e6:.1f} MB in {into}; SHA256SUMS written")
    if failed:
        sys.exit(f"error: failed: {', '.join(sorted(failed))}")


if __name__ == "__main__":
    main()
