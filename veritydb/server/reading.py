"""Finding a stream's events in the log. Runs on a reader thread.

The index only says where to look. What is found there is checked against the entry's header and its
outcome, so a wrong row leads to a refusal and a rebuilt index, and never to a wrong event.
"""

from collections.abc import Iterator

import msgspec

from veritydb.node.runs import runs_of
from veritydb.server.index import Extent, Row, StreamIndex
from veritydb.server.recent import Recent
from veritydb.types import multi
from veritydb.types.entry import HEADER_BYTES, BadEntry, EntryHeader, Kind, split
from veritydb.types.frame import Frame
from veritydb.types.limits import READ_BYTES_MAX
from veritydb.types.outcome import RECORD_BYTES, Code, Outcome, chain, decode, encode

READ_AHEAD_BYTES = READ_BYTES_MAX


class Unreadable(Exception):
    """A frame is missing or rotten on this node. It is repaired from peers; ask again, or them.

    `op` is the one, where it is known to be in the log.
    """

    def __init__(self, op: int = 0) -> None:
        super().__init__()
        self.op = op


class WrongIndex(Exception):
    """The index does not fit the log: it has to be rebuilt."""


class NotIndexed(Exception):
    """The index is being rebuilt and does not cover this yet."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """One entry that holds events of the stream: `base` to `base + count`."""

    base: int
    count: int
    op: int
    index: int
    timestamp: int
    header: EntryHeader
    data: bytes
    erased: bool

    @property
    def end(self) -> int:
        """The offset after its last event."""
        return self.base + self.count


class AuditRow(msgspec.Struct, frozen=True, gc=False):
    """One op: its records, the headers of its entries, and the chain head after it."""

    op: int
    timestamp: int
    records: tuple[bytes, ...]
    headers: tuple[EntryHeader, ...]
    head: bytes


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a stream from `at` on, up to `end` (backwards: below `at`, down to `end`).

    `time` skips what is older, whatever `at` says. At least one entry is returned if there is one.
    """

    stream: int
    at: int
    end: int
    backwards: bool
    events_max: int
    bytes_max: int
    time: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Entries in the order asked for, and where to go on."""

    found: tuple[Found, ...]
    next: int


class LogReader:
    """Reads one group's committed log."""

    def __init__(self, recent: Recent, index: StreamIndex) -> None:
        self._recent = recent
        self._index = index

    def read(self, query: Query) -> Page:
        """Collect a page. Raises Unreadable, WrongIndex, NotIndexed, sqlite3.Error, DiskError."""
        at = query.at
        if query.time is not None:
            at = self._start(query, query.time)
        found: list[Found] = []
        events = size = 0
        for one in self._walk(query, at):
            found.append(one)
            if query.backwards:
                events += min(at, one.end) - max(one.base, query.end)
                at = max(one.base, query.end)
            else:
                events += min(one.end, query.end) - max(one.base, at)
                at = min(one.end, query.end)
            size += len(one.data)
            if events >= query.events_max or size >= query.bytes_max:
                break
        # The last entry may hold more than was asked for: go on in its middle.
        excess = max(0, events - query.events_max)
        return Page(tuple(found), at + excess if query.backwards else at - excess)

    def _start(self, query: Query, time: int) -> int:
        """The offset of the first event whose log time is not before `time`."""
        low, high = (query.end, query.at) if query.backwards else (query.at, query.end)
        at = self._index.offset_at_time(query.stream, time, low, high)
        forward = msgspec.structs.replace(query, backwards=False, at=at, end=high)
        for one in self._walk(forward, at):
            if one.timestamp >= time:
                return max(one.base, low)
        return high

    def _walk(self, query: Query, at: int) -> Iterator[Found]:
        """The stream's entries one after another, from the one that holds `at`."""
        while at > query.end if query.backwards else at < query.end:
            wanted = at - 1 if query.backwards else at
            row = self._index.row_at(query.stream, wanted)
            if row is None:
                raise NotIndexed
            if query.backwards:
                for one in reversed(list(self._entries(query, row))):
                    if one.base < at:
                        yield one
                        at = one.base
                        if at <= query.end:
                            return
            else:
                for one in self._entries(query, row):
                    if one.end > at:
                        if one.base > at:
                            raise WrongIndex
                        yield one
                        at = one.end
                        if at >= query.end:
                            return

    def _entries(self, query: Query, row: Row) -> Iterator[Found]:
        """The entries of one row, which must be exactly what it says."""
        at = row.base
        op = row.op
        while op <= row.last_op:
            frames = self._recent.frames(op, row.last_op, READ_AHEAD_BYTES)
            if not frames:
                raise Unreadable
            for number, frame in enumerate(frames, start=op):
                if frame is None:
                    raise Unreadable(number)
                for one in entries_of(frame, self._outcomes(frame), query.stream):
                    # A run may begin behind others of the same op, never before its own base.
                    if one.base < row.base or one.base >= row.end:
                        continue
                    if one.base != at:
                        raise WrongIndex
                    at = one.end
                    yield one
            op += len(frames)
        if at != row.end:
            raise WrongIndex

    def _outcomes(self, frame: Frame) -> list[Outcome]:
        return outcomes_of(self._recent, frame)

    def extents(self, first: int, last: int) -> list[tuple[int, int, list[Extent]]]:
        """What the index should say of ops `first` to `last`, as far as one read goes."""
        told: list[tuple[int, int, list[Extent]]] = []
        for op, frame in enumerate(self._recent.frames(first, last, READ_AHEAD_BYTES), first):
            if frame is None:
                raise Unreadable(op)
            outcomes = self._outcomes(frame)
            told.append((frame.header.op, frame.header.timestamp, extents_of(frame, outcomes)))
        return told

    # -- the outcome chain

    def head_before(self, op: int) -> bytes:
        """The chain head after `op` - 1. Raises Unreadable."""
        frame = self._frame(op)
        head = frame.header.outcomes
        at = frame.header.commit + 1
        while at < op:
            for row in self.audit(at, op - 1, head):
                head = row.head
                at = row.op + 1
        return head

    def _frame(self, op: int) -> Frame:
        frames = self._recent.frames(op, op, 0)
        if not frames or frames[0] is None:
            raise Unreadable(op)
        return frames[0]

    def audit(self, first: int, last: int, head: bytes) -> list[AuditRow]:
        """Ops from `first` on, as far as one read goes; `head` is the chain's before the first."""
        rows = []
        for op, frame in enumerate(self._recent.frames(first, last, READ_AHEAD_BYTES), first):
            if frame is None:
                raise Unreadable(op)
            records = tuple(map(encode, self._outcomes(frame)))
            head = chain(head, records)
            header = frame.header
            parsed = tuple(one for one, _, _ in split(frame.body, header.entry_count))
            rows.append(AuditRow(header.op, header.timestamp, records, parsed, head))
        if not rows:
            raise Unreadable
        return rows


def outcomes_of(recent: Recent, frame: Frame) -> list[Outcome]:
    """The outcomes of a frame's entries. Raises Unreadable unless they are known and its own."""
    count = frame.header.entry_count
    data = recent.outcomes(frame.header.entry_base, count)
    if len(data) != count * RECORD_BYTES:
        raise Unreadable
    try:
        found = [decode(data, at * RECORD_BYTES) for at in range(count)]
    except ValueError:
        raise Unreadable from None
    if any(o.op != frame.header.op or o.entry != at for at, o in enumerate(found)):
        raise Unreadable
    return found


def entries_of(frame: Frame, outcomes: list[Outcome], stream: int) -> Iterator[Found]:
    """The accepted entries of a frame that hold events of a stream."""
    body = memoryview(frame.body)
    try:
        for at, (header, start, end) in enumerate(split(body, frame.header.entry_count)):
            if outcomes[at].code is not Code.OK:
                continue
            parts = (0, header.parts)
            if header.kind is Kind.APPEND and header.stream == stream:
                base, count = outcomes[at].base, outcomes[at].count
            elif header.kind is Kind.APPEND_MANY:
                shares = multi.parse(body[start + HEADER_BYTES : end])
                mine = next((s for s in shares if s.stream == stream and s.events), None)
                if mine is None:
                    continue
                base, count = mine.base, mine.events
                parts = multi.part_range(shares, mine.stream) or parts
            else:
                continue
            if base >> 63 or (header.kind is Kind.APPEND and count != header.events):
                raise WrongIndex
            yield Found(
                base=base,
                count=count,
                op=frame.header.op,
                index=at,
                timestamp=frame.header.timestamp,
                header=header,
                data=bytes(body[start:end]),
                erased=any(h.entry == at and parts[0] <= h.part < parts[1] for h in frame.holes),
            )
    except BadEntry:
        raise Unreadable from None


def extents_of(frame: Frame, outcomes: list[Outcome]) -> list[Extent]:
    """What each accepted entry of a frame gave to which stream."""
    try:
        return [Extent(r.stream, r.base, r.count, r.bytes) for r in runs_of(frame, outcomes)]
    except BadEntry:
        raise Unreadable from None
