"""What a node answers to a read, and the events in it: decoded by whoever takes them."""

from collections.abc import Iterator
from typing import Any

import msgspec
from crc32c import crc32c

from veritydb.client.values import Erased, Item, ReadBatch, RecordedEvent, StoredEntry, Truncated
from veritydb.types import multi
from veritydb.types.entry import (
    HEADER_BYTES,
    PART_BYTES,
    BadEntry,
    EntryHeader,
    Kind,
    parse_header,
    part_table,
)
from veritydb.types.errors import CorruptData
from veritydb.types.ids import StreamId
from veritydb.wire.batch import BadBatch, decode_columns, decode_fields


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One entry as a page holds it; `data` is None if its events were erased."""

    base: int
    count: int
    op: int
    index: int
    timestamp: int
    data: bytes | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The events `low` to `high` of a stream, and what was given up next to them."""

    stream: int
    group: int
    low: int
    high: int
    backwards: bool
    entries: tuple[Stored, ...]
    truncated: Truncated | None = None

    def items(self) -> Iterator[Item]:
        """Yield the events one by one. Raises CorruptData."""
        if self.truncated is not None and not self.backwards:
            yield self.truncated
        for stored in self.entries:
            first, end = self._cut(stored)
            found = self._decode(stored, first, end)
            yield from reversed(found) if self.backwards else found
        if self.truncated is not None and self.backwards:
            yield self.truncated

    def batches(self) -> Iterator[ReadBatch]:
        """Yield the events append by append, in the stream's order within each."""
        if self.truncated is not None and not self.backwards:
            yield self._gap(self.truncated)
        for stored in self.entries:
            first, end = self._cut(stored)
            if stored.data is None:
                yield ReadBatch(first, end - first, stored.timestamp, [], [], erased=True)
                continue
            header, body = checked(stored, self.stream)
            try:
                types, payloads = decode_fields(header, body, self.stream)
            except BadBatch as error:
                raise CorruptData(str(error)) from None
            if len(types) != stored.count:
                raise CorruptData("an entry holds another number of events than its node says")
            if end - first != stored.count:
                begin, stop = first - stored.base, end - stored.base
                types, payloads = types[begin:stop], payloads[begin:stop]
            yield ReadBatch(first, end - first, stored.timestamp, types, payloads)
        if self.truncated is not None and self.backwards:
            yield self._gap(self.truncated)

    def _gap(self, gap: Truncated) -> ReadBatch:
        return ReadBatch(gap.offset, gap.end - gap.offset, 0, [], [], truncated=True)

    def _cut(self, stored: Stored) -> tuple[int, int]:
        """Return which of an entry's offsets were asked for."""
        return max(stored.base, self.low), min(stored.base + stored.count, self.high)

    def _decode(self, stored: Stored, first: int, end: int) -> list[Item]:
        header = None
        body = b""
        if stored.data is not None:
            header, body = checked(stored, self.stream)
        entry = StoredEntry(
            stream=self.stream,
            group=self.group,
            op=stored.op,
            entry=stored.index,
            base=stored.base,
            timestamp=stored.timestamp,
            batch=b"" if header is None else header.batch,
            origin=bytes(16) if header is None else header.origin,
            origin_seq=0 if header is None else header.origin_seq,
        )
        begin, stop = first - stored.base, end - stored.base
        if header is None:
            return [Erased(stored.base + at, at, entry) for at in range(begin, stop)]
        try:
            columns: tuple[Any, ...] = decode_columns(header, body, self.stream)
        except BadBatch as error:
            raise CorruptData(str(error)) from None
        if len(columns[0]) != stored.count:
            raise CorruptData("an entry holds another number of events than its node says")
        if stop - begin != stored.count:
            columns = tuple(column[begin:stop] for column in columns)
        entries = [entry] * (stop - begin)
        return list(map(RecordedEvent, range(first, end), *columns, range(begin, stop), entries))


def checked(stored: Stored, stream: int) -> tuple[EntryHeader, bytes]:
    """Return an entry's header and body, whose checksum its writer made. Raises CorruptData."""
    assert stored.data is not None
    try:
        header = parse_header(stored.data)
        body = stored.data[HEADER_BYTES:]
        if len(body) != header.body_len:
            raise CorruptData("an entry has another length than its header says")
        if header.kind is Kind.APPEND and header.stream != stream:
            raise CorruptData("an entry of another stream was sent")
        if crc32c(body) != header.crc and not has_foreign_hole(header, body, stream):
            raise CorruptData("the checksum of an entry does not match")
    except BadEntry as error:
        raise CorruptData(str(error)) from None
    return header, body


def has_foreign_hole(header: EntryHeader, body: bytes, stream: int) -> bool:
    """Whether another stream's events in this entry were erased, which breaks its checksum.

    Those of `stream` are then vouched for by the node, which knows the hashes of what is left.
    """
    if header.kind is not Kind.APPEND_MANY:
        return False
    first, end = multi.part_range(multi.parse(body), StreamId(stream)) or (0, 0)
    at = header.parts * PART_BYTES
    for number, part in enumerate(part_table(body, header.parts)):
        start, at = at, at + part.descriptor_len + part.events_len
        if not first <= number < end and at > start and not any(body[start:at]):
            return True
    return False
