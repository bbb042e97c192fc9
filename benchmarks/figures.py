"""Percentiles, and what several rounds of one measurement say together."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """The median of some rounds and the best and worst of them."""

    median: float
    low: float
    high: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long calls took, in milliseconds."""

    p50: float
    p99: float
    p999: float
    worst: float


def percentile(ascending: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of the values do not exceed."""
    assert ascending
    assert 0 < share <= 1
    # Rounded first, or 0.07 * 100 would be a little more than 7.
    rank = -int(-round(share * len(ascending), 6) // 1)
    return ascending[max(rank, 1) - 1]


def latency(durations_us: Iterable[int]) -> Latency | None:
    """Sum up durations in microseconds; None if there are none."""
    ascending = sorted(durations_us)
    if not ascending:
        return None
    return Latency(
        p50=percentile(ascending, 0.5) / 1000,
        p99=percentile(ascending, 0.99) / 1000,
        p999=percentile(ascending, 0.999) / 1000,
        worst=ascending[-1] / 1000,
    )


def spread(values: Sequence[float]) -> Spread:
    """The middle and the ends of what the rounds gave."""
    assert values
    ascending = sorted(values)
    half = len(ascending) // 2
    middle = ascending[half] if len(ascending) % 2 else (ascending[half - 1] + ascending[half]) / 2
    return Spread(middle, ascending[0], ascending[-1])


def longest_gap(times: Sequence[float], start: float, end: float) -> float:
    """The longest time between two neighbours of `times` (ascending) in start..end.

    The ends count as neighbours, so that silence until the end is not overlooked.
    """
    inside = [start, *(time for time in times if start < time < end), end]
    return max(later - earlier for earlier, later in pairwise(inside))
