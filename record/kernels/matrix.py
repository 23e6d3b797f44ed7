"""The kernel matrix: `record selftest` and `enforce selftest` on pinned kernels in VMs and on the running one, as one table.

Run by ./dev kernels. Exit codes: 0 every event kind is right on every kernel, 1 one is not, 2 bad usage, 3 something missing.
"""

import argparse
import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import fetch
import initramfs
import table
import vm

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOST = "host"


def main():
    config = tomllib.loads((HERE / "kernels.toml").read_text())
    known = {kernel["name"]: kernel for kernel in config["kernel"]}
    arguments = parse_arguments([*known, HOST])
    cache = ROOT / ".cache" / "kernels"
    cache.mkdir(parents=True, exist_ok=True)
    results = []
    with (cache / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="retroscope-kernels-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one run at a time uses apt's state
        for name in arguments.kernels or [*known, HOST]:
            print(f"==> {name}", file=sys.stderr)
            if name == HOST:
                result = on_host(arguments)
            else:
                result = in_vm(known[name], config, cache, Path(scratch), arguments)
            results.append({"name": name} | result)
            if result["console"]:
                print(result["console"], file=sys.stderr)
    ok = all(result["report"] and result["report"]["ok"] for result in results)
    if arguments.format == "json":
        print(json.dumps({"ok": ok, "kernels": results}, indent=2))
    else:
        print(table.matrix(results))
    return 0 if ok else 1


def parse_arguments(names):
    parser = argparse.ArgumentParser(prog="./dev kernels", description="Run record selftest on several kernels.")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(names)}; all of them if none is given")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.add_argument("--events", metavar="CLASS,...", help="as in record selftest")
    parser.add_argument("--record", type=Path, default=ROOT / "target/debug/record", help="the binary to test")
    parser.add_argument("--enforce", type=Path, default=ROOT / "target/debug/enforce", help="likewise")
    parser.add_argument("--limit", type=int, default=300, metavar="SECONDS", help="when a VM that hangs is killed (300)")
    parser.add_argument("--accel", default="tcg,thread=multi", help="QEMU's accelerator (tcg,thread=multi)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.kernels if name not in names]
    if unknown:
        parser.error(f"unknown kernel {unknown[0]}: known are {', '.join(names)}")
    return arguments


def selftest_arguments(arguments):
    return ["--events", arguments.events] if arguments.events else []


def in_vm(kernel, config, cache, scratch, arguments):
    package, note = fetch.kernel_package(kernel, cache)
    # Unpacked anew each time, so that what boots is what was hashed.
    tree = scratch / kernel["name"]
    subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
    (vmlinuz,) = tree.glob("boot/vmlinuz-*")
    wanted = config["modules"], config["libraries"], config["programs"], selftest_arguments(arguments)
    binaries = arguments.record, arguments.enforce
    image = initramfs.build(binaries, shutil.which("busybox"), tree, *wanted)
    run, boots = vm.run(kernel["name"], vmlinuz, image, scratch, arguments.limit, arguments.accel)
    if boots > 1:
        note = "; ".join(filter(None, [note, f"it took {boots} boots to reach init"]))
    # What the console said is of interest where something went wrong.
    right = run.report is not None and run.report["ok"]
    return {
        "note": note, "boot_seconds": run.boot, "total_seconds": run.total, "report": run.report, "error": run.error,
        "console": "" if right else run.console,
    }  # fmt: skip


def on_host(arguments):
    begun = time.monotonic()
    report, error = None, None
    for command in [
        [arguments.record, "selftest", "--format", "json", *selftest_arguments(arguments)],
        [arguments.enforce, "selftest", "--format", "json"],
    ]:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        try:
            found = json.loads(done.stdout)
            report = vm.merged(report, found) if report else found
        except json.JSONDecodeError:
            report, error = None, done.stderr.strip() or f"{command[0].name} selftest ended with {done.returncode}"
            break
    total = time.monotonic() - begun
    return {
        "note": None, "boot_seconds": None, "total_seconds": total, "console": "", "report": report, "error": error,
    }  # fmt: skip


if __name__ == "__main__":
    try:
        sys.exit(main())
    except fetch.Missing as missing:
        print(f"error: {missing}\nhint: {missing.hint}", file=sys.stderr)
        sys.exit(missing.exit_code)
