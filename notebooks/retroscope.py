"""What the notebooks share: the recordings that ship, and a replay of one."""

import os
import shutil
import subprocess
from pathlib import Path

import polars as pl

# The project's root, from wherever the notebook runs.
ROOT = next(d for d in [Path.cwd(), *Path.cwd().parents] if (d / "datasets/recordings").is_dir())
# Where replays are kept.
OUT = Path(os.environ.get("RETROSCOPE_OUT", ROOT / "out/notebooks"))
CLASSES = ["process", "file", "network"]
COMMON = ["ts", "cpu", "seq", "op", "container", "pid", "exec_id"]


def recording(name):
    """The folder of a recording that ships."""
    return ROOT / "datasets/recordings" / name


def program(name):
    """A program of the project: $RETROSCOPE_BIN, else what was built last, else on PATH."""
    built = [ROOT / "target" / profile / name for profile in ("release", "debug")]
    built = sorted((path for path in built if path.is_file()), key=lambda path: -path.stat().st_mtime)
    own = [Path(os.environ["RETROSCOPE_BIN"]) / name] if "RETROSCOPE_BIN" in os.environ else []
    found = next(iter([*own, *built]), None) or shutil.which(name)
    if found is None:
        raise SystemExit(f"error: {name} is not built\nhint: cargo build --release -p {name}")
    return found


def replay(name, *args):
    """Replays a recording that ships with these arguments; the alerts, one row each."""
    label = "-".join([name, *(arg.strip("-") for arg in args)]).replace("/", "_")
    out = OUT / label
    command = [program("replay"), recording(name), *args, "-o", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return pl.read_parquet(out / "alerts.parquet")


def labels(name):
    """Ground truth, one row for each event of the attack; empty where a recording shows none."""
    path = recording(name) / "labels.parquet"
    if path.exists():
        rows = pl.read_parquet(path)
        # Recordings of before had no such column, and nothing ambiguous.
        return rows.filter(~pl.col("ambiguous")) if "ambiguous" in rows.columns else rows
    return pl.DataFrame(schema={"class": pl.String, "cpu": pl.UInt16, "seq": pl.UInt64, "act": pl.String})


def judged(name, *args):
    """The alerts of a replay with `true`: whether their evidence has an event of the attack."""
    alerts = replay(name, *args)
    evidence = alerts.select("id", "evidence").explode("evidence").unnest("evidence")
    hits = evidence.join(labels(name), on=["class", "cpu", "seq"]).select("id").unique()
    return alerts.with_columns(true=pl.col("id").is_in(hits["id"].to_list()), recording=pl.lit(name))
