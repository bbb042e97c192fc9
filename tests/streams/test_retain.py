"""Retention: what may go goes, what may not stays, and floors only rise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.helpers import Group
from veritydb.kernel.apply import deadline
from veritydb.kernel.effects import Reclaim
from veritydb.streams.commands import SetRetention, TruncateBefore
from veritydb.streams.retain import SHARES
from veritydb.types.limits import (
    PULSE_STREAMS_MAX,
    RETENTION_GRACE_NS,
    RETENTION_RUNS_MAX,
    SECOND_NS,
)
from veritydb.types.outcome import Code
from veritydb.types.retention import RETENTION_MAX, Retention

APPENDS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 400), st.integers(0, 20 * SECOND_NS)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=80)
@given(
    APPENDS,
    st.sampled_from([0, 1, 30 * SECOND_NS, 400 * SECOND_NS]),
    st.sampled_from([0, 1, 500, 50_000]),
    st.sampled_from([0, 1, 7, 1_000]),
)
def test_only_what_may_go_goes_and_it_does(
    appends: list[tuple[int, int, int]], age: int, size: int, events: int
) -> None:
    group = Group()
    stream = group.create("s", Retention(age, size, events))
    held: list[tuple[int, int, int, int]] = []  # base, count, bytes, time
    for count, length, after in appends:
        outcome = group.append(stream, count, size=length, after=after)
        held.append((outcome.base, count, length, group.now))
        group.pulse(after=0)
        record = group.stream(stream)
        now, floor, end = group.now, record.floor, record.next
        for at, (base, batch_count, _, time) in enumerate(held):
            later = sum(row[2] for row in held[at + 1 :])
            by_age = bool(age) and time + age <= now
            by_size = bool(size) and later >= size
            if base < floor:
                last_gone = min(floor, base + batch_count) - 1
                by_count = bool(events) and last_gone < end - events
                assert by_age or by_size or by_count
            # A run holds up its first batch by its share, a pulse waits for the full second.
            assert not age or base < floor or time + age + age // SHARES + SECOND_NS > now
            slack = size // SHARES + 400
            assert not size or base < floor or later < size + slack
        assert not events or end - floor <= events


def test_age_alone_empties_an_idle_stream() -> None:
    group = Group()
    stream = group.create("s", Retention(max_age_ns=10 * SECOND_NS))
    group.append(stream, 5)
    due = deadline(group.state)
    assert due is not None and due % SECOND_NS == 0
    group.pulse(after=9 * SECOND_NS)
    assert group.stream(stream).floor == 0
    group.pulse(after=2 * SECOND_NS)
    [effect] = group.effects
    assert effect == Reclaim(stream, 5, group.now + RETENTION_GRACE_NS)
    assert group.stream(stream).floor == group.stream(stream).next == 5
    assert deadline(group.state) is None
    assert group.append(stream).base == 5


def test_a_run_goes_when_its_youngest_event_is_too_old() -> None:
    group = Group()
    age = 10 * SHARES * SECOND_NS
    stream = group.create("s", Retention(max_age_ns=age))
    group.append(stream)
    group.append(stream, after=9 * SECOND_NS)
    assert len(group.state.streams.retained[stream].runs) == 1
    group.pulse(after=age - 2 * SECOND_NS)
    assert group.stream(stream).floor == 0
    group.pulse(after=3 * SECOND_NS)
    assert group.stream(stream).floor == 2


def test_one_pulse_is_bounded_and_the_next_goes_on() -> None:
    group = Group()
    count = PULSE_STREAMS_MAX + 10
    streams = [group.create(f"s{n}", Retention(max_age_ns=SECOND_NS)) for n in range(count)]
    for stream in streams:
        group.append(stream)
    group.pulse(after=5 * SECOND_NS)
    assert all(group.stream(stream).floor == 1 for stream in streams)
    assert len(group.effects) == 10


def test_truncation_is_a_floor_that_only_rises() -> None:
    group = Group()
    stream = group.create("s")
    group.append(stream, 10)
    assert group.command(stream, TruncateBefore(4)).base == 4
    lower = group.command(stream, TruncateBefore(2))
    assert (lower.code, lower.base) == (Code.OK, 4)
    beyond = group.command(stream, TruncateBefore(11))
    assert (beyond.code, beyond.base) == (Code.OFFSET_BEYOND_END, 10)
    assert group.command(stream, TruncateBefore(1 << 63)).code is Code.BAD_COMMAND
    assert group.command(stream, TruncateBefore(10)).base == 10
    assert group.stream(stream).next == 10


def test_new_bounds_hold_at_once_and_can_be_taken_away() -> None:
    group = Group()
    stream = group.create("s")
    for _ in range(10):
        group.append(stream, 1)
    assert group.command(stream, SetRetention(Retention(max_events=4))).base == 6
    assert group.command(stream, SetRetention(Retention(max_age_ns=SECOND_NS))).base == 6
    assert deadline(group.state) is not None
    assert group.command(stream, SetRetention(Retention(max_age_ns=3600 * SECOND_NS))).base == 6
    assert group.command(stream, SetRetention(Retention())).code is Code.OK
    assert deadline(group.state) is None
    assert group.stream(stream).info.retention is None
    group.pulse(after=10_000 * SECOND_NS)
    assert group.stream(stream).floor == 6
    too_big = Retention(max_bytes=RETENTION_MAX + 1)
    assert group.command(stream, SetRetention(too_big)).code is Code.BAD_COMMAND


@pytest.mark.parametrize("age", [1, 100, 10_000])
def test_runs_stay_bounded_when_bounds_change(age: int) -> None:
    group = Group()
    stream = group.create("s", Retention(max_age_ns=age * SECOND_NS, max_bytes=10_000_000))
    for step in range(600):
        group.append(stream, size=100_000, after=SECOND_NS // 2)
        if step % 100 == 50:
            bounds = Retention(max_age_ns=age * SECOND_NS, max_bytes=10_000_000 * (step + 1))
            group.command(stream, SetRetention(bounds))
        kept = group.state.streams.retained.get(stream)
        assert kept is None or len(kept.runs) <= RETENTION_RUNS_MAX


def test_streams_without_retention_keep_no_runs() -> None:
    group = Group()
    for name in "ab":
        group.append(group.create(name))
    group.append(group.create("c", Retention(max_events=5)))
    assert not group.state.streams.retained
    assert group.state.streams.timers is None
