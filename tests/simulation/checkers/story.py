"""A made-up log that checkers are shown, with or without a fault in it."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from simulation.checkers.base import (
    TOKEN_MARK,
    Answer,
    Checker,
    Log,
    Request,
    SentFact,
    Start,
    Watch,
)
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


def request(entry: entries.Entry, floor: int = 0, number: int = 1) -> Request:
    return Request(0, "append", 1, entry.header, entry.data, (token(number),), 0, floor)


def answer(entry: entries.Entry, result: Outcome, floor: int = 0) -> Answer:
    return Answer(request(entry, floor), (1, 0), result, 0)


def sent(kind: str, **changed: object) -> SentFact:
    fact = SentFact((1, 0), 1, 0, kind, 3, 3, 5, b"h", b"story")
    return replace(fact, **changed)  # type: ignore[arg-type]
