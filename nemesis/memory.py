"""The memory of each node over the time of a run, and whether it is flat."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import linear_regression, median

import msgspec

MIB = 1 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RESIDENT_FIELD = 1
# What is left to chance: how much a node has just read, and how long ago it was started.
GROWTH_RATIO = 1.15
GROWTH_BYTES = 16 * MIB
SAMPLES_MIN = 8
# Caches take minutes to fill for the first time, which is growth but no leak.
SECONDS_MIN = 290.0


class Flatness(msgspec.Struct, frozen=True):
    """Medians of the second and the last quarter of a run, and the slope between, in bytes.

    `flat` is None for a run that was too short to tell.
    """

    second: float
    last: float
    per_minute: float
    flat: bool | None


def resident(pid: int) -> int | None:
    """A process's resident bytes; None if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[RESIDENT_FIELD])
    except (OSError, IndexError):
        return None
    # A corpse has no memory, and is no sample of a node's.
    return pages * PAGE_BYTES or None


def judge(samples: Sequence[tuple[float, int]]) -> Flatness | None:
    """Judge samples (seconds, bytes) in the order of time; None if they are too few.

    The first quarter is passed over: it is when caches and buffers fill for the first time.
    """
    if len(samples) < SAMPLES_MIN:
        return None
    begun, ended = samples[0][0], samples[-1][0]
    quarter = (ended - begun) / 4
    second = [(at, size) for at, size in samples if quarter <= at - begun < 2 * quarter]
    last = [(at, size) for at, size in samples if at - begun >= 3 * quarter]
    later = [(at, size) for at, size in samples if at - begun >= quarter]
    if not second or not last or quarter == 0:
        return None
    before = median(size for _, size in second)
    after = median(size for _, size in last)
    slope = linear_regression([at for at, _ in later], [size for _, size in later]).slope
    flat = None if ended - begun < SECONDS_MIN else not grew(before, after)
    return Flatness(before, after, slope * 60, flat)


def judge_all(samples: Mapping[str, Sequence[tuple[float, int]]]) -> dict[str, Flatness | None]:
    """Judge the nodes of one cluster, each against the fullest of them.

    Faults restart them at different times, and one that was young for a while only becomes what the
    others are already.
    """
    judged = {name: judge(found) for name, found in samples.items()}
    fullest = max((one.second for one in judged.values() if one is not None), default=0.0)
    return {
        name: one
        if one is None or one.flat is None
        else msgspec.structs.replace(one, flat=not grew(fullest, one.last))
        for name, one in judged.items()
    }


def grew(before: float, after: float) -> bool:
    """Whether that is more than chance."""
    return after > before * GROWTH_RATIO + GROWTH_BYTES
