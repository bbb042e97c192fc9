"""Agreement on what time it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vsr.harness import CLUSTER, GROUP, Group
from veritydb.types.limits import CLOCK_TOLERANCE_NS, MS_NS, SECOND_NS
from veritydb.vsr.clock import COARSENESS_NS, Clock, overlap
from veritydb.vsr.config import Config

WALL = 1_700_000_000 * SECOND_NS


def clock(replicas: int = 3) -> Clock:
    made = Clock(Config(cluster=CLUSTER, group=GROUP, index=0, replicas=replicas, kernel=1))
    made.tick(SECOND_NS, WALL)
    return made


@pytest.mark.parametrize(
    ("bounds", "enough", "expected"),
    [
        ([(0, 10)], 1, (0, 10)),
        ([(0, 10)], 2, None),
        ([(0, 10), (5, 15)], 2, (5, 10)),
        ([(0, 10), (11, 15)], 2, None),
        ([(0, 10), (10, 15)], 2, (10, 10)),
        ([(0, 10), (5, 15), (100, 110)], 2, (5, 10)),
        ([(0, 10), (5, 15), (8, 9)], 2, (8, 9)),
        ([(0, 10), (0, 9), (20, 30), (29, 50)], 2, (29, 30)),
    ],
)
def test_overlap(
    bounds: list[tuple[int, int]], enough: int, expected: tuple[int, int] | None
) -> None:
    assert overlap(bounds, enough) == expected


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 30)), min_size=1, max_size=5))
def test_overlap_is_in_as_many_bounds_as_any_point(raw: list[tuple[int, int]]) -> None:
    bounds = [(low, low + width) for low, width in raw]
    depth = max(sum(low <= at <= high for low, high in bounds) for at in range(-60, 90))
    found = overlap(bounds, 1)
    assert found is not None
    for at in found:
        assert sum(low <= at <= high for low, high in bounds) == depth
    assert overlap(bounds, depth + 1) is None


def test_alone_a_clock_is_right() -> None:
    alone = clock(1)
    assert alone.synchronised
    assert alone.timestamp(0) == WALL


def test_without_a_quorum_there_is_no_time() -> None:
    assert clock().timestamp(0) is None


def test_a_quorum_that_agrees_is_enough() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS - MS_NS, WALL)
    assert mine.synchronised
    assert mine.timestamp(0) == WALL


def test_log_time_grows_within_a_tick() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS, WALL)
    last = 0
    for _ in range(1_000):
        now = mine.timestamp(last)
        assert now is not None and now > last
        last = now


def test_log_time_never_leads() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS, WALL)
    assert mine.interval is not None
    end = WALL + mine.interval[1]
    assert mine.timestamp(end - 1) == end
    assert mine.timestamp(end) is None


def test_a_clock_that_most_contradict_is_corrected_or_refused() -> None:
    """Ours is off by a second: the others' time counts. By a minute: no time at all."""
    mine = clock()
    for peer in (1, 2):
        mine.sample(peer, SECOND_NS, WALL + SECOND_NS)
    now = mine.timestamp(0)
    assert now is not None and abs(now - WALL - SECOND_NS) <= COARSENESS_NS
    mine = clock()
    for peer in (1, 2):
        mine.sample(peer, SECOND_NS, WALL + 6 * CLOCK_TOLERANCE_NS)
    assert not mine.synchronised
    assert mine.timestamp(0) is None


@pytest.mark.parametrize("apart", [30 * MS_NS, 100 * MS_NS, SECOND_NS, CLOCK_TOLERANCE_NS])
def test_clocks_that_are_not_quite_alike_agree(apart: int) -> None:
    """Within the tolerance a quorum finds a time, between its clocks."""
    mine = clock()
    mine.sample(1, SECOND_NS, WALL + apart)
    now = mine.timestamp(0)
    assert now is not None
    assert WALL - COARSENESS_NS <= now <= WALL + apart + COARSENESS_NS


def test_clocks_further_apart_than_the_tolerance_do_not_agree() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS, WALL + CLOCK_TOLERANCE_NS + SECOND_NS)
    mine.sample(2, SECOND_NS, WALL - CLOCK_TOLERANCE_NS - SECOND_NS)
    assert not mine.synchronised
    assert mine.timestamp(0) is None


def test_a_group_whose_clocks_are_apart_takes_requests_and_goes_on_without_one() -> None:
    group = Group(start=False)
    for site, offset in zip(group.sites, (0, 300 * MS_NS, -200 * MS_NS), strict=True):
        site.wall_offset = offset
        site.start()
    group.run(1_000)
    group.propose("a")
    group.run(500)
    group.primary().crash()
    group.run(2_000)
    group.propose("b")
    group.run(1_000)
    assert group.words(group.primary().index) == ["a", "b"]


def test_one_liar_changes_nothing() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS, WALL)
    mine.sample(2, SECOND_NS, WALL + 3_600 * SECOND_NS)
    assert mine.synchronised


def test_the_agreed_time_is_that_of_a_quorum_whatever_our_own_clock_says() -> None:
    mine = clock()
    assert mine.agreed == 0
    for peer in (1, 2):
        mine.sample(peer, SECOND_NS, WALL)
    assert mine.agreed == WALL
    for away in (86_400 * SECOND_NS, -86_400 * SECOND_NS):
        wrong = clock()
        for peer in (1, 2):
            wrong.sample(peer, SECOND_NS, WALL + away)
        assert abs(wrong.agreed - WALL - away) < SECOND_NS
        assert not wrong.synchronised


def test_samples_grow_old() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS, WALL)
    mine.tick(40 * SECOND_NS, WALL + 39 * SECOND_NS)
    assert not mine.synchronised


def test_a_step_of_our_own_clock_is_seen_at_once() -> None:
    mine = clock()
    for peer in (1, 2):
        mine.sample(peer, SECOND_NS, WALL)
    mine.tick(SECOND_NS + 10 * MS_NS, WALL + 3_600 * SECOND_NS)
    assert not mine.synchronised


def test_an_answer_from_another_life_is_no_sample() -> None:
    mine = clock()
    mine.sample(1, 5 * SECOND_NS, WALL)
    mine.sample(2, -60 * SECOND_NS, WALL)
    assert not mine.samples


def test_a_worse_sample_does_not_replace_a_better_one() -> None:
    mine = clock()
    mine.sample(1, SECOND_NS, WALL)
    mine.tick(2 * SECOND_NS, WALL + SECOND_NS)
    mine.sample(1, SECOND_NS, WALL)
    assert mine.samples[1].offset == 0
    mine.forget(1)
    assert not mine.synchronised


@pytest.mark.parametrize("others", [(-35, -61), (-20, -40), (-25, -25), (30, 70), (-60, 60)])
def test_a_clock_that_is_ahead_stamps_more_than_one_op_per_tick(others: tuple[int, int]) -> None:
    """All ops of a tick see the same time of the clock: there has to be room behind it."""
    mine = clock()
    for peer, offset in enumerate(others, 1):
        mine.sample(peer, SECOND_NS, WALL + offset * MS_NS)
    last = 0
    for _ in range(1_000):
        now = mine.timestamp(last)
        assert now is not None and now > last
        last = now
