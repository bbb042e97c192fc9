"""The header journal: one record per op, never a ring. A record says: this frame was durable.

    record of op n, at byte 256 * n:
    0        4        6        8    16              224     256
    +--------+--------+--------+----+---------------+-------+
    | crc32c | format | marker | op | frame header  | zero  |
    +--------+--------+--------+----+---------------+-------+

The checksum covers everything behind it. Two records share a sector: the disk must write a sector
of 512 bytes whole or not at all. The file is allocated in steps; what lies behind the log is zero.
"""

import struct
from collections.abc import Sequence
from enum import Enum

from crc32c import crc32c

from veritydb.storage.disk import Disk, NoSuchFile, create, first_nonzero
from veritydb.storage.errors import UnknownFormat
from veritydb.storage.names import JOURNAL
from veritydb.types import frame
from veritydb.types.durable import Identity
from veritydb.types.frame import BadFrame, Header

FORMAT = 1
MARKER = b"hJ"
HEAD = struct.Struct("<IH2sQ")
RECORD_BYTES = 256
PAD = bytes(RECORD_BYTES - HEAD.size - frame.HEADER_BYTES)
BLANK = bytes(RECORD_BYTES)
STEP_BYTES = 4 << 20
SCAN_BYTES = 16 << 10
assert len(PAD) == 32


class RecordState(Enum):
    """What a record's 256 bytes are."""

    VALID = "valid"
    BLANK = "blank"
    ROTTEN = "rotten"


def encode(header: Header) -> bytes:
    """Return the record of one op."""
    assert len(header.raw) == frame.HEADER_BYTES
    tail = HEAD.pack(0, FORMAT, MARKER, header.op)[4:] + header.raw + PAD
    record = crc32c(tail).to_bytes(4, "little") + tail
    assert len(record) == RECORD_BYTES
    return record


def decode(data: bytes, op: int, who: Identity) -> tuple[RecordState, Header | None]:
    """Read the record of `op`; another op's or group's is rotten. Raises UnknownFormat."""
    assert op > 0
    if data == BLANK or not data:
        return RecordState.BLANK, None
    if len(data) != RECORD_BYTES:
        return RecordState.ROTTEN, None
    crc, form, marker, number = HEAD.unpack_from(data)
    if crc32c(memoryview(data)[4:]) != crc or marker != MARKER:
        return RecordState.ROTTEN, None
    if form != FORMAT:
        raise UnknownFormat(f"{JOURNAL} has a record of format {form}; known is {FORMAT}")
    try:
        header = frame.parse_header(data[HEAD.size : HEAD.size + frame.HEADER_BYTES])
    except BadFrame:
        return RecordState.ROTTEN, None
    ours = header.cluster == who.cluster and header.group == who.group
    if number != op or header.op != op or not ours or data[-len(PAD) :] != PAD:
        return RecordState.ROTTEN, None
    return RecordState.VALID, header


class Journal:
    """The file. Reading keeps no state, so any thread may; one thread writes."""

    def __init__(self, disk: Disk, who: Identity) -> None:
        """Use the journal of a directory that was stamped for `who`."""
        assert len(who.cluster) == 16
        self._disk = disk
        self._who = who

    def read(self, first: int, last: int) -> list[tuple[RecordState, Header | None]]:
        """Return the records of ops `first` to `last`. Raises DiskError."""
        assert first > 0
        if last < first:
            return []
        count = last - first + 1
        try:
            data = self._disk.read(JOURNAL, first * RECORD_BYTES, count * RECORD_BYTES)
        except NoSuchFile:
            data = b""
        return [
            decode(data[at * RECORD_BYTES : (at + 1) * RECORD_BYTES], first + at, self._who)
            for at in range(count)
        ]

    def header(self, op: int) -> Header | None:
        """Return the header that the journal names for `op`, None if it does not."""
        assert op > 0
        return self.read(op, op)[0][1]

    def headers(self, first: int, last: int) -> list[Header]:
        """Return the headers from `first` on, up to the first that is missing or rotten."""
        found: list[Header] = []
        for _, header in self.read(first, last):
            if header is None:
                break
            found.append(header)
        assert all(header.op == first + at for at, header in enumerate(found))
        return found

    def write(self, headers: Sequence[Header]) -> None:
        """Write the records of consecutive ops durably. Raises DiskFull before it writes."""
        assert headers
        assert all(header.op == headers[0].op + at for at, header in enumerate(headers))
        self.reserve(headers[-1].op)
        records = b"".join(map(encode, headers))
        self._disk.write(JOURNAL, headers[0].op * RECORD_BYTES, (records,))
        self._disk.sync(JOURNAL)

    def blank(self, first: int, last: int) -> None:
        """Make the records of ops `first` to `last` blank, durably."""
        assert first > 0
        if last < first:
            return
        self._disk.write(JOURNAL, first * RECORD_BYTES, (bytes((last - first + 1) * RECORD_BYTES),))
        self._disk.sync(JOURNAL)

    def blank_found(self, first: int, last: int) -> None:
        """The same for a range that may be long, and is blank for the most part."""
        assert first > 0
        at, end = first * RECORD_BYTES, (last + 1) * RECORD_BYTES
        while (found := first_nonzero(self._disk, JOURNAL, at, end)) is not None:
            at = found - found % RECORD_BYTES
            size = min(SCAN_BYTES, end - at)
            self._disk.write(JOURNAL, at, (bytes(size),))
            at += size
        self._disk.sync(JOURNAL)

    def reserve(self, op: int) -> None:
        """See to it that the record of `op` has a place in the file. Raises DiskFull."""
        assert op >= 0
        end = (op + 1) * RECORD_BYTES
        if not self.reserved(op):
            create(self._disk, JOURNAL, -(-end // STEP_BYTES) * STEP_BYTES)

    def reserved(self, op: int) -> bool:
        """Whether the record of `op` has a place in the file."""
        assert op >= 0
        return (self._disk.size(JOURNAL) or 0) >= (op + 1) * RECORD_BYTES

    def last_written(self, after: int) -> int:
        """Return the last op behind `after` whose record is not blank, or `after`."""
        assert after >= 0
        last, at = after, (after + 1) * RECORD_BYTES
        while (found := self._disk.next_data(JOURNAL, at)) is not None:
            at = found - found % RECORD_BYTES
            data = self._disk.read(JOURNAL, at, SCAN_BYTES)
            filled = len(data.rstrip(b"\0"))
            if filled:
                last = (at + filled - 1) // RECORD_BYTES
            at += max(len(data), RECORD_BYTES)
        return max(last, after)

    def clear_behind(self, op: int) -> bool:
        """Blank every record behind `op`, durably. Returns whether there was any."""
        last = self.last_written(op)
        assert last >= op
        self.blank(op + 1, last)
        return last > op
