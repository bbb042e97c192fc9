"""The body of an append to several streams: which of its parts belong to which stream.

    +------------+--------+-----+----------+-----------------------------+
    | part table | part 0 | ... | part n-1 | part n: rows | count u32    |
    +------------+--------+-----+----------+-----------------------------+

The last part has no descriptor and no events. It names the streams in the order of their parts, so
that the parts before it are like those of any append, and can be erased like them; itself it never
is. Its row is 24 bytes: stream, expected, parts, events.

`expected` is an exact offset or EXPECT_NO_STREAM, so that the entry alone says which offset each of
its streams gave it. A row without parts and events only checks that its stream has not moved.
"""

import struct
from collections.abc import Sequence

import msgspec

from veritydb.types.entry import (
    EXPECT_NO_STREAM,
    OFFSET_MAX,
    PART_BYTES,
    BadEntry,
    PartInfo,
    part_table,
)
from veritydb.types.ids import StreamId
from veritydb.types.limits import BATCH_EVENTS_MAX, BATCH_PARTS_MAX, MULTI_APPEND_STREAMS_MAX

ROW = struct.Struct("<QQII")
ROW_BYTES = ROW.size
assert ROW_BYTES == 24
COUNT = struct.Struct("<I")


class Share(msgspec.Struct, frozen=True, gc=False):
    """What one stream gets. `size` counts its rows of the part table and its parts' bytes."""

    stream: StreamId
    expected: int
    parts: int
    events: int
    size: int = 0

    @property
    def base(self) -> int:
        """Offset of the first event, if the entry was accepted."""
        return 0 if self.expected == EXPECT_NO_STREAM else self.expected


class AppendMany(msgspec.Struct, frozen=True, gc=False):
    """What such a body decodes to: the command that the kernel applies."""

    shares: tuple[Share, ...]


def pack(shares: Sequence[Share]) -> bytes:
    """Return the stored bytes of the last part."""
    rows = [ROW.pack(s.stream, s.expected, s.parts, s.events) for s in shares]
    return b"".join((*rows, COUNT.pack(len(rows))))


def last_part(stored: bytes) -> PartInfo:
    """Return the part table's row for the last part."""
    return PartInfo(key=0, events=0, descriptor_len=0, events_len=len(stored))


def parse(body: bytes | memoryview) -> tuple[Share, ...]:
    """Read whose the parts of a body are. Raises BadEntry if it does not add up."""
    if len(body) < COUNT.size:
        raise BadEntry("no table of streams")
    (count,) = COUNT.unpack_from(body, len(body) - COUNT.size)
    start = len(body) - COUNT.size - count * ROW_BYTES
    if not 0 < count <= MULTI_APPEND_STREAMS_MAX or start < 0:
        raise BadEntry(f"{count} streams; the limit is {MULTI_APPEND_STREAMS_MAX}")
    rows = [ROW.unpack_from(body, start + at * ROW_BYTES) for at in range(count)]
    parts = sum(row[2] for row in rows)
    if parts >= BATCH_PARTS_MAX:
        raise BadEntry(f"{parts} parts; the limit is {BATCH_PARTS_MAX - 1} in several streams")
    table = part_table(body, parts + 1)
    last = table[-1]
    if last != PartInfo(0, 0, 0, len(body) - start):
        raise BadEntry("the last part is not the table of streams")
    end = len(table) * PART_BYTES + sum(p.descriptor_len + p.events_len for p in table)
    if end != len(body):
        raise BadEntry("the parts do not fill the body")
    return _shares(rows, table)


def _shares(
    rows: list[tuple[int, int, int, int]], table: tuple[PartInfo, ...]
) -> tuple[Share, ...]:
    """Deal the parts out to the streams."""
    shares = []
    at = 0
    for stream, expected, parts, events in rows:
        mine = table[at : at + parts]
        at += parts
        if expected > OFFSET_MAX and expected != EXPECT_NO_STREAM:
            raise BadEntry("an append to several streams names an exact offset for each")
        if sum(part.events for part in mine) != events or (events == 0) != (parts == 0):
            raise BadEntry("the parts of a stream do not hold the events it counts")
        size = sum(PART_BYTES + part.descriptor_len + part.events_len for part in mine)
        shares.append(Share(StreamId(stream), expected, parts, events, size))
    if len({share.stream for share in shares}) != len(shares):
        raise BadEntry("a stream is named twice")
    if not 0 < sum(share.events for share in shares) <= BATCH_EVENTS_MAX:
        raise BadEntry(f"no events, or more than {BATCH_EVENTS_MAX}")
    return tuple(shares)


def part_range(shares: Sequence[Share], stream: StreamId) -> tuple[int, int] | None:
    """Return which parts (first, end) belong to `stream`, or None if it is not among them."""
    at = 0
    for share in shares:
        if share.stream == stream:
            return at, at + share.parts
        at += share.parts
    return None
