"""Percentiles, spreads and gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Latency, latency, longest_gap, percentile, spread

values = st.lists(st.integers(0, 10**6), min_size=1, max_size=200)
shares = st.sampled_from([0.01, 0.07, 0.5, 0.9, 0.99, 0.999, 1.0])


@given(values, shares)
def test_a_percentile_is_the_smallest_that_covers_its_share(given: list[int], share: float) -> None:
    ascending = sorted(given)
    found = percentile(ascending, share)
    assert found in ascending
    covered = sum(one <= found for one in ascending)
    assert covered >= share * len(ascending) - 1e-6
    smaller = sum(one < found for one in ascending)
    assert smaller < share * len(ascending)


@pytest.mark.parametrize(("share", "expected"), [(0.07, 7), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentiles_of_a_hundred(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_latency_is_in_milliseconds_and_takes_any_order() -> None:
    assert latency([3000, 1000, 2000]) == Latency(p50=2.0, p99=3.0, p999=3.0, worst=3.0)
    assert latency([]) is None


@pytest.mark.parametrize(
    ("given", "median", "low", "high"),
    [([2.0], 2.0, 2.0, 2.0), ([9.0, 1.0, 5.0], 5.0, 1.0, 9.0), ([4.0, 2.0], 3.0, 2.0, 4.0)],
)
def test_a_spread(given: list[float], median: float, low: float, high: float) -> None:
    found = spread(given)
    assert (found.median, found.low, found.high) == (median, low, high)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 10.0),
        ([1.0], 9.0),
        ([9.5], 9.5),
        ([1.0, 2.0, 7.0, 8.0], 5.0),
        ([-5.0, 2.0, 40.0], 8.0),
    ],
)
def test_the_longest_gap_between_0_and_10(times: list[float], expected: float) -> None:
    assert longest_gap(times, 0.0, 10.0) == expected
