#!/usr/bin/env python3
"""Records the scenarios, one run after another, and writes down what was made.

`./dev datasets` builds what is needed and calls this. It can be stopped and started again: what is there, whole, and of the same
definition is kept. Needs root, BTF and podman. Only the standard library is used.

    make.py                     each scenario once, into datasets/recordings
    make.py --full              each scenario with every seed of splits.toml, into datasets/full
    make.py --only webapp xmrig --dry-run
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPLITS = ("train", "validation", "test")
# Around a run: containers that start and end, labels, verification; s. From the runs of the shipped recordings.
AROUND = 45
# Bytes of a recording per second of a run, until some have been made here: those of the shipped webapp and xmrig.
BYTES_PER_S = 2_800


def plan(scenarios, splits, full):
    """A list of runs: name of the folder, scenario, seed, split."""
    runs = []
    for scenario in scenarios:
        name = scenario["name"]
        unseen = name in splits.get("unseen", [])
        if not full:
            # What is benign is there to learn from, attacks are there to be found.
            split = "train" if scenario["benign"] and not unseen else "test"
            runs.append((name, scenario, splits[split]["seeds"][0], split))
            continue
        for split in SPLITS:
            if unseen and split != "test":
                continue
            for seed in splits[split]["seeds"]:
                runs.append((f"{name}-{seed}", scenario, seed, split))
    return runs


def is_made(folder, scenario, seed):
    """Whether the run is there: complete, of that seed, and of the scenario as it is now."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    shown = manifest.get("scenario") or {}
    wanted = (scenario["name"], seed, scenario["definition"])
    return manifest.get("state") == "complete" and (shown.get("name"), shown.get("seed"), shown.get("definition")) == wanted


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def sums(into, names):
    """The text of SHA256SUMS, as sha256sum -c reads it."""
    lines = []
    for name in sorted(names):
        for file in sorted(path for path in (into / name).rglob("*") if path.is_file()):
            lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(into)}\n")
    return "".join(lines)


def readme(binaries, name, scenario, seed, folder):
    def output(*arguments):
        return subprocess.run([binaries / "datasets", *arguments], check=True, capture_output=True, text=True).stdout

    info = "".join(output("info", str(folder)).splitlines(keepends=True)[1:])
    return (
        f"# {name}\n\nRecorded by `record --scenario {scenario} --seed {seed}` ([scenario](../../../scenarios/{scenario}/README.md))"
        f" from real containers, and made\nanew by `./dev datasets --only {scenario}`. It holds the scenario's own containers and"
        f" nothing else of the machine.\n\n## What is in it\n\n```text\n{info}```\n\n"
        f"## Process tree\n\n```text\n{output('tree', str(folder))}```\n"
    )


def record(binaries, into, name, scenario, seed, shipped):
    """Makes one recording; what was there before stays until the new one is whole."""
    part = into / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    command = [binaries / "record", "--scenario", scenario, "--seed", str(seed), "--quiet", "-o", part]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([binaries / "datasets", "verify", part], check=True, stdout=subprocess.DEVNULL)
    if shipped:
        (part / "README.md").write_text(readme(binaries, name, scenario, seed, part))
        # The recorder's files are for their owner only; these are for everybody.
        for path in [part, *part.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(into / name, ignore_errors=True)
    part.rename(into / name)


def clock(seconds):
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def main():
    parser = argparse.ArgumentParser(description="Record the scenarios; can be stopped and started again.")
    parser.add_argument("--full", action="store_true", help="every seed of every split, not each scenario once")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these scenarios")
    parser.add_argument("--into", type=Path, help="folder to write to [datasets/recordings; with --full datasets/full]")
    parser.add_argument("--binaries", type=Path, default=HERE.parent / "target/release", help="where record is")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, how long it takes, and end")
    options = parser.parse_args()
    into = options.into or HERE / ("full" if options.full else "recordings")

    listed = subprocess.run([options.binaries / "scenarios", "list", "--format", "json"], check=True, capture_output=True)
    scenarios = json.loads(listed.stdout)
    if options.only:
        unknown = set(options.only) - {scenario["name"] for scenario in scenarios}
        if unknown:
            sys.exit(f"error: no scenario called {', '.join(sorted(unknown))}")
        scenarios = [scenario for scenario in scenarios if scenario["name"] in options.only]
    runs = plan(scenarios, tomllib.loads((HERE / "splits.toml").read_text()), options.full)
    made = [run for run in runs if is_made(into / run[0], run[1], run[2])]
    todo = [run for run in runs if run not in made]
    seconds = sum(scenario["duration_s"] for _, scenario, _, _ in made)
    rate = sum(size(into / name) for name, *_ in made) / seconds if seconds else BYTES_PER_S
    left = sum(scenario["duration_s"] + AROUND for _, scenario, _, _ in todo)
    bytes_left = sum(scenario["duration_s"] for _, scenario, _, _ in todo) * rate
    print(f"{len(runs)} runs: {len(made)} are there, {len(todo)} to make, about {clock(left)} and {bytes_left / 1e6:.0f} MB")
    if options.dry_run:
        for name, scenario, seed, split in todo:
            print(f"  {name:32} {split:10} seed {seed:<3} {scenario['duration_s']} s")
        return
    if os.geteuid() != 0:
        sys.exit("error: recording needs root\nhint: run it with sudo")

    into.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, (name, scenario, seed, split) in enumerate(todo, 1):
        print(f"[{number}/{len(todo)}] {name} ({split}, seed {seed}), {clock(left)} left", flush=True)
        begin = time.monotonic()
        try:
            record(options.binaries, into, name, scenario["name"], seed, not options.full)
            print(f"    {size(into / name) / 1e6:.2f} MB in {time.monotonic() - begin:.0f} s", flush=True)
        except (OSError, subprocess.CalledProcessError) as error:
            failed.append(name)
            print(f"    failed: {error}", flush=True)
        left -= scenario["duration_s"] + AROUND
    done = [name for name, scenario, seed, _ in runs if is_made(into / name, scenario, seed)]
    present = [path.name for path in into.iterdir() if (path / "manifest.json").is_file() and not path.name.startswith(".")]
    (into / "SHA256SUMS").write_text(sums(into, present))
    total = sum(size(into / name) for name in present)
    print(f"{len(done)} of {len(runs)} runs are there; {total / 1e6:.1f} MB in {into}; SHA256SUMS written")
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
