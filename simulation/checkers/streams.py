"""What streams must look like: a second, simpler implementation of them, fed with the log."""

from bisect import bisect_right
from typing import ClassVar

from simulation.checkers.base import TOKEN, Checker, Decided, ReadAnswer, Request
from simulation.checkers.history import Contents
from veritydb.types import multi
from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_EXISTS,
    EXPECT_NO_STREAM,
    HEADER_BYTES,
    EntryHeader,
    Kind,
)
from veritydb.types.outcome import Code, Outcome


class Model:
    """One stream as it should be, at every op."""

    def __init__(self) -> None:
        """Empty."""
        self.tokens: list[bytes] = []
        self.sealed = False
        self.floor = 0
        self.keep = 0
        """How many events retention keeps, 0 for all."""
        self.ages = False
        """Whether retention goes by age: then the floor may be higher than is known here."""
        self._ops: list[int] = [0]
        self._states: list[tuple[int, int, bool]] = [(0, 0, False)]

    @property
    def next(self) -> int:
        """Offset of the next event."""
        return len(self.tokens)

    def record(self, op: int) -> None:
        """Remember how things are after op."""
        if self.keep:
            self.floor = max(self.floor, self.next - self.keep)
        self._ops.append(op)
        self._states.append((self.next, self.floor, self.ages))

    def at(self, op: int) -> tuple[int, int, bool]:
        """(next, floor, whether the floor may be higher) after op."""
        return self._states[bisect_right(self._ops, op) - 1]

    def meets(self, expected: int) -> bool:
        """Whether an append that expects this may go on."""
        if expected == EXPECT_ANY:
            return True
        if expected == EXPECT_NO_STREAM:
            return self.next == 0
        if expected == EXPECT_EXISTS:
            return self.next > 0
        return expected == self.next


class Streams(Checker):
    """Offsets are dense, expectations are honoured, and a read shows the stream of its op."""

    name: ClassVar[str] = "streams"

    def __init__(self) -> None:
        """No streams yet. `requests` are those behind some bytes."""
        self.requests: dict[bytes, Request] = {}
        self._streams: dict[int, Model] = {}
        self._seen: set[tuple[int, bytes, int, int]] = set()
        self._floors: dict[tuple[int, int], int] = {}

    def invoked(self, request: Request) -> None:
        """Note which request these bytes are."""
        self.requests[request.data] = request

    def contents(self) -> dict[int, Contents]:
        """What every stream holds. Events below a floor may still be read for a while."""
        return {number: Contents(model.tokens) for number, model in self._streams.items()}

    def decided(self, group: int, what: Decided) -> None:
        """Replay an op."""
        for header, data, outcome in what.entries():
            if header.session:
                key = (group, header.client, header.session, header.number)
                if key in self._seen:
                    # Answered as it was the first time, whatever the stream is like now.
                    continue
                self._seen.add(key)
            if header.kind == Kind.APPEND:
                self._append(header, data, outcome)
            elif header.kind == Kind.APPEND_MANY:
                self._append_many(header, data, outcome)
            elif header.kind == Kind.COMMAND and outcome.code == Code.OK:
                self._command(header, data, outcome)

    def _append(self, header: EntryHeader, data: bytes, outcome: Outcome) -> None:
        stream = self._streams.get(header.stream)
        op = outcome.op
        if stream is None:
            if outcome.code in (Code.OK, Code.WRONG_EXPECTED_OFFSET):
                self.fail(f"op {op} appends to a stream that was never made")
            return
        meets = stream.meets(header.expected)
        refused = outcome.code == Code.WRONG_EXPECTED_OFFSET
        if refused and (meets or outcome.base != stream.next):
            self.fail(f"op {op} refused: expected {header.expected}, next is {stream.next}")
        if outcome.code != Code.OK:
            return
        if not meets or stream.sealed:
            self.fail(f"op {op} appends, expecting {header.expected}, where next is {stream.next}")
        if (outcome.base, outcome.count) != (stream.next, header.events):
            self.fail(
                f"op {op} gives {outcome.count} offsets from {outcome.base}, not {stream.next}"
            )
        self._add(stream, op, TOKEN.findall(data), header.events)

    def _add(self, stream: Model, op: int, tokens: list[bytes], events: int) -> None:
        if len(tokens) != events:
            self.fail(f"op {op} has {len(tokens)} payloads for {events} events")
        stream.tokens += tokens
        stream.record(op)

    def _append_many(self, header: EntryHeader, data: bytes, outcome: Outcome) -> None:
        if outcome.code != Code.OK:
            return
        tokens = TOKEN.findall(data)
        for share in multi.parse(memoryview(data)[HEADER_BYTES:]):
            stream = self._streams[share.stream]
            if not stream.meets(share.expected) or stream.sealed:
                self.fail(f"op {outcome.op} appends to several streams, one of which has moved")
            if share.events:
                self._add(stream, outcome.op, tokens[: share.events], share.events)
                tokens = tokens[share.events :]

    def _command(self, header: EntryHeader, data: bytes, outcome: Outcome) -> None:
        request = self.requests.get(data)
        if request is None:
            self.fail(f"op {outcome.op} holds a command nobody sent")
            return
        if request.what in ("create", "misplaced"):
            if outcome.stream in self._streams:
                self.fail(f"op {outcome.op} makes stream {outcome.stream} again")
            self._streams[outcome.stream] = Model()
            return
        if request.what == "rules":
            return
        stream = self._streams[header.stream]
        if request.what == "seal":
            stream.sealed = True
        elif request.what in ("truncate", "retain"):
            if not stream.floor <= outcome.base <= stream.next:
                self.fail(f"op {outcome.op} moves a floor from {stream.floor} to {outcome.base}")
            stream.floor = outcome.base
            if request.retention is not None:
                stream.keep = request.retention.max_events
                stream.ages = bool(request.retention.max_age_ns)
            stream.record(outcome.op)

    def read(self, answer: ReadAnswer) -> None:
        """Compare with the stream as of that op."""
        if answer.applied < answer.floor_op:
            self.fail(f"a fresh read shows op {answer.applied}, not {answer.floor_op} known before")
        stream = self._streams.get(answer.stream)
        if stream is None:
            self.fail(f"a read shows stream {answer.stream}, which was never made")
            return
        following, floor, ages = stream.at(answer.applied)
        same = answer.floor == floor or (ages and floor < answer.floor <= following)
        if answer.next != following or not same:
            shown = (answer.next, answer.floor)
            self.fail(f"a read at op {answer.applied} shows {shown}, not {following, floor}")
        known = self._floors.setdefault((answer.stream, answer.applied), answer.floor)
        if known != answer.floor:
            self.fail(f"two reads at op {answer.applied} show floors {known} and {answer.floor}")
        end = answer.first + len(answer.tokens)
        if end > answer.next or answer.tokens != tuple(stream.tokens[answer.first : end]):
            self.fail(f"a read of stream {answer.stream} from {answer.first} shows other events")
