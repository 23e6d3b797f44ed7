"""What the notebooks share: ground truth, and replays whose alerts are compared with it."""

import os
from pathlib import Path

import polars as pl
import retroscope

# The project's root, from wherever the notebook runs.
ROOT = next(d for d in [Path.cwd(), *Path.cwd().parents] if (d / "datasets/recordings").is_dir())
# Recordings that ship are found by name from there on, wherever the kernel was started.
os.environ.setdefault("RETROSCOPE_DATASETS", str(ROOT / "datasets/recordings"))


def recording(name):
    """A recording that ships, opened."""
    return retroscope.open_recording(name)


def labels(name):
    """Ground truth, one row for each event of the attack; empty where a recording shows none."""
    # Recordings of before had no such column, and nothing ambiguous.
    return recording(name).table("labels").to_polars().filter(~pl.col("ambiguous").fill_null(False))


def judged(name, learn=None, config=None):
    """The alerts of a replay with `true`: whether their evidence has an event of the attack."""
    alerts = retroscope.replay(name, learn, config).alerts.to_polars()
    evidence = alerts.select("id", "evidence").explode("evidence").unnest("evidence")
    truth = labels(name).select(pl.col("class").cast(pl.String), "cpu", "seq")
    hits = evidence.join(truth, on=["class", "cpu", "seq"]).select("id").unique()
    return alerts.with_columns(true=pl.col("id").is_in(hits["id"].to_list()), recording=pl.lit(name))
