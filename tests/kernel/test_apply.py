"""The kernel takes whatever a log may hold, and never raises for it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.golden.kernel_script import COMMANDS, GROUP, append_many, run
from veritydb.kernel.admission import admit, misplaced
from veritydb.kernel.apply import Context, apply, deadline
from veritydb.kernel.checks import check
from veritydb.kernel.effects import Violation, WakeConsumer, WakeProjection
from veritydb.kernel.snapshot import digest
from veritydb.types.entry import EXPECT_ANY, EntryHeader, Kind
from veritydb.types.ids import NO_ID, StreamId, stream_id
from veritydb.types.limits import BATCH_PARTS_MAX, SECOND_NS
from veritydb.types.outcome import Code, encode
from veritydb.wire import log

STATE, _, _ = run()
LAST = max(stream.last_at for stream in STATE.streams.records.values())
U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
SMALL = st.integers(0, 12)
KERNEL_KINDS = [kind for kind in Kind if kind not in (Kind.REGISTER, Kind.REPLACE_REPLICA)]
STREAMS = SMALL.map(lambda n: StreamId(stream_id(GROUP, n + 1))) | U64
ID = st.sampled_from([NO_ID, *(bytes([n]) * 16 for n in range(1, 9))]) | st.binary(
    min_size=16, max_size=16
)
HEADERS = st.builds(
    EntryHeader,
    kind=st.sampled_from(KERNEL_KINDS),
    parts=st.integers(0, BATCH_PARTS_MAX),
    tenant=SMALL | U64,
    stream=STREAMS,
    expected=SMALL | st.just(EXPECT_ANY) | U64,
    batch=ID,
    origin=ID,
    origin_seq=SMALL | U64,
    sent_at=U64,
    actor=U64,
    events=SMALL | U32,
    body_len=st.integers(0, 1 << 23),
    crc=U32,
)
BODIES = st.sampled_from(
    [None, *map(log.encode, COMMANDS), append_many([(1, 13, 2), (2, 13, 1)])[1]]
)


def mangled(data: st.DataObject, body: bytes | None) -> bytes:
    if body is None:
        return data.draw(st.binary(max_size=80))
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed)


@settings(max_examples=400)
@given(st.lists(st.tuples(HEADERS, BODIES), min_size=1, max_size=6), st.data())
def test_nothing_that_is_sent_raises(
    entries: list[tuple[EntryHeader, bytes | None]], data: st.DataObject
) -> None:
    state, now = STATE, LAST
    for op, (header, body) in enumerate(entries, start=1):
        command = log.decode(header.kind, mangled(data, body))
        now += data.draw(st.sampled_from([1, SECOND_NS, 1_000 * SECOND_NS]))
        admitted = admit(state, header, command)
        wrong = misplaced(state, header, command)
        after, outcome, effects = apply(state, header, command, Context(op, 0, now))
        check(state, after)
        assert len(encode(outcome)) == 64
        stops = any(isinstance(effect, Violation) for effect in effects)
        assert stops == (wrong is not Code.OK)
        # What the edge refuses, the kernel refuses too.
        assert admitted is Code.OK or not outcome.accepted
        if not outcome.accepted:
            assert after is state
            assert stops or not effects
        if header.kind is Kind.COMMAND and command is None:
            assert outcome.code is Code.BAD_COMMAND
        due = deadline(after)
        assert due is None or due > 0
        state = after


@settings(max_examples=60)
@given(st.lists(HEADERS, min_size=1, max_size=8))
def test_the_same_entries_lead_to_the_same_state(headers: list[EntryHeader]) -> None:
    ends = []
    for _ in range(2):
        state, records = STATE, []
        for op, header in enumerate(headers, start=1):
            state, outcome, _ = apply(state, header, None, Context(op, 0, LAST + op))
            records.append(encode(outcome))
        ends.append((digest(state), records))
    assert ends[0] == ends[1]


def test_outcomes_do_not_depend_on_payload() -> None:
    header = EntryHeader(
        kind=Kind.APPEND, parts=1, tenant=1, stream=stream_id(GROUP, 1), events=2, body_len=50
    )
    context = Context(1, 0, LAST + 1)
    plain = apply(STATE, header, None, context)
    assert plain == apply(STATE, replace(header, crc=99), None, context)
    assert plain[1].code is Code.OK


def test_readers_and_projections_are_woken() -> None:
    one, two = stream_id(GROUP, 1), stream_id(GROUP, 2)
    at = [STATE.streams.records[number].next for number in (one, two)]
    header, body = append_many([(1, at[0], 1), (2, at[1], 0)])
    command = log.decode(Kind.APPEND_MANY, body)
    _, outcome, effects = apply(STATE, header, command, Context(1, 0, LAST + 1))
    assert outcome.code is Code.OK
    assert effects == (WakeProjection(one), WakeConsumer(one))


def test_a_pulse_before_its_time_changes_nothing() -> None:
    due = deadline(STATE)
    assert due is not None
    pulse = EntryHeader(kind=Kind.PULSE)
    after, outcome, effects = apply(STATE, pulse, None, Context(1, 0, due - 1))
    assert after is STATE
    assert (outcome.code, effects) == (Code.OK, ())
