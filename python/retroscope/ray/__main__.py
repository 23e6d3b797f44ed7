"""`python -m retroscope.ray`: replays and learning on a Ray cluster, from a shell."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

import retroscope.ray
from retroscope import Error

EXAMPLES = """\
examples:
  python -m retroscope.ray REC... --parts 4 -o OUT               on this machine
  python -m retroscope.ray REC... --address auto -o OUT          on the cluster that this machine is a node of
  python -m retroscope.ray LIFE... --learn-only -o profile.json  learn a profile
  python -m retroscope.ray REC --learn profile.json -o OUT       compare with it

Recordings must be there under the same path or address on every node. OUT gets what `replay` writes on a single machine."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m retroscope.ray",
        description="Replay recordings on a Ray cluster, or learn from them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recordings", nargs="+", metavar="REC", help="directory of a recording, or the name of one that ships")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory for the results; with --learn-only a file")
    parser.add_argument("--parts", type=int, metavar="N", help="how many tasks [default: the cluster's CPUs by --threads]")
    parser.add_argument("--address", help="a running cluster, 'auto' for this machine's [default: start Ray here, and end it]")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads, and so CPUs, of each task [default: 1]")
    parser.add_argument("--learn", metavar="BASELINE", help="a profile or a recording to compare with")
    parser.add_argument("--learn-only", action="store_true", help="learn a profile and replay nothing")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file over the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one value; may be repeated")
    options = parser.parse_args(argv)
    try:
        run(options)
    except Error as error:
        print(f"error: {error}", f"hint: {error.hint}", sep="\n", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    shared = {"parts": options.parts, "address": options.address, "threads": options.threads, "done": say}
    config = config_of(options)
    if options.learn_only:
        retroscope.ray.learn(options.recordings, config, **shared).save(options.output)
        print(options.output)
        return
    outcome = retroscope.ray.replay(options.recordings, options.learn, config, output=options.output, **shared)
    counts = outcome.run["counts"]
    print(f"{counts['events']} events, {sum(counts['alerts'].values())} alerts: {options.output / 'report.html'}")


def say(index: int, parts: int, node: str) -> None:
    print(f"part {index} of {parts} done on node {node[:8]}", file=sys.stderr)


def config_of(options: argparse.Namespace) -> dict:
    """The file's values, and those of --set over them."""
    values = dict(retroscope.ray._config(options.config) or {})
    for one in options.set:
        key, separator, text = one.partition("=")
        if not separator:
            raise retroscope.ConfigError(f"--set {one}: no '='", "write it as --set convergence.window=30")
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        values[key.strip()] = value
    return values


if __name__ == "__main__":
    sys.exit(main())
