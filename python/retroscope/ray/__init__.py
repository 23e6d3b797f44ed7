"""Replays and learning spread over a Ray cluster.

>>> import retroscope.ray
>>> outcome = retroscope.ray.replay(["/shared/rec-1", "/shared/rec-2"], parts=8, address="auto")

The images of the recordings are shared out over `parts`; each part is a Ray task that reads the recordings and works on its own
images, and the driver puts the parts together. The result is the one of a single machine, to the byte (`run.json` says other
timings). Recordings, and the files that the configuration names, must be there under the same path or address on every node;
profiles and configurations travel with the tasks.

From a shell: ``python -m retroscope.ray REC... --parts 4 -o OUT``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol

from .. import Outcome, Profile, Recording, open_recording, partition
from .._errors import ConfigError, PrerequisiteError

__all__ = ["Done", "learn", "replay"]

_Path = str | PathLike[str]
_Recordings = _Path | Recording | Iterable[_Path | Recording]

# Of a Ray that is started here, bytes. Parts are small: what deviated, and a profile.
OBJECT_STORE = 100 << 20


class Done(Protocol):
    """Is told of every part that is done: its number from 1, of how many, and the id of the node that did it."""

    def __call__(self, index: int, parts: int, node: str) -> None: ...


def replay(
    recordings: _Recordings,
    learn: _Path | Recording | Profile | None = None,
    config: _Path | Mapping[str, Any] | None = None,
    *,
    parts: int | None = None,
    address: str | None = None,
    threads: int = 1,
    output: _Path | None = None,
    done: Done | None = None,
) -> Outcome:
    """Replay recordings as `retroscope.replay` does, its parts as Ray tasks.

    parts: None for as many as the cluster has CPUs, shared by `threads`.
    address: of a running cluster ("auto": the one of this machine); None starts Ray here, and ends it. Where Ray is connected
    already, that connection is used.
    threads: of each task, which asks Ray for as many CPUs.
    done: is called after every part.

    The other arguments are those of `retroscope.replay`.
    """
    opened, config, learn = _open(recordings), _config(config), _baseline(learn)
    with _connected(address):
        made = _run(_replay_part, (opened, learn, config), parts, threads, done)
    return partition.merge(opened, made, learn, config, output=output)


def learn(
    recordings: _Recordings,
    config: _Path | Mapping[str, Any] | None = None,
    *,
    parts: int | None = None,
    address: str | None = None,
    threads: int = 1,
    done: Done | None = None,
) -> Profile:
    """Learn as `retroscope.learn` does, its parts as Ray tasks; the profile has no report. Arguments as of `replay`."""
    opened, config = _open(recordings), _config(config)
    with _connected(address):
        made = _run(_learn_part, (opened, config), parts, threads, done)
    return partition.union(made)


def _replay_part(index: int, parts: int, threads: int, recordings: list, learn: Any, config: Any) -> bytes:
    return partition.run(recordings, index, parts, learn, config, threads=threads)


def _learn_part(index: int, parts: int, threads: int, recordings: list, config: Any) -> Profile:
    return partition.learn(recordings, index, parts, config, threads=threads)


def _on_node(work: Callable[..., Any], *args: Any) -> tuple[str, Any]:
    import ray

    return ray.get_runtime_context().get_node_id(), work(*args)


def _run(work: Callable[..., Any], inputs: tuple, parts: int | None, threads: int, done: Done | None) -> list:
    """The results of all parts, in their order; an error of one is raised as what it is, and the others are cancelled."""
    import ray

    if parts is None:
        parts = max(1, int(ray.cluster_resources().get("CPU", 1)) // max(1, threads))
    if parts < 1:
        raise ConfigError(f"parts={parts}", "there is at least one part")
    # Sent once to each node, and not with every task.
    inputs = tuple(ray.put(one) for one in inputs)
    task = ray.remote(_on_node)
    needs = {"num_cpus": max(1, threads), "name": work.__name__}
    places = itertools.chain(_each_node(threads), itertools.repeat("SPREAD"))
    tasks = {
        task.options(**needs, scheduling_strategy=place).remote(work, index, parts, threads, *inputs): index
        for index, place in zip(range(1, parts + 1), places)
    }
    waiting, results = list(tasks), {}
    try:
        while waiting:
            (ready, *_), waiting = ray.wait(waiting)
            node, results[tasks[ready]] = ray.get(ready)
            if done is not None:
                done(tasks[ready], parts, node)
    except ray.exceptions.RayTaskError as error:
        # What the task raised, without the traces of Ray's own machinery.
        raise error.cause from None
    finally:
        for one in waiting:
            ray.cancel(one, force=True)
    return [results[index] for index in sorted(results)]


def _each_node(threads: int) -> Iterator[Any]:
    """A place on every node that has the CPUs. Left to Ray, tasks that are short all go to the node whose worker is up first."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU", 0) >= max(1, threads):
            yield NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """With Ray: the connection there is, a cluster, or one of this machine for as long as it is needed."""
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # One error is raised; those of the parts that were cancelled for it need not be told of.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if address is None:
        # What is for this machine alone need not listen to others. Ray reads it, on Linux too, when it is first imported.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise PrerequisiteError("Ray is not installed", "pip install 'retroscope[ray]'") from error
    if ray.is_initialized():
        yield
        return
    if address is None:
        ray.init(
            _node_ip_address="127.0.0.1",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            log_to_driver=False,
            logging_level="warning",
        )
    else:
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    try:
        yield
    finally:
        ray.shutdown()


def _open(recordings: _Recordings) -> list[Recording]:
    """Opened here, so that what is missing is said before anything is started."""
    one = isinstance(recordings, str | PathLike | Recording)
    opened = [
        recording if isinstance(recording, Recording) else open_recording(recording)
        for recording in ([recordings] if one else recordings)
    ]
    if not opened:
        raise ConfigError("no recording given", "give one, or a list of them")
    return opened


def _config(config: _Path | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """As a mapping, so that its file need not be on every node."""
    if config is None or isinstance(config, Mapping):
        return config
    try:
        return tomllib.loads(Path(config).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {fspath(config)}: {error.strerror}", "check its path", config) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{fspath(config)}: {error}", "the file is TOML; see replay.toml", config) from None


def _baseline(learn: _Path | Recording | Profile | None) -> Recording | Profile | None:
    """A profile's file need not be on every node either."""
    if learn is None or isinstance(learn, Recording | Profile):
        return learn
    path = Path(learn)
    if path.is_file() or (path / "profile.json").is_file():
        return Profile.load(path)
    return open_recording(learn)
