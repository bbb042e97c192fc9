"""Streams against a naive model: a list of events for each, walked through at every question."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tests.streams.helpers import Group
from veritydb.kernel.snapshot import chunks, load
from veritydb.streams.commands import Seal, SetRetention, TruncateBefore
from veritydb.types.entry import EXPECT_ANY, EXPECT_EXISTS, EXPECT_NO_STREAM
from veritydb.types.ids import NO_ID, StreamId
from veritydb.types.limits import BATCH_IDS_AGE_NS, SECOND_NS, SENT_AHEAD_MAX_NS
from veritydb.types.outcome import BASE_UNKNOWN, Code, Outcome
from veritydb.types.retention import Retention

IDS = st.sampled_from([NO_ID, *(bytes([n]) * 16 for n in range(1, 6))])
EXPECTED = st.sampled_from([EXPECT_ANY, EXPECT_ANY, EXPECT_NO_STREAM, EXPECT_EXISTS, 0, 1, 5])
BOUNDS = st.builds(
    Retention,
    st.sampled_from([0, 0, SECOND_NS, 100 * SECOND_NS]),
    st.sampled_from([0, 0, 300]),
    st.sampled_from([0, 0, 3]),
)


class Model:
    """One stream: its events, which batches they came in, and what may be read."""

    def __init__(self, bounded: bool) -> None:
        self.events: list[tuple[bytes, int]] = []  # (origin, sequence)
        self.batches: dict[bytes, tuple[int, int]] = {}  # base, count
        self.sent: dict[bytes, int] = {}
        self.bytes = 0
        self.sealed = False
        self.floor = 0
        self.bounded = bounded

    def sequences(self, origin: bytes) -> list[int]:
        return [at for at, (whose, _) in enumerate(self.events) if whose == origin]

    def holds(self, expected: int) -> bool:
        special = {EXPECT_ANY: True, EXPECT_NO_STREAM: not self.events}
        special[EXPECT_EXISTS] = bool(self.events)
        return special.get(expected, expected == len(self.events))


class StreamsMachine(RuleBasedStateMachine):
    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.group = Group()
        self.models: dict[StreamId, Model] = {}

    @rule(target=streams, bounds=st.none() | BOUNDS)
    def create(self, bounds: Retention | None) -> StreamId:
        number = self.group.create(f"s{len(self.models)}", bounds)
        self.models[number] = Model(bounds is not None and not bounds.unlimited)
        return number

    @rule(
        stream=streams,
        events=st.integers(1, 4),
        size=st.integers(0, 200),
        expected=EXPECTED,
        batch=IDS,
        age=st.sampled_from([0, 1, -SENT_AHEAD_MAX_NS, SECOND_NS, BATCH_IDS_AGE_NS]),
        after=st.sampled_from([0, 1, SECOND_NS, BATCH_IDS_AGE_NS // 10, BATCH_IDS_AGE_NS + 1]),
    )
    def append(
        self,
        stream: StreamId,
        events: int,
        size: int,
        expected: int,
        batch: bytes,
        age: int,
        after: int,
    ) -> None:
        model = self.models[stream]
        known = model.batches.get(batch)
        # It is the same at every retry, and no later than the first attempt (or a little).
        sent_at = model.sent.setdefault(batch, max(1, self.group.now - age))
        outcome = self.group.append(
            stream,
            events,
            size=size,
            expected=expected,
            batch=batch,
            sent_at=sent_at,
            after=after,
        )
        if outcome.code is Code.DUPLICATE:
            assert known is not None and (outcome.base, outcome.count) == known
        elif outcome.code is Code.OUTCOME_UNKNOWN:
            assert batch != NO_ID and expected in (EXPECT_ANY, EXPECT_EXISTS)
            assert sent_at < self.group.now - BATCH_IDS_AGE_NS // 2
        else:
            exact = expected not in (EXPECT_ANY, EXPECT_EXISTS)
            assert batch == NO_ID or known is None or model.sealed or exact, "applied twice"
            self.judge(model, outcome, expected, events)
            if outcome.code is Code.OK:
                model.events += [(b"", 0)] * events
                model.bytes += size
                if batch != NO_ID:
                    model.batches[batch] = (outcome.base, events)

    def judge(self, model: Model, outcome: Outcome, expected: int, events: int) -> None:
        """Without repeats, a seal and the expectation decide."""
        assert outcome.base == len(model.events)
        if model.sealed:
            assert outcome.code is Code.STREAM_SEALED
        elif not model.holds(expected):
            assert outcome.code is Code.WRONG_EXPECTED_OFFSET
        else:
            assert (outcome.code, outcome.count) == (Code.OK, events)

    @rule(
        stream=streams,
        origin=st.sampled_from([b"a" * 16, b"b" * 16]),
        skip=st.integers(-6, 1),
        events=st.integers(1, 4),
        expected=EXPECTED,
    )
    def append_of_origin(
        self, stream: StreamId, origin: bytes, skip: int, events: int, expected: int
    ) -> None:
        model = self.models[stream]
        where = model.sequences(origin)
        seq = max(0, len(where) + skip)
        outcome = self.group.append(
            stream, events, size=10, expected=expected, origin=origin, seq=seq
        )
        if seq > len(where):
            assert (outcome.code, outcome.base) == (Code.ORIGIN_GAP, len(where))
        elif seq == len(where):
            self.judge(model, outcome, expected, events)
            if outcome.code is Code.OK:
                model.events += [(origin, seq + n) for n in range(events)]
                model.bytes += 10
        elif seq + events > len(where):
            assert (outcome.code, outcome.base) == (Code.ORIGIN_OVERLAP, len(where))
        else:
            assert outcome.code is Code.DUPLICATE
            if outcome.base != BASE_UNKNOWN:
                assert where[seq : seq + events] == [outcome.base + n for n in range(events)]

    @rule(one=streams, other=streams, events=st.integers(1, 3), wrong=st.booleans())
    def append_many(self, one: StreamId, other: StreamId, events: int, wrong: bool) -> None:
        if one == other:
            return
        a, b = self.models[one], self.models[other]
        shares = [(one, len(a.events), events), (other, len(b.events) + wrong, 1)]
        outcome = self.group.append_many(shares)
        assert (outcome.code is Code.OK) == (not wrong and not a.sealed and not b.sealed)
        if outcome.code is Code.OK:
            for model, count in ((a, events), (b, 1)):
                model.events += [(b"", 0)] * count
                model.bytes += 50 * count

    @rule(stream=streams)
    def seal(self, stream: StreamId) -> None:
        model = self.models[stream]
        outcome = self.group.command(stream, Seal())
        assert outcome.code is (Code.DUPLICATE if model.sealed else Code.OK)
        model.sealed = True

    @rule(stream=streams, offset=st.integers(0, 40))
    def truncate(self, stream: StreamId, offset: int) -> None:
        model = self.models[stream]
        outcome = self.group.command(stream, TruncateBefore(offset))
        beyond = offset > len(model.events)
        assert outcome.code is (Code.OFFSET_BEYOND_END if beyond else Code.OK)
        if not beyond:
            model.floor = max(model.floor, offset)
            assert model.bounded or outcome.base == model.floor

    @rule(stream=streams, bounds=BOUNDS)
    def set_retention(self, stream: StreamId, bounds: Retention) -> None:
        self.models[stream].bounded |= not bounds.unlimited
        assert self.group.command(stream, SetRetention(bounds)).code is Code.OK

    @rule(after=st.sampled_from([1, SECOND_NS, 50 * SECOND_NS, 200 * SECOND_NS]))
    def pulse(self, after: int) -> None:
        self.group.pulse(after)

    @rule()
    def restart(self) -> None:
        restored = load(chunks(self.group.state))
        assert restored == self.group.state
        self.group.state = restored

    @invariant()
    def agrees(self) -> None:
        for number, model in self.models.items():
            stream = self.group.stream(number)
            assert stream.next == len(model.events)
            assert stream.bytes == model.bytes
            assert stream.sealed == model.sealed
            assert stream.floor >= model.floor
            assert model.bounded or stream.floor == model.floor
            model.floor = stream.floor


TestStreams = StreamsMachine.TestCase
TestStreams.settings = settings(max_examples=60, stateful_step_count=40)
