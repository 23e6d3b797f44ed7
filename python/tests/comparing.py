"""What the tests of the package share: the program as people run it, and whether two of its results are the same."""

import json
import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("RETROSCOPE_BIN", ROOT / "target/debug"))
# All that a replay says of the machine and the moment it ran on.
VARYING = ("timings", "sinks")


def program(*args: object) -> None:
    """Run `replay` as people do."""
    subprocess.run([PROGRAMS / "replay", *map(str, args)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def same_files(test: unittest.TestCase, one: Path, other: Path) -> None:
    """Both directories hold the same bytes, but for what `run.json` says of the moment."""
    names = sorted(file.name for file in one.iterdir())
    test.assertEqual(names, sorted(file.name for file in other.iterdir()))
    test.assertIn("alerts.parquet", names)
    for name in names:
        if name == "run.json":
            runs = [json.loads((folder / name).read_text()) for folder in (one, other)]
            for run in runs:
                for key in VARYING:
                    run.pop(key)
            test.assertEqual(*runs)
        else:
            test.assertEqual((one / name).read_bytes(), (other / name).read_bytes(), name)
