"""The part of `verify` that reads the log: journal, chain, frames, entries, holes."""

from collections.abc import Iterator

from crc32c import crc32c

from veritydb.storage import names
from veritydb.storage.disk import Disk, NoSuchFile, first_nonzero
from veritydb.storage.findings import NOTE, Finding, Tally
from veritydb.storage.holes import HoleMaps, Holes
from veritydb.storage.journal import RECORD_BYTES, Journal, RecordState
from veritydb.storage.segments import BODY_AT, check, follows, hole_spans
from veritydb.types import entry, frame
from veritydb.types.durable import Superblock
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import Op
from veritydb.types.limits import SEGMENT_BYTES

BLOCK = 512


class LogCheck:
    """Walks the log from op 1."""

    def __init__(self, disk: Disk, block: Superblock, tally: Tally) -> None:
        """Check what the superblock is the key to; count in `tally`."""
        self._disk = disk
        self._block = block
        self._tally = tally
        self._holes = HoleMaps(disk)
        self.journal = Journal(disk, block.identity)
        self.segments: set[int] = set()
        # The segment that is being walked, and how far its frames reach.
        self._segment: Op | None = None
        self._end = 0
        assert tally.ops == 0

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong with journal, segments and maps."""
        at = first_nonzero(self._disk, names.JOURNAL, 0, RECORD_BYTES)
        if at is not None:
            yield Finding(file=names.JOURNAL, at=at, problem="record 0 is not blank")
        last = self.journal.last_written(0)
        previous: Header | None = None
        broken = False
        for first in range(1, last + 1, BLOCK):
            records = self.journal.read(first, min(last, first + BLOCK - 1))
            for op, (state, header) in enumerate(records, start=first):
                if header is None:
                    yield from self._no_header(op, state)
                    broken = True
                    continue
                if not broken and not follows(header, previous, self._block.identity):
                    problem = "the record does not follow the one before"
                    yield self._at_record(op, problem)
                yield from self._op(header)
                previous, broken = header, False
        yield from self._tail()
        yield from self._ends(last)
        yield from self._maps()

    def _at_record(self, op: int, problem: str) -> Finding:
        assert op > 0
        return Finding(file=names.JOURNAL, at=op * RECORD_BYTES, problem=problem, op=Op(op))

    def _no_header(self, op: int, state: RecordState) -> Iterator[Finding]:
        assert state != RecordState.VALID
        if state == RecordState.ROTTEN:
            yield self._at_record(op, "the record has rotted")
        elif self._block.gap_after < op < self._block.gap_end:
            self._tally.missing += 1
        else:
            yield self._at_record(op, "the record is blank and there are records behind it")

    def _ends(self, last: int) -> Iterator[Finding]:
        """Check what the superblock says of the log against the log."""
        for header in self._block.view_state.headers:
            installed = self._block.view_state.log_view == self._block.view_state.view
            there = self.journal.header(header.op) if header.op <= last else None
            if installed and there is not None and there.hash != header.hash:
                yield self._at_record(header.op, "the superblock names another header here")
        ref = self._block.snapshot
        assert ref.op >= 0
        if ref.op:
            base = self.journal.header(ref.op)
            if base is not None and base.hash != ref.header_hash:
                yield self._at_record(ref.op, "the snapshot is of another header")
            elif last < ref.op:
                yield self._at_record(ref.op, "the log ends before the snapshot")

    def _op(self, header: Header) -> Iterator[Finding]:
        """Check one frame."""
        if header.segment != self._segment:
            yield from self._tail()
            self._segment = header.segment
            self.segments.add(header.segment)
        self._end = header.position + header.frame_bytes()
        self._tally.ops += 1
        self._tally.entries += header.entry_count
        self._tally.bytes += header.frame_bytes()
        assert self._end <= SEGMENT_BYTES
        name = names.segment(header.segment)
        try:
            data = self._disk.read(name, header.position, header.frame_bytes())
        except NoSuchFile:
            data = b""
        holes = self._holes.of(header.segment, header.op)
        size = frame.FRAME_OVERHEAD + header.body_len
        whole = check(memoryview(data)[:size], header, holes)
        if whole is None:
            if not data and self._block.gap_after < header.op <= self._block.gap_end:
                self._tally.missing += 1
                return
            if self._fetched_later(header):
                self._tally.missing += 1
                return
            yield self._bad_frame(header, data)
            return
        rest = data[size:]
        if any(rest):
            at = header.position + len(data) - len(rest.lstrip(b"\0"))
            yield Finding(file=name, at=at, problem="padding is not zero", op=header.op)
        if not frame.verify_root(whole):
            problem = "the body does not match the Merkle root"
            yield Finding(file=name, at=header.position, problem=problem, op=header.op)
        yield from self._entries(whole, data)

    def _fetched_later(self, header: Header) -> bool:
        """Whether this is the op of another replica's snapshot, whose frame was not fetched yet.

        Bytes of a log that was given up may stand in its place. Ops are fetched from it downwards.
        """
        op, gap_after = header.op, self._block.gap_after
        assert op > 0
        if not gap_after < op == self._block.gap_end:
            return False
        return op - 1 == gap_after or self.journal.header(op - 1) is None

    def _bad_frame(self, header: Header, data: bytes) -> Finding:
        """Say where a bad frame begins to be bad, as far as that can be told."""
        head = frame.SKELETON.pack(header.op, frame.HEADER_BYTES + header.body_len) + header.raw
        at = next((at for at in range(len(head)) if data[at : at + 1] != head[at : at + 1]), None)
        if at is None:
            at = _bad_entry(memoryview(data)[BODY_AT : BODY_AT + header.body_len], header)
            at = None if at is None else BODY_AT + at
        assert at is None or 0 <= at <= SEGMENT_BYTES
        if at is None:
            at, problem = 0, "the frame's checksum does not match"
        else:
            problem = "the frame has rotted"
        name = names.segment(header.segment)
        return Finding(file=name, at=header.position + at, problem=problem, op=header.op)

    def _entries(self, whole: Frame, data: bytes) -> Iterator[Finding]:
        """Check the entries of a frame that is what was agreed on."""
        header = whole.header
        name = names.segment(header.segment)
        erased = {hole.entry for hole in whole.holes}
        body = memoryview(whole.body)
        try:
            for index, (head, start, end) in enumerate(entry.split(body, header.entry_count)):
                self._tally.events += head.events if head.parts else 0
                inside = body[start + entry.HEADER_BYTES : end]
                entry.check_parts(inside, head)
                if index not in erased and crc32c(inside) != head.crc:
                    at = header.position + BODY_AT + start
                    problem = f"the checksum of entry {index} does not match"
                    yield Finding(file=name, at=at, problem=problem, op=header.op)
        except entry.BadEntry as error:
            at = header.position + BODY_AT
            yield Finding(file=name, at=at, problem=str(error), op=header.op)
        self._tally.erased += len(whole.holes)
        for start, end in hole_spans(header, whole.body, whole.holes):
            left = data[BODY_AT + start : BODY_AT + end]
            if any(left):
                at = header.position + BODY_AT + end - len(left.lstrip(b"\0"))
                problem = "erased events are still there"
                yield Finding(file=name, at=at, problem=problem, op=header.op, severity=NOTE)
        assert self._tally.erased >= 0

    def _tail(self) -> Iterator[Finding]:
        """Check that nothing stands behind the last frame of the segment that was walked."""
        if self._segment is None:
            return
        assert self._end <= SEGMENT_BYTES
        name = names.segment(self._segment)
        size = self._disk.size(name)
        if size is None:
            yield Finding(file=name, at=0, problem="the segment is missing")
            return
        if size != SEGMENT_BYTES:
            at = min(size, SEGMENT_BYTES)
            problem = f"the segment has {size} bytes, not {SEGMENT_BYTES}"
            yield Finding(file=name, at=at, problem=problem)
        found = first_nonzero(self._disk, name, self._end, size)
        if found is not None:
            problem = "bytes that no record names stand behind the last frame"
            yield Finding(file=name, at=found, problem=problem, severity=NOTE)

    def _maps(self) -> Iterator[Finding]:
        """Check the maps of what was erased."""
        for segment in self._holes.segments():
            name = names.holes(segment)
            parsed = self._holes.map_of(segment)
            assert parsed.used >= 1
            for index in parsed.rotten:
                problem = f"record {index} of the map has rotted"
                yield Finding(file=name, at=index * 64, problem=problem)
            if parsed.done != parsed.used - 1 and 0 not in parsed.rotten:
                problem = "an erasure was not finished"
                yield Finding(file=name, at=0, problem=problem, severity=NOTE)
            for op, holes in parsed.ops.items():
                yield from self._hole(segment, op, holes)

    def _hole(self, segment: Op, op: Op, holes: Holes) -> Iterator[Finding]:
        header = self.journal.header(op)
        assert holes
        if header is None and self._block.gap_after < op < self._block.gap_end:
            return
        if header is None or header.segment != segment:
            problem = f"the map names op {op}, which is not in the segment"
            yield Finding(file=names.holes(segment), at=0, problem=problem, op=op)


def _bad_entry(body: memoryview, header: Header) -> int | None:
    """Return where the first entry begins that is not in order, None if all seem to be."""
    at = 0
    assert header.entry_count >= 0
    try:
        for head, start, end in entry.split(body, header.entry_count):
            at = start
            if crc32c(body[start + entry.HEADER_BYTES : end]) != head.crc:
                return at
            at = end
    except entry.BadEntry:
        return at
    return None
