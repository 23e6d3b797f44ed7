"""Parts of a replay or of learning, each with some of the images, for any engine that can run functions on several machines.

`retroscope.ray` does this with Ray. By hand:

>>> from retroscope import partition
>>> parts = [partition.run("xmrig", index, 2) for index in (1, 2)]  # anywhere
>>> outcome = partition.merge("xmrig", parts)  # what retroscope.replay("xmrig") gives, to the byte

Every machine must be able to read the recordings by the same path or address. `learn` and `config` are those of
`retroscope.replay`, the same for all parts and the merge.
"""

from ._native import (
    partition_learn as learn,
    partition_merge as merge,
    partition_plan as plan,
    partition_run as run,
    partition_union as union,
)

__all__ = ["learn", "merge", "plan", "run", "union"]
