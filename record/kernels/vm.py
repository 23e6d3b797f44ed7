"""Boots a kernel in QEMU and collects what `init` wrote to the second serial port."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY_MIB = 1024
CPUS = 2  # one would hide what only happens between CPUs
CONSOLE_TAIL = 15  # lines
# QEMU's emulation, with a thread for each CPU, can let one CPU execute half of an instruction that another is patching
# (jump labels, static calls): the guest then panics, mostly while it boots. That tells nothing about the recorder.
BOOTS = 3


@dataclass
class Run:
    """What one kernel came to. Times in seconds of the host's clock; None: it never got there."""

    boot: float | None
    total: float
    report: dict | None
    error: str | None
    console: str

    @property
    def reached_init(self):
        return self.boot is not None


def run(name, *arguments):
    """Boots until `init` was reached, `BOOTS` times at most. Returns the last run and how many boots it took."""
    for attempt in range(1, BOOTS + 1):
        last = boot(*arguments)
        if last.reached_init or attempt == BOOTS:
            return last, attempt
        print(f"{last.console}\nboot {attempt} of {BOOTS} of {name}: {last.error}; booting it again", file=sys.stderr)


def boot(vmlinuz, initramfs, directory, limit, accel):
    """Runs until `init` switches the machine off; after `limit` seconds it is killed. Files go to `directory`."""
    console, output, image = (Path(directory) / name for name in ("console", "output", "initramfs"))
    image.write_bytes(initramfs)
    output.write_bytes(b"")
    command = [
        "qemu-system-x86_64", "-accel", accel, "-cpu", "max", "-smp", str(CPUS), "-m", str(MEMORY_MIB),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-serial", f"file:{console}", "-serial", f"file:{output}",
        "-kernel", str(vmlinuz), "-initrd", str(image), "-append", "console=ttyS0 panic=-1 quiet",
    ]  # fmt: skip
    begun = time.monotonic()
    booted = None
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as qemu:
        while qemu.poll() is None:
            elapsed = time.monotonic() - begun
            if booted is None and output.stat().st_size > 0:
                booted = elapsed
            if elapsed > limit:
                qemu.kill()
                break
            time.sleep(0.05)
        said = qemu.stdout.read().decode(errors="replace").strip()
    total = time.monotonic() - begun
    text = output.read_text(errors="replace")
    if booted is None and text:
        booted = total  # it came and went between two looks
    tail = "\n".join((console.read_text(errors="replace") if console.exists() else "").splitlines()[-CONSOLE_TAIL:])
    report, error = parse(text)
    if report is None and total > limit:
        error = f"killed after {limit} s: {error}"
    elif report is None and said:
        error = f"{error}; QEMU says: {said}"
    return Run(booted, total, report, error, tail)


def parse(text):
    """`booted`, `exit CODE`, the report, `and exit CODE`, that of `enforce`, `complete`, as init writes them.
    One of report and error is None."""
    if not text.startswith("booted\n"):
        return None, "the kernel did not boot as far as init"
    if not text.endswith("\ncomplete\n"):
        return None, "it did not finish"
    first, _, second = text.removeprefix("booted\n").removesuffix("complete\n").partition("\nand ")
    reports = []
    for program, said in [("record", first), ("enforce", second)]:
        status, _, report = said.partition("\n")
        try:
            reports.append(json.loads(report))
        except json.JSONDecodeError:
            return None, f"{program} selftest gave no report and ended with {status}"
    return merged(*reports), None


def merged(report, further):
    """Two selftests of one kernel as one report."""
    return report | {
        "ok": report["ok"] and further["ok"],
        "seconds": report["seconds"] + further["seconds"],
        "hooks": report["hooks"] | further["hooks"],
    } | {what: report[what] + further[what] for what in ("kinds", "cases", "accounting")}
