"""Segments: preallocated files of frames, written once, at places that the log alone decides.

A new segment is a spare file, made ahead of time, that gets its name when its first op is known.
"""

from collections.abc import Iterable, Sequence

from crc32c import crc32c

from veritydb.storage import names
from veritydb.storage.disk import Disk, NoSuchFile, create
from veritydb.storage.holes import HoleMaps, Holes
from veritydb.types import entry, frame
from veritydb.types.durable import Identity
from veritydb.types.frame import BadFrame, Frame, Header
from veritydb.types.ids import Op
from veritydb.types.limits import SEGMENT_BYTES
from veritydb.types.merkle import NO_HASH

BODY_AT = frame.SKELETON.size + frame.HEADER_BYTES
BLOCK_BYTES = 4096


class Segments:
    """The frames of one replica. Any thread may read; one writes."""

    def __init__(self, disk: Disk, who: Identity, holes: HoleMaps) -> None:
        """Use the segments of a directory that was stamped for `who`."""
        assert len(who.cluster) == 16
        self._disk = disk
        self._who = who
        self._holes = holes
        # The writer's own: a segment that is known to exist.
        self._current = ""

    def prepare(self) -> None:
        """Make the spare file if it is missing. Raises DiskFull, and then nothing has changed."""
        if self._disk.size(names.SPARE) != SEGMENT_BYTES:
            create(self._disk, names.SPARE, SEGMENT_BYTES)
        assert self._disk.size(names.SPARE) == SEGMENT_BYTES

    def _ensure(self, segment: Op) -> str:
        """Return the name of a segment's file, which exists durably from now on."""
        name = names.segment(segment)
        if name == self._current:
            return name
        size = self._disk.size(name)
        if size is None:
            self.prepare()
            self._disk.rename(names.SPARE, name)
            self._disk.sync_directory(name)
        elif size < SEGMENT_BYTES:
            # Somebody cut the file short; what is missing reads as rotten and is repaired.
            create(self._disk, name, SEGMENT_BYTES)
        assert (self._disk.size(name) or 0) >= SEGMENT_BYTES
        self._current = name
        return name

    def write(self, frames: Sequence[Frame]) -> None:
        """Write frames durably, each in its place, holes first. Raises DiskFull."""
        assert frames
        for first, last in runs([each.header for each in frames]):
            run = frames[first:last]
            segment = run[0].header.segment
            name = self._ensure(segment)
            holes = [(f.header.op, hole) for f in run for hole in f.holes]
            if holes:
                self._holes.add(segment, holes)
            self._disk.write(name, run[0].header.position, [b for f in run for b in padded(f)])
            self._disk.sync(name)

    def read(self, headers: Sequence[Header]) -> list[Frame | None]:
        """Return the frame of each header, None where the disk holds anything else."""
        found: list[Frame | None] = []
        for first, last in runs(headers):
            run = headers[first:last]
            name, start = names.segment(run[0].segment), run[0].position
            end = run[-1].position + frame.FRAME_OVERHEAD + run[-1].body_len
            try:
                data = memoryview(self._disk.read(name, start, end - start))
            except NoSuchFile:
                data = memoryview(b"")
            for header in run:
                at = header.position - start
                size = frame.FRAME_OVERHEAD + header.body_len
                found.append(self._check(data[at : at + size], header))
        assert len(found) == len(headers)
        return found

    def read_one(self, header: Header) -> Frame | None:
        """Return the frame of one header, None where the disk holds anything else."""
        (found,) = self.read((header,))
        assert found is None or found.header is header
        return found

    def _check(self, data: memoryview, header: Header) -> Frame | None:
        """Return the frame if `data` is the one that the header names."""
        assert header.segment <= header.op
        # The map is looked at after the bytes were read, and written before any byte goes: what
        # an erasure made zero is known here to be a hole.
        return check(data, header, self._holes.of(header.segment, header.op))

    def candidates(self, previous: Header | None, op: Op) -> list[Frame]:
        """Return the frames on disk that chain on `previous` and stand where `op` could stand."""
        places = [(op, 0)]
        if previous is not None:
            end = previous.position + previous.frame_bytes()
            if end + frame.padded(frame.FRAME_OVERHEAD) <= SEGMENT_BYTES:
                places.insert(0, (previous.segment, end))
        found = []
        for segment, position in places:
            header = self._header_at(segment, position)
            if header is not None and header.op == op and follows(header, previous, self._who):
                whole = self.read_one(header)
                if whole is not None:
                    found.append(whole)
        assert len(found) <= 2
        return found

    def _header_at(self, segment: Op, position: int) -> Header | None:
        """Return the header that stands at a place, if one does. Its frame is not checked."""
        assert position >= 0
        try:
            data = self._disk.read(names.segment(segment), position, BODY_AT)
        except NoSuchFile:
            return None
        try:
            header = frame.parse_header(data[frame.SKELETON.size :])
        except BadFrame:
            return None
        return header if (header.segment, header.position) == (segment, position) else None

    def filled(self, segment: Op, start: int, end: int) -> bool:
        """Whether a range of bytes holds anything but zeros."""
        assert 0 <= start < end <= SEGMENT_BYTES
        return bool(self._disk.read(names.segment(segment), start, end - start).strip(b"\0"))

    def erase(self, segment: Op, ranges: Iterable[tuple[int, int]]) -> None:
        """Make ranges of bytes zero, durably, giving back the whole blocks among them."""
        name = names.segment(segment)
        for start, end in ranges:
            assert 0 <= start < end <= SEGMENT_BYTES
            first, last = -(-start // BLOCK_BYTES) * BLOCK_BYTES, end // BLOCK_BYTES * BLOCK_BYTES
            if first >= last:
                self._disk.write(name, start, (bytes(end - start),))
                continue
            self._disk.punch(name, first, last - first)
            if start < first:
                self._disk.write(name, start, (bytes(first - start),))
            if last < end:
                self._disk.write(name, last, (bytes(end - last),))
        self._disk.sync(name)

    def firsts(self) -> list[Op]:
        """Return the first op of every segment file, ascending."""
        found = [name for name in self._disk.names(names.SEGMENTS) if name.endswith(".log")]
        ops = [names.op_of(name) for name in found]
        assert len(found) == len(ops)
        return [op for op in ops if op is not None]

    def remove_behind(self, op: Op) -> None:
        """Remove the segments whose first op is behind `op`: nothing in them is in the log."""
        gone = [first for first in self.firsts() if first > op]
        for first in gone:
            self._holes.forget(first)
            self._disk.remove(names.segment(first))
        self._current = ""
        if gone:
            assert gone[0] > op
            self._disk.sync_directory(names.segment(gone[0]))


def padded(whole: Frame) -> tuple[bytes, ...]:
    """Return a frame's bytes with the padding to whole sectors.

    The CRC of one with holes is made wrong, as it is wrong where the holes were erased in place: if
    the map that names them is lost, their zeros must not pass for events.
    """
    size = frame.FRAME_OVERHEAD + whole.header.body_len
    pad = whole.header.frame_bytes() - size
    assert 0 <= pad < 512
    pieces = frame.buffers(whole)
    if whole.holes:
        pieces = (*pieces[:2], bytes(byte ^ 0xFF for byte in pieces[2]))
    return (*pieces, bytes(pad)) if pad else pieces


def runs(headers: Sequence[Header]) -> list[tuple[int, int]]:
    """Split headers into slices [start, end) whose frames stand side by side in one segment."""
    found: list[tuple[int, int]] = []
    start = 0
    for at in range(1, len(headers) + 1):
        before = headers[at - 1]
        side_by_side = at < len(headers) and (
            headers[at].segment == before.segment
            and headers[at].position == before.position + before.frame_bytes()
        )
        if not side_by_side:
            found.append((start, at))
            start = at
    assert start == len(headers)
    return found


def follows(header: Header, previous: Header | None, who: Identity) -> bool:
    """Whether a header continues the log behind `previous` (None: begins it)."""
    if header.cluster != who.cluster or header.group != who.group:
        return False
    op, link, base = 1, NO_HASH, 0
    if previous is not None:
        op, link = previous.op + 1, previous.hash
        base = previous.entry_base + previous.entry_count
    assert op > 0
    place = frame.place(previous, header.body_len)
    return (header.op, header.previous, header.entry_base) == (op, link, base) and place == (
        header.segment,
        header.position,
    )


def check(data: memoryview, header: Header, holes: Holes) -> Frame | None:
    """Return the frame whose bytes `data` is, None if it is not the one the header names."""
    size = frame.FRAME_OVERHEAD + header.body_len
    assert len(header.raw) == frame.HEADER_BYTES
    if len(data) != size:
        return None
    head = frame.SKELETON.pack(header.op, frame.HEADER_BYTES + header.body_len) + header.raw
    if data[:BODY_AT] != head:
        return None
    body = data[BODY_AT : size - frame.CRC.size]
    if not holes:
        (crc,) = frame.CRC.unpack_from(data, size - frame.CRC.size)
        if crc32c(data[: size - frame.CRC.size]) != crc:
            return None
        return Frame(header, bytes(body))
    # Between the map and the erasing the bytes are still there; they are never shown again.
    whole = mask(Frame(header, bytes(body)), holes)
    return whole if whole is not None and frame.verify_root(whole) else None


def mask(whole: Frame, holes: Holes) -> Frame | None:
    """Return a frame with these holes and its own, zeros in each. None if it has no such parts."""
    body = bytearray(whole.body)
    try:
        spans = hole_spans(whole.header, whole.body, holes)
    except entry.BadEntry:
        return None
    for start, end in spans:
        body[start:end] = bytes(end - start)
    every = {(hole.entry, hole.part): hole for hole in (*holes, *whole.holes)}
    assert len(every) >= len(whole.holes)
    return Frame(whole.header, bytes(body), tuple(every[key] for key in sorted(every)))


def hole_spans(header: Header, body: bytes, holes: Holes) -> list[tuple[int, int]]:
    """Return where in the body the events of each hole's part stand. Raises BadEntry."""
    wanted = {(hole.entry, hole.part) for hole in holes}
    touched = {hole.entry for hole in holes}
    found = []
    for index, (head, start, _) in enumerate(entry.split(body, header.entry_count)):
        if index not in touched:
            continue
        at = start + entry.HEADER_BYTES + head.parts * entry.PART_BYTES
        table = entry.part_table(memoryview(body)[start + entry.HEADER_BYTES :], head.parts)
        for number, part in enumerate(table):
            at += part.descriptor_len
            if (index, number) in wanted:
                found.append((at, at + part.events_len))
            at += part.events_len
    if len(found) != len(wanted):
        raise entry.BadEntry("an erased part does not exist")
    assert all(start <= end for start, end in found)
    return found
