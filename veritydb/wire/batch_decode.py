"""Reads batches that somebody else may have made; batch_layout.py says how they look."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise
from typing import NamedTuple, TypeVar

from veritydb.types import multi
from veritydb.types.entry import PART_BYTES, BadEntry, EntryHeader, Kind, part_table
from veritydb.types.event import Event
from veritydb.types.ids import ID_BYTES, NO_ID, StreamId
from veritydb.types.limits import BATCH_EVENTS_MAX, EVENT_BYTES_MAX, EVENT_TAGS_MAX
from veritydb.wire.batch_layout import (
    ACTORS,
    CAUSATION,
    CODEC,
    CORRELATION,
    DESCRIPTOR_FLAGS,
    EVENTS_FLAGS,
    HEAD,
    MANY_TYPES,
    METADATA,
    OCCURRED,
    SCHEMAS,
    TAGS,
    VERSION,
    column,
)

T = TypeVar("T")


class BadBatch(Exception):
    """These bytes are no batch. Says why, and never what they contain."""


class Columns(NamedTuple):
    """A decoded batch, a sequence per field in the order of `Event`'s fields."""

    types: Sequence[str]
    payloads: Sequence[bytes]
    ids: Sequence[bytes]
    schema_versions: Sequence[int]
    occurred_at: Sequence[int]
    causation_ids: Sequence[bytes]
    correlation_ids: Sequence[bytes]
    actors: Sequence[str]
    metadata: Sequence[bytes]
    tags: Sequence[tuple[str, ...]]


class _Reader:
    """Takes columns off the front of bytes that somebody else made."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def take(self, size: int) -> int:
        """Step over `size` bytes and return where they start."""
        start = self.at
        self.at = start + size
        if self.at > self.end:
            raise BadBatch("a column is cut short")
        return start

    def head(self, allowed: int, events: int) -> int:
        """Check codec, version and count; return the flags."""
        codec, version, flags, count = HEAD.unpack_from(self.data, self.take(HEAD.size))
        if codec != CODEC or version != VERSION or flags & ~allowed:
            raise BadBatch(
                f"batch codec {codec} version {version} flags {flags:#x}; "
                f"this version reads codec {CODEC} version {VERSION}"
            )
        if count != events:
            raise BadBatch("a part and its row in the table disagree about how many events it has")
        return int(flags)

    def numbers(self, letter: str, size: int, count: int) -> tuple[int, ...]:
        """Read a column of numbers of `size` bytes each."""
        return column(letter, count).unpack_from(self.data, self.take(size * count))

    def bytes_of(self, sizes: Iterable[int]) -> list[bytes]:
        """Read a column of byte strings whose sizes are known."""
        start = self.at
        ends = list(accumulate(sizes, initial=start))
        self.take(ends[-1] - start)
        data = self.data
        return [data[a:b] for a, b in pairwise(ends)]

    def ids(self, count: int) -> list[bytes]:
        """Read a column of ids, none for the zero one."""
        start = self.take(ID_BYTES * count)
        data = self.data
        found = [data[at : at + ID_BYTES] for at in range(start, self.at, ID_BYTES)]
        return [b"" if one == NO_ID else one for one in found] if NO_ID in found else found

    def strings(self) -> list[str]:
        """Read a table of strings."""
        (count,) = self.numbers("H", 2, 1)
        start = self.take(count)
        raw = self.bytes_of(self.data[start : start + count])
        try:
            return [one.decode() for one in raw]
        except UnicodeDecodeError:
            raise BadBatch("a string is not UTF-8") from None

    def chosen(self, table: list[T], count: int) -> list[T]:
        """Read a column of indexes into a table."""
        try:
            return [table[at] for at in self.numbers("H", 2, count)]
        except IndexError:
            raise BadBatch("a string is named that the table does not have") from None

    def ended(self) -> None:
        """Check that everything was read."""
        if self.at != self.end:
            raise BadBatch(f"{self.end - self.at} bytes behind the last column")


class _Part(NamedTuple):
    """Where one part's two halves lie in the body."""

    events: int
    start: int
    middle: int
    end: int


def _parts(header: EntryHeader, body: bytes, stream: int | None) -> Iterator[_Part]:
    """Walk the parts of `stream`, None for all. Nobody has checked this body."""
    if header.events > BATCH_EVENTS_MAX or len(body) != header.body_len:
        raise BadBatch("the entry's header does not fit its body")
    try:
        table = part_table(body, header.parts)
        first, last = 0, len(table)
        if header.kind == Kind.APPEND_MANY:
            shares = multi.parse(body)
            table = table[:-1]
            if stream is not None:
                first, last = multi.part_range(shares, StreamId(stream)) or (0, 0)
    except BadEntry as error:
        raise BadBatch(str(error)) from None
    at = header.parts * PART_BYTES
    counted = 0
    for number, row in enumerate(table):
        middle = at + row.descriptor_len
        end = middle + row.events_len
        counted += row.events
        if row.key or row.flags:
            raise BadBatch("a part is sealed with a key; this version reads parts in the clear")
        if end > len(body) or counted > header.events or not row.events:
            raise BadBatch("the parts do not fit the body")
        if first <= number < last:
            yield _Part(row.events, at, middle, end)
        at = end
    if counted != header.events or (at != len(body) and header.kind != Kind.APPEND_MANY):
        raise BadBatch("the parts do not fill the body")


def _sizes(body: bytes, part: _Part) -> tuple[_Reader, int, list[str], tuple[int, ...]]:
    """Read a descriptor as far as the sizes: (reader, flags, type of each, size of each)."""
    reader = _Reader(body, part.start, part.middle)
    flags = reader.head(DESCRIPTOR_FLAGS, part.events)
    names = reader.strings()
    if flags & MANY_TYPES:
        types = reader.chosen(names, part.events)
    elif len(names) == 1:
        types = names * part.events
    else:
        raise BadBatch("a batch of one type names another number of types")
    return reader, flags, types, reader.numbers("I", 4, part.events)


# A part table of one row, the descriptor's head, the count of its types, the length of the first.
ONE = struct.Struct("<QIIII16sBBHIHB")


def _one_type(header: EntryHeader, body: bytes) -> tuple[str, tuple[int, ...]] | None:
    """The type and the sizes of a batch of one type without further columns in the descriptor.

    None if it is not that. Most batches are, and the general way takes several times as long.
    """
    count, end = header.events, len(body)
    if header.kind != Kind.APPEND or not 0 < count <= BATCH_EVENTS_MAX or end < ONE.size:
        return None
    key, events, descriptor, rest, flags, _, *form, length = ONE.unpack_from(body)
    middle = PART_BYTES + descriptor
    sizes_at = ONE.size + length
    if (key, events, flags, *form) != (0, count, 0, CODEC, VERSION, 0, count, 1) or (
        middle != sizes_at + 4 * count or middle + rest != end or rest < HEAD.size
    ):
        return None
    sizes: tuple[int, ...] = column("I", count).unpack_from(body, sizes_at)
    codec, version, flags, events = HEAD.unpack_from(body, middle)
    known = (codec, version, events) == (CODEC, VERSION, count) and not flags & ~EVENTS_FLAGS
    if not known or HEAD.size + count * ID_BYTES + sum(sizes) > rest:
        return None
    try:
        return body[ONE.size : sizes_at].decode(), sizes
    except UnicodeDecodeError:
        return None


def decode_fields(
    header: EntryHeader, body: bytes, stream: int = 0
) -> tuple[list[str], list[bytes]]:
    """Return only the types and the payloads of a batch, for readers who need no more.

    `stream` says whose events are wanted where an entry holds those of several streams.
    Raises BadBatch. The other columns are neither read nor checked.
    """
    simple = _one_type(header, body) if header.parts == 1 else None
    if simple is not None:
        name, sizes = simple
        ends = list(accumulate(sizes, initial=len(body) - sum(sizes)))
        return [name] * len(sizes), [body[a:b] for a, b in pairwise(ends)]
    return _decode_any(header, body, stream)


def _decode_any(header: EntryHeader, body: bytes, stream: int) -> tuple[list[str], list[bytes]]:
    """What `decode_fields` does, the general way."""
    types: list[str] = []
    payloads: list[bytes] = []
    for part in _parts(header, body, stream):
        _, _, names, sizes = _sizes(body, part)
        events = _Reader(body, part.middle, part.end)
        events.head(EVENTS_FLAGS, part.events)
        # Payloads come last, so where they start follows from how long they are together.
        start = part.end - sum(sizes)
        events.take(start - events.at if start >= events.at else part.end)
        types += names
        payloads += events.bytes_of(sizes)
    return types, payloads


def decode_columns(header: EntryHeader, body: bytes, stream: int = 0) -> Columns:
    """Return a batch column by column; `stream` as above. Raises BadBatch."""
    parts = [_decode_part(body, part) for part in _parts(header, body, stream)]
    if not parts:
        raise BadBatch("no part belongs to this stream")
    if len(parts) == 1:
        return parts[0]
    return Columns(*(list(chain.from_iterable(column)) for column in zip(*parts, strict=True)))


def decode_batch(header: EntryHeader, body: bytes, stream: int = 0) -> list[Event]:
    """Return the events of a batch. Raises BadBatch."""
    return list(map(Event, *decode_columns(header, body, stream)))


def check_batch(header: EntryHeader, body: bytes) -> None:
    """Check the form and the limits that a descriptor shows. Raises BadBatch.

    What the edge does with a batch that a client has encoded: it looks at no single event.
    """
    if header.parts == 1 and len(body) == header.body_len:
        simple = _one_type(header, body)
        if simple is not None and max(simple[1]) <= EVENT_BYTES_MAX:
            return
    _check_any(header, body)


def _check_any(header: EntryHeader, body: bytes) -> None:
    """What `check_batch` does, the general way."""
    for part in _parts(header, body, None):
        reader, flags, _, sizes = _sizes(body, part)
        if max(sizes) > EVENT_BYTES_MAX:
            raise BadBatch(f"an event of {max(sizes)} bytes; the limit is {EVENT_BYTES_MAX}")
        _rest_of_descriptor(reader, flags, part.events)
        _Reader(body, part.middle, part.end).head(EVENTS_FLAGS, part.events)
        if part.events * ID_BYTES + HEAD.size + sum(sizes) > part.end - part.middle:
            raise BadBatch("the events are fewer bytes than their descriptor says")


def _rest_of_descriptor(
    reader: _Reader, flags: int, count: int
) -> tuple[Sequence[int], Sequence[tuple[str, ...]]]:
    """Read what follows the sizes: (occurred at, tags) of each."""
    times: Sequence[int] = reader.numbers("Q", 8, count) if flags & OCCURRED else [0] * count
    tags: Sequence[tuple[str, ...]] = [()] * count
    if flags & TAGS:
        words = reader.strings()
        counts = reader.numbers("B", 1, count)
        if max(counts) > EVENT_TAGS_MAX:
            raise BadBatch(f"an event with {max(counts)} tags; the limit is {EVENT_TAGS_MAX}")
        flat = iter(reader.chosen(words, sum(counts)))
        tags = [tuple(islice(flat, size)) for size in counts]
    reader.ended()
    return times, tags


def _decode_part(body: bytes, part: _Part) -> Columns:
    count = part.events
    descriptor, flags, types, sizes = _sizes(body, part)
    times, tags = _rest_of_descriptor(descriptor, flags, count)
    reader = _Reader(body, part.middle, part.end)
    flags = reader.head(EVENTS_FLAGS, count)
    ids = reader.ids(count)
    versions: Sequence[int] = reader.numbers("I", 4, count) if flags & SCHEMAS else [1] * count
    none = [b""] * count
    causes = reader.ids(count) if flags & CAUSATION else none
    correlations = reader.ids(count) if flags & CORRELATION else none
    actors = reader.chosen(reader.strings(), count) if flags & ACTORS else [""] * count
    metadata = none
    if flags & METADATA:
        metadata = reader.bytes_of(reader.numbers("I", 4, count))
    payloads = reader.bytes_of(sizes)
    reader.ended()
    return Columns(
        types, payloads, ids, versions, times, causes, correlations, actors, metadata, tags
    )
