"""Each checker, shown what it must not let pass, and the same without the fault."""

from collections.abc import Callable

import msgspec
import pytest

from simulation.checkers.base import (
    TOKEN_MARK,
    Answer,
    Checker,
    Decided,
    Log,
    ReadAnswer,
    Request,
    SentFact,
    Start,
    Watch,
)
from simulation.checkers.clients import ExactlyOnce, RealTime, Replies
from simulation.checkers.log import Agreement, Durability, HashChain, OutcomeChain, Timestamps
from simulation.checkers.messages import AcksDurable, Promises, SameStory, ViewsDurable
from simulation.checkers.placement import Placement
from simulation.checkers.streams import Streams
from simulation.world import Failure
from veritydb.types import entry as entries
from veritydb.types import outcome as outcomes
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.event import Event
from veritydb.types.frame import Header, place, seal
from veritydb.types.ids import ClientId, GroupId, Op, StreamId, View
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code, Outcome
from veritydb.wire.batch import encode_batch

STREAM = StreamId(1 << 48 | 1)
CLIENT = ClientId(b"c" * 16)


def token(number: int) -> bytes:
    return TOKEN_MARK + number.to_bytes(12, "big")


def append(number: int, session: int = 3, batch: bytes = bytes(16)) -> entries.Entry:
    made = encode_batch([Event("Noted", token(number))], b"i" * 16)
    header = EntryHeader(
        kind=Kind.APPEND,
        client=CLIENT,
        session=session,
        number=number,
        stream=STREAM,
        batch=batch,
        parts=made.parts,
        events=made.events,
        body_len=len(made.body),
        crc=made.crc,
    )
    return entries.make(header, made.body)


def outcome(op: int, code: Code = Code.OK, base: int = 0, entry: int = 0) -> Outcome:
    return Outcome(
        code=code, kind=2, policy=0, op=op, tenant=0, stream=STREAM, base=base, count=1, entry=entry
    )


class Story:
    """Ops one after the other, each with one entry."""

    def __init__(self) -> None:
        self.ops: list[tuple[Header, bytes, bytes]] = []
        self.heads = [NO_HASH]

    def add(self, entry: entries.Entry, result: Outcome, **changed: object) -> None:
        last = self.ops[-1][0] if self.ops else None
        op = len(self.ops) + 1
        segment, position = place(last, len(entry.data))
        header = Header(
            cluster=b"x" * 16,
            group=GroupId(1),
            epoch=0,
            view=View(1),
            op=Op(op),
            commit=Op(op - 1),
            timestamp=1000 * op,
            kernel=1,
            segment=segment,
            position=position,
            entry_base=op - 1,
            entry_count=1,
            body_len=len(entry.data),
            previous=last.hash if last else NO_HASH,
            outcomes=self.heads[-1],
            root=entry.leaf,
        )
        record = outcomes.encode(result)
        self.heads.append(outcomes.chain(self.heads[-1], [record]))
        self.ops.append((seal(msgspec.structs.replace(header, **changed)), entry.data, record))

    def tell(self, watch: Watch, index: int = 0) -> None:
        watch.begun((1, index), Start(0))
        for header, body, records in self.ops:
            watch.applied((1, index), header, body, records)


def appends(count: int) -> Story:
    story = Story()
    for number in range(1, count + 1):
        story.add(append(number), outcome(number, base=number - 1))
    return story


def checked(make: Callable[[Log], Checker]) -> Watch:
    log: Log = {}
    return Watch(log, [make(log)])


LOG_CHECKERS: list[Callable[[Log], Checker]] = [
    Agreement,
    HashChain,
    OutcomeChain,
    lambda log: Timestamps(log, lambda: 10**6),
]


@pytest.mark.parametrize("make", LOG_CHECKERS)
def test_a_sound_log_passes(make: Callable[[Log], Checker]) -> None:
    watch = checked(make)
    for index in range(3):
        appends(5).tell(watch, index)
    watch.ended()


def test_two_replicas_with_another_op_disagree() -> None:
    watch = checked(Agreement)
    appends(2).tell(watch)
    other = Story()
    other.add(append(1), outcome(1))
    other.add(append(9), outcome(2))
    with pytest.raises(Failure, match="another op 2"):
        other.tell(watch, 1)


def test_an_op_left_out_is_seen() -> None:
    watch = checked(Agreement)
    story = appends(3)
    del story.ops[1]
    with pytest.raises(Failure, match="applies op 3 after 1"):
        story.tell(watch)


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (HashChain, {"previous": b"?" * 32}),
        (HashChain, {"position": 512 * 77}),
        (HashChain, {"entry_base": 7}),
        (HashChain, {"view": View(0)}),
        (LOG_CHECKERS[3], {"timestamp": 1000}),
        (LOG_CHECKERS[3], {"timestamp": 10**7}),
        (OutcomeChain, {"outcomes": b"?" * 32}),
    ],
)
def test_a_header_that_lies_is_seen(
    make: Callable[[Log], Checker], changed: dict[str, object]
) -> None:
    story = appends(1)
    story.add(append(2), outcome(2, base=1), **changed)
    with pytest.raises(Failure):
        story.tell(checked(make))


def test_replicas_with_other_outcomes_are_seen() -> None:
    watch = checked(OutcomeChain)
    appends(1).tell(watch)
    other = Story()
    other.add(append(1), outcome(1, base=5))
    with pytest.raises(Failure, match="other outcomes"):
        other.tell(watch, 1)


@pytest.mark.parametrize(("disks", "enough"), [(1, False), (2, True)])
def test_an_op_has_to_be_on_a_quorum_of_disks(disks: int, enough: bool) -> None:
    log: Log = {}
    checker = Durability(log, lambda replica, header: replica[1] < disks)
    checker.groups = {1: 3}
    watch = Watch(log, [checker])
    if enough:
        appends(1).tell(watch)
    with pytest.raises(Failure, match="has lost op 1" if enough else "on 1 disks only"):
        watch.ended() if enough else appends(1).tell(watch)


@pytest.mark.parametrize("batch", [bytes(16), b"b" * 16])
def test_a_request_applied_twice_is_seen(batch: bytes) -> None:
    log: Log = {}
    story = Story()
    session = 0 if any(batch) else 3
    for op in (1, 2):
        story.add(append(1, session, batch), outcome(op, base=op - 1))
    with pytest.raises(Failure, match="again in op 2"):
        story.tell(Watch(log, [ExactlyOnce()]))


def request(entry: entries.Entry, floor: int = 0, number: int = 1) -> Request:
    return Request(0, "append", 1, entry.header, entry.data, (token(number),), 0, floor)


def answer(entry: entries.Entry, result: Outcome, floor: int = 0) -> Answer:
    return Answer(request(entry, floor), (1, 0), result, 0)


def test_an_acknowledged_payload_that_is_nowhere_is_missed() -> None:
    log: Log = {}
    watch = Watch(log, [ExactlyOnce()])
    appends(2).tell(watch)
    watch.answered(answer(append(1), outcome(1)))
    watch.ended()
    watch.answered(Answer(request(append(9), number=9), (1, 0), outcome(2), 0))
    with pytest.raises(Failure, match="acknowledged"):
        watch.ended()


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (1, outcome(7)),
        (1, outcome(1, entry=3)),
        (1, outcome(1, base=4)),
        (1, outcome(2, base=1)),
    ],
)
def test_an_answer_that_is_not_the_logs_is_seen(number: int, result: Outcome) -> None:
    watch = checked(Replies)
    appends(2).tell(watch)
    watch.answered(answer(append(1), outcome(1)))
    watch.answered(answer(append(1), outcome(1, Code.DUPLICATE)))
    with pytest.raises(Failure):
        watch.answered(answer(append(number), result))


def test_an_answer_from_the_past_is_seen() -> None:
    checker = RealTime()
    checker.answered(answer(append(1), outcome(5), floor=4))
    with pytest.raises(Failure):
        checker.answered(answer(append(1), outcome(5), floor=5))


def stream_watch() -> Watch:
    checker = Streams()
    create = entries.with_body(EntryHeader(kind=Kind.COMMAND), b"create")
    checker.requests[create.data] = Request(0, "create", 1, create.header, create.data, (), 0, 0)
    story = Story()
    story.add(create, outcome(1))
    story.add(append(1), outcome(2, base=0))
    story.add(append(2), outcome(3, base=1))
    watch = Watch({}, [checker])
    story.tell(watch)
    return watch


def read(**changed: object) -> ReadAnswer:
    answer = ReadAnswer(0, (1, 0), STREAM, 3, 0, 2, 0, 0, (token(1), token(2)))
    return answer._replace(**changed)  # type: ignore[arg-type]


def test_a_read_shows_the_stream_of_its_op() -> None:
    watch = stream_watch()
    watch.read(read())
    watch.read(read(applied=2, next=1, tokens=(token(1),)))
    for wrong in (
        read(next=3),
        read(floor=1),
        read(tokens=(token(2), token(1))),
        read(applied=2),
        read(floor_op=4),
        read(stream=STREAM + 1),
    ):
        with pytest.raises(Failure):
            watch.read(wrong)


@pytest.mark.parametrize(
    ("code", "base", "expected"),
    [
        (Code.OK, 5, entries.EXPECT_ANY),
        (Code.OK, 0, 3),
        (Code.WRONG_EXPECTED_OFFSET, 0, entries.EXPECT_ANY),
        (Code.WRONG_EXPECTED_OFFSET, 9, 3),
    ],
)
def test_an_append_must_end_as_the_model_says(code: Code, base: int, expected: int) -> None:
    checker = Streams()
    create = entries.with_body(EntryHeader(kind=Kind.COMMAND), b"create")
    checker.requests[create.data] = Request(0, "create", 1, create.header, create.data, (), 0, 0)
    made = append(1)
    made = entries.make(
        msgspec.structs.replace(made.header, expected=expected), made.data[entries.HEADER_BYTES :]
    )
    story = Story()
    story.add(create, outcome(1))
    story.add(made, outcome(2, code, base))
    with pytest.raises(Failure):
        story.tell(Watch({}, [checker]))


def sent(kind: str, **changed: object) -> SentFact:
    fact = SentFact((1, 0), 1, 0, kind, 3, 3, 5, b"h", b"story")
    return fact._replace(**changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fact", "durable"),
    [
        (sent("StartViewChange"), (2, 2)),
        (sent("PrepareOk"), (3, 2)),
        (sent("DoViewChange"), (3, 2)),
    ],
)
def test_a_message_of_a_view_that_may_be_forgotten_is_seen(
    fact: SentFact, durable: tuple[int, int]
) -> None:
    ViewsDurable(lambda replica: (3, 3)).sent(fact)
    ViewsDurable(lambda replica: (0, 0)).sent(fact._replace(kind="Ping"))
    with pytest.raises(Failure):
        ViewsDurable(lambda replica: durable).sent(fact)


def test_an_acknowledgement_of_what_may_be_lost_is_seen() -> None:
    AcksDurable(lambda replica, op, digest: True).sent(sent("PrepareOk"))
    with pytest.raises(Failure):
        AcksDurable(lambda replica, op, digest: False).sent(sent("PrepareOk"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (sent("DoViewChange"), sent("DoViewChange", content=b"another")),
        (sent("DoViewChange"), sent("PrepareOk", view=2)),
        (sent("Prepare"), sent("Prepare", hash=b"other")),
    ],
)
def test_a_replica_that_tells_two_stories_is_seen(first: SentFact, second: SentFact) -> None:
    checker = SameStory()
    checker.sent(first)
    checker.sent(first)
    with pytest.raises(Failure):
        checker.sent(second)


def test_a_replacement_that_speaks_too_soon_is_seen() -> None:
    """Its predecessor acknowledged two ops that were decided, and a third that was not."""
    watch = checked(Agreement)
    appends(2).tell(watch)
    checker = Promises(watch.log)
    checker.sent(sent("PrepareOk", op=3, incarnation=0))
    checker.sent(sent("Ping", incarnation=1))
    checker.sent(sent("PrepareOk", op=2, incarnation=1))
    checker.sent(sent("PrepareOk", op=9, incarnation=0))
    for kind in ("PrepareOk", "DoViewChange"):
        with pytest.raises(Failure, match="promised"):
            checker.sent(sent(kind, op=1, incarnation=1))


def test_a_payload_away_from_home_is_seen() -> None:
    checker = Placement({1: frozenset({0, 1}), 2: frozenset({2})})
    payload = b"..." + TOKEN_MARK + (1).to_bytes(4, "big") + b"12345678"
    checker.bytes_at((0, 1), payload, "on a link")
    checker.bytes_at((2,), b"nothing of interest", "on a disk")
    with pytest.raises(Failure, match="group 1 is on a disk"):
        checker.bytes_at((2,), payload, "on a disk")


def test_what_is_decided_is_handed_out_with_its_entries() -> None:
    watch = checked(Agreement)
    appends(1).tell(watch)
    (decided,) = watch.log[1]
    assert isinstance(decided, Decided)
    ((header, data, result),) = decided.entries()
    assert (header.number, data, result.code) == (1, append(1).data, Code.OK)
