"""Recordings, profiles, replays and sweeps of Retroscope as Arrow data.

>>> import retroscope
>>> recording = retroscope.open_recording("xmrig")
>>> outcome = retroscope.replay(recording)
>>> outcome.alerts.to_polars()  # doctest: +SKIP

Tables are read through the Arrow PyCapsule interface, without a copy, by whatever knows it: ``polars.DataFrame(table)``,
``pyarrow.table(table)``, ``duckdb``, pandas and others.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ._errors import ConfigError, Error, InputError, OutputError, PrerequisiteError
from ._native import Outcome, Profile, Recording, Table, __version__, learn, open_recording, replay, shipped, sweep

__all__ = [
    "ConfigError",
    "Error",
    "InputError",
    "Outcome",
    "OutputError",
    "PrerequisiteError",
    "Profile",
    "Recording",
    "Table",
    "__version__",
    "learn",
    "open_recording",
    "replay",
    "shipped",
    "sweep",
]


def _find_onnxruntime() -> None:
    """Name the ONNX Runtime library of this Python environment, unless another one is named; nothing is imported or loaded."""
    if os.environ.get("ORT_DYLIB_PATH"):
        return
    spec = importlib.util.find_spec("onnxruntime")
    folders = spec.submodule_search_locations or [] if spec else []
    libraries = sorted(file for folder in folders for file in Path(folder).glob("capi/libonnxruntime.so*"))
    if libraries:
        os.environ["ORT_DYLIB_PATH"] = str(libraries[-1])


_find_onnxruntime()
