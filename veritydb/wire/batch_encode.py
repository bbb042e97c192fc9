"""Writes batches; batch_layout.py says how they look."""

import struct
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
from crc32c import crc32c

from veritydb.types import multi
from veritydb.types.entry import PART_BYTES, PartInfo, pack_part
from veritydb.types.errors import InvalidInput, TooLarge
from veritydb.types.event import Event
from veritydb.types.ids import ID_BYTES, StreamId
from veritydb.types.limits import (
    ACTOR_BYTES_MAX,
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    EVENT_TAGS_MAX,
    EVENT_TYPE_BYTES_MAX,
    METADATA_BYTES_MAX,
    MULTI_APPEND_STREAMS_MAX,
    TAG_BYTES_MAX,
)
from veritydb.wire.batch_layout import (
    ACTORS,
    CAUSATION,
    CODEC,
    CORRELATION,
    HEAD,
    MANY_TYPES,
    METADATA,
    OCCURRED,
    SCHEMAS,
    TAGS,
    VERSION,
    column,
)
from veritydb.wire.batch_wrong import describe

U16_MAX = (1 << 16) - 1


class Batch(msgspec.Struct, frozen=True, gc=False):
    """An encoded batch: what an entry's header has to say about the body, and the body."""

    body: bytes
    parts: int
    events: int
    crc: int


def encode_batch(events: Sequence[Event], fresh_ids: bytes) -> Batch:
    """Encode events; those without an id take theirs from the same place in `fresh_ids`.

    Raises InvalidInput, naming the limit, for what a node would refuse.
    """
    count = len(events)
    if count == 0:
        raise InvalidInput("a batch without events")
    _within(count, BATCH_EVENTS_MAX, "a batch", "events")
    assert len(fresh_ids) == count * ID_BYTES
    try:
        descriptor, payloads = _descriptor(events, count)
        columns = _events(events, count, fresh_ids)
        events_len = sum(map(len, columns)) + sum(map(len, payloads))
        _within(len(descriptor) + events_len, BATCH_BYTES_MAX, "a batch", "bytes")
        row = pack_part(PartInfo(0, count, len(descriptor), events_len))
        # One join: each further copy of a large body costs more than all the columns together.
        body = b"".join((row, descriptor, *columns, *payloads))
    except (struct.error, TypeError, AttributeError, ValueError):
        raise InvalidInput(describe(events)) from None
    return Batch(body, 1, count, crc32c(body))


def _descriptor(events: Sequence[Event], count: int) -> tuple[bytes, list[bytes]]:
    """Return the descriptor and the payloads it describes."""
    payloads = [event.payload for event in events]
    sizes = list(map(len, payloads))
    _within(max(sizes), EVENT_BYTES_MAX, "an event's payload", "bytes")
    types = [event.type for event in events]
    names = list(dict.fromkeys(types))
    flags = 0
    pieces = [b"", _strings(names, EVENT_TYPE_BYTES_MAX, "an event type")]
    if len(names) > 1:
        flags |= MANY_TYPES
        pieces.append(_numbered(names, types, count))
    pieces.append(column("I", count).pack(*sizes))
    times = [event.occurred_at for event in events]
    if any(times):
        flags |= OCCURRED
        pieces.append(column("Q", count).pack(*times))
    tags = [event.tags for event in events]
    if any(tags):
        flags |= TAGS
        if any(isinstance(some, str) for some in tags):
            raise TypeError("tags are a tuple")
        flat = list(chain.from_iterable(tags))
        counts = list(map(len, tags))
        _within(max(counts), EVENT_TAGS_MAX, "an event", "tags")
        words = list(dict.fromkeys(flat))
        _within(len(words), U16_MAX, "a batch", "different tags")
        pieces += (
            _strings(words, TAG_BYTES_MAX, "a tag"),
            bytes(counts),
            _numbered(words, flat, len(flat)),
        )
    pieces[0] = HEAD.pack(CODEC, VERSION, flags, count)
    return b"".join(pieces), payloads


def _events(events: Sequence[Event], count: int, fresh_ids: bytes) -> list[bytes]:
    """Return the pieces of the events half that come before the payloads."""
    flags = 0
    pieces = [b"", _ids([event.id for event in events], fresh_ids)]
    versions = [event.schema_version for event in events]
    if versions.count(1) != count:
        flags |= SCHEMAS
        pieces.append(column("I", count).pack(*versions))
    causes = [event.causation_id for event in events]
    if any(causes):
        flags |= CAUSATION
        pieces.append(_ids(causes, bytes(ID_BYTES * count)))
    correlations = [event.correlation_id for event in events]
    if any(correlations):
        flags |= CORRELATION
        pieces.append(_ids(correlations, bytes(ID_BYTES * count)))
    actors = [event.actor for event in events]
    if any(actors):
        flags |= ACTORS
        names = list(dict.fromkeys(actors))
        pieces.append(_strings(names, ACTOR_BYTES_MAX, "an actor"))
        pieces.append(_numbered(names, actors, count))
    metadata = [event.metadata for event in events]
    if any(metadata):
        flags |= METADATA
        sizes = list(map(len, metadata))
        _within(max(sizes), METADATA_BYTES_MAX, "an event's metadata", "bytes")
        pieces.append(column("I", count).pack(*sizes))
        pieces += metadata
    pieces[0] = HEAD.pack(CODEC, VERSION, flags, count)
    return pieces


def _within(size: int, limit: int, what: str, unit: str) -> None:
    if size > limit:
        raise TooLarge(f"{what} of {size} {unit}; the limit is {limit}", limit=limit)


def _strings(words: list[str], limit: int, what: str) -> bytes:
    raw = [word.encode() for word in words]
    sizes = list(map(len, raw))
    _within(max(sizes), limit, what, "bytes")
    return b"".join((len(raw).to_bytes(2, "little"), bytes(sizes), *raw))


def _numbered(words: list[str], values: Iterable[str], count: int) -> bytes:
    number = {word: at for at, word in enumerate(words)}
    return column("H", count).pack(*map(number.__getitem__, values))


def _ids(ids: list[bytes], instead: bytes) -> bytes:
    """Join ids, taking the ones that are empty from `instead`."""
    if not any(ids):
        return instead
    if not {len(one) for one in ids} <= {0, ID_BYTES}:
        raise InvalidInput(f"an id is empty or {ID_BYTES} bytes")
    return b"".join(
        one or instead[at * ID_BYTES : (at + 1) * ID_BYTES] for at, one in enumerate(ids)
    )


def join_batches(shares: Sequence[tuple[int, int, Batch | None]]) -> Batch:
    """Make one body for several streams of (stream, expected, batch). Raises InvalidInput.

    A stream without batch is only checked to be where it is expected.
    """
    if not shares:
        raise InvalidInput("an append to no stream")
    _within(len(shares), MULTI_APPEND_STREAMS_MAX, "an append", "streams")
    batches = [batch for _, _, batch in shares if batch is not None]
    events = sum(batch.events for batch in batches)
    if not events:
        raise InvalidInput("a batch without events")
    _within(events, BATCH_EVENTS_MAX, "a batch", "events")
    rows = [batch.body[: batch.parts * PART_BYTES] for batch in batches]
    halves = [memoryview(batch.body)[batch.parts * PART_BYTES :] for batch in batches]
    _within(sum(map(len, halves)), BATCH_BYTES_MAX, "a batch", "bytes")
    table = multi.pack(
        [
            multi.Share(StreamId(stream), expected, 0, 0)
            if batch is None
            else multi.Share(StreamId(stream), expected, batch.parts, batch.events)
            for stream, expected, batch in shares
        ]
    )
    body = b"".join((*rows, pack_part(multi.last_part(table)), *halves, table))
    return Batch(body, sum(batch.parts for batch in batches) + 1, events, crc32c(body))
