"""Types of the compiled part; `retroscope` has all of it."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, final

import polars
import pyarrow

__version__: str

_Path = str | PathLike[str]
_Value = bool | int | float | str | Sequence["_Value"]
_Config = _Path | Mapping[str, "_Value | Mapping[str, Any]"]
_Recordings = "_Path | Recording | Iterable[_Path | Recording]"

@final
class Table:
    """Rows and columns that are read through the Arrow PyCapsule interface, as often as one likes.

    A class of a recording is streamed from disk each time, in batches of some thousand rows; what is small is in memory. Nothing
    is copied on the way to what reads it. Text comes as codes into a dictionary of each batch: polars makes a Categorical of it,
    pandas a categorical, pyarrow a dictionary array; ``cast(pl.String)`` makes plain text where that is wanted, as for a join
    with text.
    """

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> list[str]:
        """Names of the columns; `datasets/SCHEMA.md` says what each means, as do the fields' metadata in Arrow."""

    def to_polars(self) -> polars.DataFrame:
        """All rows as a polars frame."""

    def to_arrow(self) -> pyarrow.Table:
        """All rows as a pyarrow table."""

    def __len__(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule with an Arrow C stream. `requested_schema` is not followed, as the protocol allows."""

    def __arrow_c_schema__(self) -> object:
        """A capsule with the schema alone."""

@final
class Recording:
    """A recording on disk. Opening it reads its manifest only.

    It can be sent to another process, which opens it by the same path.
    """

    @property
    def path(self) -> Path:
        """As it was opened. Of a recording on object storage take `address`: a Path makes one slash of two."""

    @property
    def address(self) -> str:
        """Where it can be opened again from any working directory: an absolute path, or s3://BUCKET/PREFIX."""

    @property
    def name(self) -> str:
        """The name of its directory."""

    @property
    def classes(self) -> list[str]:
        """Event classes that were recorded, as "process"."""

    @property
    def rows(self) -> dict[str, int]:
        """Events of each class."""

    @property
    def state(self) -> Literal["recording", "complete", "recovered"]: ...
    @property
    def started(self) -> int:
        """Unix time, ns."""

    @property
    def ended(self) -> int | None:
        """Unix time, ns; None while it is recorded, and where the recorder was killed."""

    @property
    def scenario(self) -> dict[str, Any] | None:
        """The scripted run that it shows, with the steps of the attack."""

    @property
    def manifest(self) -> dict[str, Any]:
        """All of `manifest.json`: kernel, filter, segments with their SHA-256, and where every event went."""

    def table(self, name: str, columns: Sequence[str] | None = None) -> Table:
        """An event class, as "file", or one of the tables beside them: processes, containers, addresses, losses, labels.

        Only the columns that are asked for are read. A class that was not recorded, and a table that the recording does not have,
        has no rows.

        >>> recording.table("file", ["ts", "op", "path"]).to_polars()

        Raises ConfigError for a table, and InputError for a column that does not exist.
        """

    def events(self, classes: Sequence[str] | None = None) -> Table:
        """What all events have in common (ts, cpu, seq, class, op, container, pid, tid, exec_id), in (ts, cpu, seq) order."""

@final
class Profile:
    """What images are known to do: process, file and network trees.

    It can be sent to another process, and compared with ``==``.
    """

    @staticmethod
    def load(path: _Path) -> Profile:
        """Reads a `profile.json`, or the one in a directory that a replay wrote."""

    @staticmethod
    def from_json(text: str, file: str | None = None) -> Profile:
        """Of its text; `file`: what a replay is to call it, "profile.json" unless said."""

    def to_json(self) -> str:
        """The text of `profile.json`: the same bytes for the same profile."""

    def save(self, path: _Path) -> None:
        """Writes `profile.json`, for `replay --learn` and `replay profile`."""

    def show(self, image: str | None = None) -> str:
        """The trees as indented text, of images whose name holds `image`."""

    def merge(self, other: Profile, config: _Config | None = None) -> Profile:
        """The union of the two. A tree is locked in it if it is locked in both, where both have the image."""

    @property
    def images(self) -> list[str]: ...
    @property
    def locked(self) -> dict[str, list[str]]:
        """The trees of each image that had converged; the others were still learning."""

    @property
    def report(self) -> dict[str, Any] | None:
        """What `replay learn --format json` prints, with the learning curves; None for a profile that `learn` did not make."""

@final
class Outcome:
    """What came of a replay."""

    @property
    def alerts(self) -> Table:
        """One row per alert, as in `alerts.parquet`."""

    @property
    def incidents(self) -> list[dict[str, Any]]:
        """Related alerts with the processes between them, as in `incidents.jsonl`."""

    @property
    def profile(self) -> Profile:
        """The profile as it was at the end."""

    @property
    def run(self) -> dict[str, Any]:
        """All of `run.json`: inputs with their hashes, configuration, counts, when each tree locked, timings."""

    def write(self, output: _Path) -> Path:
        """Writes what the program `replay` writes into a directory; the report's path."""

def open_recording(path: _Path) -> Recording:
    """Opens a recording by its path, or by name if it ships (`shipped`).

    >>> retroscope.open_recording("xmrig").rows["file"] > 0
    True

    Raises InputError for what is no recording. One that is unfinished can be read, and gives a UserWarning.
    """

def shipped() -> list[str]:
    """Names of the recordings that can be opened by name.

    They are looked for in $RETROSCOPE_DATASETS, then in `datasets/recordings` of the working directory and those above it.
    """

def learn(
    recordings: _Recordings,
    config: _Config | None = None,
    *,
    threads: int = 0,
    progress: bool = False,
) -> Profile:
    """Learns a profile from recordings, in order of their time, as `replay learn` does.

    What rules of high confidence hit is never learned.

    >>> life = retroscope.learn("webapp-1")
    >>> print(life.show())

    recordings: one recording or several, by object, path or name.
    config: the path of a TOML file, or keys and values over the defaults, dotted or nested: {"convergence.window": 30}.
    threads: 0 for one per core; the result is the same for any number.
    progress: a bar on stderr, if that is a terminal.
    """

def replay(
    recordings: _Recordings,
    learn: _Path | Recording | Profile | None = None,
    config: _Config | None = None,
    *,
    threads: int = 0,
    output: _Path | None = None,
    progress: bool = False,
) -> Outcome:
    """Replays one recording, or several as one, as the program `replay` does: the same alerts to the byte.

    >>> outcome = retroscope.replay("xmrig", learn=life, config={"severity.high": 55})
    >>> outcome.alerts.to_polars().filter(severity="critical")

    learn: what to compare with; None: the recordings' own first part.
    output: a directory for the files that the program writes.
    The other arguments are those of `learn`.

    Raises PrerequisiteError where the embedding model is needed and missing.
    """

def sweep(
    recording: _Path | Recording,
    configs: Iterable[_Config],
    learn: _Path | Recording | Profile | None = None,
    config: _Config | None = None,
    *,
    at: Literal["low", "medium", "high", "critical"] = "medium",
    threads: int = 0,
    progress: bool = False,
) -> Table:
    """Tries many configurations on one recording: one row each, in their order.

    A stage is done once for all configurations that do not differ in what it reads: where only weights and severities change, the
    recording is read and judged once.

    >>> table = retroscope.sweep("xmrig", [{"severity.medium": m} for m in range(30, 61)], learn=life)
    >>> table.to_polars().select("severity.medium", "found", "false_alerts")

    configs: each as `config` of `learn`; they are put over `config`.
    learn: as of `replay`. A recording is learned from as often as what is read or compared changes; give a profile, and it never is.
    at: an act of the ground truth is found, and an alert counts as false, from this severity on.

    Columns: `config` (0, 1, ...), each key that was given, `deviations`, alerts by severity (without allowed ones), `incidents` that
    are raised, and against the recording's labels `acts`, `found`, `false_alerts`, `false_alerts_per_container_hour` and
    `time_to_detect_s` (median, event time), which are counted as by `eval detect`.
    """

def partition_plan(recordings: _Recordings, parts: int) -> list[list[tuple[str, int]]]:
    """The images of each of `parts` parts, each with its events: a function of the recordings alone. Parts may be empty."""

def partition_run(
    recordings: _Recordings,
    index: int,
    parts: int,
    learn: _Path | Recording | Profile | None = None,
    config: _Config | None = None,
    *,
    threads: int = 0,
) -> bytes:
    """Part `index`, from 1, of a replay in `parts`: what `partition_merge` needs of it."""

def partition_merge(
    recordings: _Recordings,
    parts: Sequence[bytes],
    learn: _Path | Recording | Profile | None = None,
    config: _Config | None = None,
    *,
    threads: int = 0,
    output: _Path | None = None,
) -> Outcome:
    """The outcome of all parts, in any order: that of `replay`, to the byte.

    Raises an Error for parts that are missing, or were made of something else.
    """

def partition_learn(
    recordings: _Recordings, index: int, parts: int, config: _Config | None = None, *, threads: int = 0
) -> Profile:
    """What `learn` learns of the images of part `index`, from 1, of `parts`."""

def partition_union(profiles: Sequence[Profile]) -> Profile:
    """The profile of the profiles of all parts, which is that of `learn`."""
