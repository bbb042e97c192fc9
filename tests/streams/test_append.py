"""Appending: expectations, repeats, several streams at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.helpers import Group
from veritydb.streams.batches import (
    GENERATION_IDS_MAX,
    GENERATIONS,
    Batches,
    find,
    key,
    remember,
)
from veritydb.streams.commands import Seal
from veritydb.types.entry import EXPECT_ANY, EXPECT_EXISTS, EXPECT_NO_STREAM
from veritydb.types.ids import StreamId, TenantId, stream_id
from veritydb.types.limits import (
    BATCH_EVENTS_MAX,
    BATCH_IDS_AGE_NS,
    ORIGIN_RUNS_MAX,
    SECOND_NS,
    SENT_AHEAD_MAX_NS,
)
from veritydb.types.outcome import BASE_UNKNOWN, Code

ORIGIN = b"origin".ljust(16, b".")


def batch(number: int) -> bytes:
    return (number + 1).to_bytes(16, "big")


@pytest.mark.parametrize(
    ("held", "expected", "code"),
    [
        (0, EXPECT_ANY, Code.OK),
        (0, EXPECT_NO_STREAM, Code.OK),
        (0, 0, Code.OK),
        (0, EXPECT_EXISTS, Code.WRONG_EXPECTED_OFFSET),
        (0, 1, Code.WRONG_EXPECTED_OFFSET),
        (3, EXPECT_ANY, Code.OK),
        (3, EXPECT_NO_STREAM, Code.WRONG_EXPECTED_OFFSET),
        (3, EXPECT_EXISTS, Code.OK),
        (3, 3, Code.OK),
        (3, 2, Code.WRONG_EXPECTED_OFFSET),
        (3, 4, Code.WRONG_EXPECTED_OFFSET),
        (3, EXPECT_EXISTS - 1, Code.WRONG_EXPECTED_OFFSET),
    ],
)
def test_expectations(held: int, expected: int, code: Code) -> None:
    group = Group()
    stream = group.create("s")
    if held:
        group.append(stream, held)
    outcome = group.append(stream, 2, expected=expected)
    assert (outcome.code, outcome.base) == (code, held)
    assert outcome.count == (2 if code is Code.OK else 0)
    assert group.stream(stream).next == held + outcome.count


def test_refusals_change_nothing() -> None:
    group = Group()
    stream = group.create("s")
    before = group.state
    assert group.append(stream_id(group.state.group, 9)).code is Code.NO_SUCH_STREAM
    assert group.append(stream, tenant=TenantId(8)).code is Code.WRONG_TENANT
    assert group.append(stream, 0).code is Code.BAD_COMMAND
    assert group.append(stream, BATCH_EVENTS_MAX + 1).code is Code.BAD_COMMAND
    assert group.append(stream, origin=ORIGIN, seq=(1 << 64) - 1).code is Code.BAD_COMMAND
    assert group.state is before
    assert group.append(stream, BATCH_EVENTS_MAX).code is Code.OK


def test_a_sealed_stream_takes_no_events_but_knows_repeats() -> None:
    group = Group()
    stream = group.create("s")
    group.append(stream, 2, batch=batch(1))
    assert group.command(stream, Seal(), expected=1).code is Code.WRONG_EXPECTED_OFFSET
    assert group.command(stream, Seal(), expected=2).code is Code.OK
    assert group.command(stream, Seal()).code is Code.DUPLICATE
    outcome = group.append(stream)
    assert (outcome.code, outcome.base) == (Code.STREAM_SEALED, 2)
    assert group.append(stream, 2, batch=batch(1)).code is Code.DUPLICATE


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_retries_in_any_order_apply_once(order: list[int], events: int) -> None:
    group = Group()
    first = group.create("a")
    second = group.create("b")
    applied: dict[tuple[StreamId, int], int] = {}
    for number in order:
        stream = first if number % 2 else second
        outcome = group.append(stream, events, batch=batch(number // 2), sent_at=1)
        known = applied.get((stream, number // 2))
        assert outcome.code is (Code.OK if known is None else Code.DUPLICATE)
        assert known in (None, outcome.base)
        assert outcome.count == events
        applied[stream, number // 2] = outcome.base
    total = group.stream(first).next + group.stream(second).next
    assert total == events * len(applied)


def test_a_retry_with_its_exact_offset_is_known() -> None:
    group = Group()
    stream = group.create("s")
    group.append(stream, 3, expected=EXPECT_NO_STREAM, batch=batch(1))
    group.append(stream, 2, expected=3, batch=batch(2))
    again = group.append(stream, 3, expected=EXPECT_NO_STREAM, batch=batch(1))
    assert (again.code, again.base, again.count) == (Code.DUPLICATE, 0, 3)
    again = group.append(stream, 2, expected=3, batch=batch(2))
    assert (again.code, again.base, again.count) == (Code.DUPLICATE, 3, 2)
    other = group.append(stream, 2, expected=3, batch=batch(3))
    assert (other.code, other.base) == (Code.WRONG_EXPECTED_OFFSET, 5)


def test_what_is_too_old_to_know_is_not_applied() -> None:
    group = Group()
    stream = group.create("s")
    sent_at = group.now
    group.append(stream, batch=batch(1), sent_at=sent_at)
    group.append(stream, batch=batch(2), sent_at=group.now, after=BATCH_IDS_AGE_NS + SECOND_NS)
    old = group.append(stream, batch=batch(1), sent_at=sent_at)
    assert (old.code, old.count) == (Code.OUTCOME_UNKNOWN, 0)
    # Never applied before, but nobody can tell any more.
    assert group.append(stream, batch=batch(3), sent_at=sent_at).code is Code.OUTCOME_UNKNOWN
    # An exact offset cannot be given twice, so its age does not matter.
    assert group.append(stream, expected=2, batch=batch(1), sent_at=sent_at).code is Code.OK
    assert group.append(stream, batch=batch(4), sent_at=group.now).code is Code.OK
    assert group.append(stream, batch=batch(2), sent_at=group.now).code is Code.DUPLICATE


def test_a_sender_may_be_a_little_ahead_of_log_time() -> None:
    group = Group()
    stream = group.create("s")
    far = group.append(stream, batch=batch(1), sent_at=group.now + SENT_AHEAD_MAX_NS + 2)
    assert (far.code, far.base, far.count) == (Code.SENT_AHEAD, group.now, 0)
    sent_at = group.now + SENT_AHEAD_MAX_NS
    assert group.append(stream, batch=batch(1), sent_at=sent_at).code is Code.OK
    group.append(stream, batch=batch(2), after=BATCH_IDS_AGE_NS + 2 * SECOND_NS)
    # Forgotten, and judged by the time it was sent rather than by when it was applied.
    assert group.append(stream, batch=batch(1), sent_at=sent_at).code is Code.OUTCOME_UNKNOWN
    # Where the offset protects, no clock is asked.
    far_ahead = group.now + 100 * SENT_AHEAD_MAX_NS
    assert group.append(stream, expected=2, batch=batch(3), sent_at=far_ahead).code is Code.OK
    assert group.state.streams.batches.generations[0].until <= group.now


def test_memory_of_batches_is_bounded_and_knows_its_bound() -> None:
    memory = Batches()
    total = GENERATION_IDS_MAX * (GENERATIONS + 2)
    for number in range(total):
        memory = remember(memory, key(batch(number), 1), number, 1, 0, number)
    assert sum(len(g.ids) for g in memory.generations) <= GENERATION_IDS_MAX * GENERATIONS
    for number in range(0, total, 97):
        span = find(memory, key(batch(number), 1))
        if number > memory.forgotten:
            assert span is not None and span.base == number
        else:
            assert span is None
    assert 0 < memory.forgotten < 3 * GENERATION_IDS_MAX


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6), st.booleans()), max_size=50))
def test_an_origin_is_applied_once_whatever_is_sent(sends: list[tuple[int, int, bool]]) -> None:
    group = Group()
    stream = group.create("s")
    where: list[int] = []  # offset of each sequence
    for seq, events, foreign in sends:
        if foreign:
            group.append(stream)
        end = group.stream(stream).next
        outcome = group.append(stream, events, origin=ORIGIN, seq=seq)
        if seq > len(where):
            assert (outcome.code, outcome.base) == (Code.ORIGIN_GAP, len(where))
        elif seq == len(where):
            assert (outcome.code, outcome.base, outcome.count) == (Code.OK, end, events)
            where += range(end, end + events)
        elif seq + events > len(where):
            assert (outcome.code, outcome.base) == (Code.ORIGIN_OVERLAP, len(where))
        else:
            assert (outcome.code, outcome.count) == (Code.DUPLICATE, events)
            offsets = where[seq : seq + events]
            if outcome.base != BASE_UNKNOWN:
                assert offsets == list(range(outcome.base, outcome.base + events))
        if outcome.code is not Code.OK:
            assert group.stream(stream).next == end


def test_an_origin_alone_on_a_stream_is_known_exactly_for_ever() -> None:
    group = Group()
    stream = group.create("s")
    for seq in range(0, 60, 3):
        group.append(stream, 3, origin=ORIGIN, seq=seq, after=BATCH_IDS_AGE_NS)
    for seq in range(0, 60, 3):
        again = group.append(stream, 3, origin=ORIGIN, seq=seq)
        assert (again.code, again.base) == (Code.DUPLICATE, seq)
    # On another stream it counts anew.
    assert group.append(group.create("t"), 1, origin=ORIGIN, seq=0).code is Code.OK


def test_old_stretches_of_an_origin_are_known_as_applied_but_not_where() -> None:
    group = Group()
    stream = group.create("s")
    for seq in range(ORIGIN_RUNS_MAX + 2):
        group.append(stream, origin=ORIGIN, seq=seq)
        group.append(stream)
    bases = [group.append(stream, origin=ORIGIN, seq=s).base for s in range(ORIGIN_RUNS_MAX + 2)]
    assert bases == [BASE_UNKNOWN, BASE_UNKNOWN, *range(4, 2 * (ORIGIN_RUNS_MAX + 2), 2)]


def test_several_streams_all_or_nothing() -> None:
    group = Group()
    a, b, c = (group.create(name) for name in "abc")
    group.append(a, 2)
    outcome = group.append_many([(a, 2, 3), (b, EXPECT_NO_STREAM, 1), (c, 0, 0)], batch=batch(1))
    assert (outcome.code, outcome.base, outcome.count) == (Code.OK, 2, 4)
    assert [group.stream(s).next for s in (a, b, c)] == [5, 1, 0]
    again = group.append_many([(a, 2, 3), (b, EXPECT_NO_STREAM, 1), (c, 0, 0)], batch=batch(1))
    assert (again.code, again.base, again.count) == (Code.DUPLICATE, 2, 4)

    before = group.state
    wrong = group.append_many([(a, 5, 1), (b, 0, 1)])
    assert (wrong.code, wrong.stream, wrong.base) == (Code.WRONG_EXPECTED_OFFSET, b, 1)
    moved = group.append_many([(a, 5, 1), (b, 0, 0)])
    assert moved.code is Code.WRONG_EXPECTED_OFFSET
    assert group.append_many([(a, 5, 1), (a, 6, 1)]).code is Code.BAD_COMMAND
    assert group.append_many([(a, EXPECT_ANY, 1)]).code is Code.BAD_COMMAND
    missing = stream_id(group.state.group, 99)
    assert group.append_many([(a, 5, 1), (missing, 0, 1)]).code is Code.NO_SUCH_STREAM
    foreign = group.create("x", tenant=TenantId(8))
    assert group.append_many([(a, 5, 1), (foreign, 0, 1)]).code is Code.WRONG_TENANT
    group.command(c, Seal())
    assert group.append_many([(a, 5, 1), (c, 0, 1)]).code is Code.STREAM_SEALED
    # A sealed stream can still be looked at.
    assert group.stream(a) is before.streams.records[a]
    assert group.append_many([(a, 5, 1), (c, 0, 0)]).code is Code.OK
