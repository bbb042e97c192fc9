"""The map of what was erased from a segment. An entry is durable here before its bytes go.

    record 0:       crc32c | format u16 | "cH" | done u64                                    | zero
    record i, 64 B: crc32c | format u16 | "oH" | op u64 | entry u32 | part u32 | digest 32 B | zero

`done` counts the records whose bytes are gone for good. It may lag or be blank (erasing twice does
no harm) and never leads, so a start finishes what a crash interrupted.
"""

import struct

import msgspec
from crc32c import crc32c

from veritydb.storage import names
from veritydb.storage.disk import Disk, DiskError, create
from veritydb.storage.errors import UnknownFormat
from veritydb.types.frame import Hole
from veritydb.types.ids import Op

FORMAT = 1
RECORD_BYTES = 64
COUNTED = b"cH"
HOLE = b"oH"
HEAD = struct.Struct("<IH2s")
COUNT = struct.Struct("<Q48x")
WHERE = struct.Struct("<QII32s8x")
STEP_BYTES = 4096
CACHED_MAPS = 2
assert HEAD.size + COUNT.size == HEAD.size + WHERE.size == RECORD_BYTES

Holes = tuple[Hole, ...]


class HoleMap(msgspec.Struct, frozen=True):
    """One map as read: holes by op (each in order), records in use, those done, those rotten."""

    ops: dict[Op, Holes]
    used: int
    done: int
    rotten: tuple[int, ...]


def _seal(marker: bytes, content: bytes) -> bytes:
    tail = HEAD.pack(0, FORMAT, marker)[4:] + content
    assert len(tail) == RECORD_BYTES - 4
    return crc32c(tail).to_bytes(4, "little") + tail


def encode_count(done: int) -> bytes:
    """Return record 0."""
    assert done >= 0
    return _seal(COUNTED, COUNT.pack(done))


def encode_hole(op: Op, hole: Hole) -> bytes:
    """Return the record of one erased part."""
    assert len(hole.digest) == 32
    return _seal(HOLE, WHERE.pack(op, hole.entry, hole.part, hole.digest))


def _content(record: bytes, marker: bytes) -> bytes | None:
    """Return what the checksum covers, None if it is rotten. Raises UnknownFormat."""
    assert len(marker) == 2
    if len(record) != RECORD_BYTES:
        return None
    crc, form, found = HEAD.unpack_from(record)
    if crc32c(memoryview(record)[4:]) != crc or found != marker:
        return None
    if form != FORMAT:
        raise UnknownFormat(f"a map of erased parts has format {form}; known is {FORMAT}")
    return record[HEAD.size :]


def decode(data: bytes) -> HoleMap:
    """Read a whole map. Records that are rotten are left out and counted. Raises UnknownFormat."""
    blank = bytes(RECORD_BYTES)
    used = -(-len(data.rstrip(b"\0")) // RECORD_BYTES)
    rotten: list[int] = []
    ops: dict[Op, dict[tuple[int, int], Hole]] = {}
    # Blank until an erasure is finished for the first time.
    begun = any(data[:RECORD_BYTES])
    count = _content(data[:RECORD_BYTES], COUNTED) if begun else None
    if begun and count is None:
        rotten.append(0)
    for index in range(1, used):
        record = data[index * RECORD_BYTES : (index + 1) * RECORD_BYTES]
        content = None if record == blank else _content(record, HOLE)
        if content is None or any(content[-8:]):
            rotten.append(index)
            continue
        op, entry, part, digest = WHERE.unpack(content)
        ops.setdefault(Op(op), {})[entry, part] = Hole(entry, part, digest)
    done = COUNT.unpack(count)[0] if count is not None else 0
    found = {op: tuple(holes[key] for key in sorted(holes)) for op, holes in ops.items()}
    assert all(found.values())
    return HoleMap(found, max(used, 1), done, tuple(rotten))


class HoleMaps:
    """The maps of all segments.

    Any thread may call `of`. What it shares with the writer is replaced whole and never changed: a
    number per segment that grows after each write, and a few parsed maps with the number they were
    read at. A reader that lost a race reads the file once more.
    """

    def __init__(self, disk: Disk) -> None:
        """List the segments that have a map; what is in them is read when it is needed."""
        self._disk = disk
        found = [name for name in disk.names(names.SEGMENTS) if name.endswith(".holes")]
        ops = [names.op_of(name) for name in found]
        self._generations = {op: 1 for op in ops if op is not None}
        self._cached: tuple[tuple[int, int, HoleMap], ...] = ()
        assert len(self._generations) <= len(found)

    def segments(self) -> list[Op]:
        """Return the segments that have a map."""
        assert all(first > 0 for first in self._generations)
        return sorted(self._generations)

    def of(self, segment: Op, op: Op) -> Holes:
        """Return the holes of one frame. Raises DiskError."""
        assert segment <= op
        if segment not in self._generations:
            return ()
        return self.map_of(segment).ops.get(op, ())

    def map_of(self, segment: Op) -> HoleMap:
        """Return the map of a segment that has one. Raises DiskError."""
        generation = self._generations[segment]
        cached = self._cached
        for first, number, parsed in cached:
            if first == segment and number == generation:
                return parsed
        name = names.holes(segment)
        parsed = decode(self._disk.read(name, 0, self._disk.size(name) or 0))
        others = tuple(kept for kept in cached if kept[0] != segment)
        self._cached = ((segment, generation, parsed), *others)[:CACHED_MAPS]
        assert len(self._cached) <= CACHED_MAPS
        return parsed

    def add(self, segment: Op, found: list[tuple[Op, Hole]]) -> None:
        """Record holes durably, leaving out what is known. Writer only.

        Raises DiskFull, and DiskError also if what was written cannot be read again.
        """
        name = names.holes(segment)
        if segment not in self._generations:
            create(self._disk, name, STEP_BYTES)
            self._generations = {**self._generations, segment: 1}
        known = self.map_of(segment)
        new = [
            encode_hole(op, hole)
            for op, hole in found
            if all((hole.entry, hole.part) != (k.entry, k.part) for k in known.ops.get(op, ()))
        ]
        if not new:
            return
        # What rotted was lost, and comes again with the frame that a peer mends; nothing else would
        # ever write over it.
        slots = [at for at in known.rotten if at > 0][: len(new)]
        if slots and slots[0] <= known.done:
            # The bytes of a new record are not gone yet.
            self._disk.write(name, 0, (encode_count(slots[0] - 1),))
            self._disk.sync(name)
        more = new[len(slots) :]
        end = (known.used + len(more)) * RECORD_BYTES
        if end > (self._disk.size(name) or 0):
            self._disk.allocate(name, -(-end // STEP_BYTES) * STEP_BYTES)
        for slot, record in zip(slots, new, strict=False):
            self._disk.write(name, slot * RECORD_BYTES, (record,))
        if more:
            self._disk.write(name, known.used * RECORD_BYTES, (b"".join(more),))
        self._disk.sync(name)
        self._generations = {**self._generations, segment: self._generations[segment] + 1}
        if self.map_of(segment).used != known.used + len(more):
            # A write that did not arrive, or a read that lied. Bytes must not go on its word.
            raise DiskError(f"{name}: what was just written is not what is read")

    def finish(self, segment: Op) -> None:
        """Note that the bytes of all records are gone, after their segment was synced."""
        name = names.holes(segment)
        parsed = self.map_of(segment)
        assert parsed.used >= 1
        self._disk.write(name, 0, (encode_count(parsed.used - 1),))
        self._disk.sync(name)
        self._generations = {**self._generations, segment: self._generations[segment] + 1}

    def unfinished(self, segment: Op) -> list[Op]:
        """Return the ops of a map if some of their bytes may still be there, else nothing."""
        name = names.holes(segment)
        head = _content(self._disk.read(name, 0, RECORD_BYTES), COUNTED)
        done = COUNT.unpack(head)[0] if head is not None else 0
        assert done >= 0
        if head is not None and not any(
            self._disk.read(name, (done + 1) * RECORD_BYTES, RECORD_BYTES)
        ):
            return []
        return sorted(self.map_of(segment).ops)

    def forget(self, segment: Op) -> None:
        """Remove the map of a segment that is gone."""
        assert segment > 0
        if segment in self._generations:
            kept = {first: at for first, at in self._generations.items() if first != segment}
            self._generations = kept
            self._disk.remove(names.holes(segment))
