"""Appending: when it happens, and when it happened already."""

import msgspec

from veritydb.streams import batches, origins, retain
from veritydb.streams.commands import AppendMany
from veritydb.streams.state import Stream, Streams
from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_EXISTS,
    EXPECT_NO_STREAM,
    OFFSET_MAX,
    EntryHeader,
)
from veritydb.types.ids import NO_ID, StreamId
from veritydb.types.limits import BATCH_EVENTS_MAX, SENT_AHEAD_MAX_NS
from veritydb.types.outcome import Code


class Result(msgspec.Struct, frozen=True, gc=False):
    """What became of a request: the state after it and the fields of its outcome.

    `floors` are the streams whose floor rose, with their new floors; `grown` those with new events.
    """

    streams: Streams
    code: Code
    stream: int = 0
    base: int = 0
    count: int = 0
    grown: tuple[StreamId, ...] = ()
    floors: tuple[tuple[StreamId, int], ...] = ()


def expected_holds(stream: Stream, expected: int) -> bool:
    """Whether a stream is where the request says it should be."""
    if expected <= OFFSET_MAX:
        return expected == stream.next
    if expected == EXPECT_NO_STREAM:
        return stream.next == 0
    if expected == EXPECT_EXISTS:
        return stream.next > 0
    return expected == EXPECT_ANY


def append(streams: Streams, stream: Stream, header: EntryHeader, now: int) -> Result:
    """Apply one append to the header's stream, whose tenant has been checked."""
    assert stream.info.id == header.stream and stream.info.tenant == header.tenant
    number = stream.info.id
    if not 0 < header.events <= BATCH_EVENTS_MAX:
        return Result(streams, Code.BAD_COMMAND, number)
    key = b""
    sent_at = 0
    if header.origin != NO_ID:
        seen = origins.look(streams, header)
        if seen is not None:
            code, base, count = seen
            return Result(streams, code, number, base, count)
    elif header.batch != NO_ID:
        key = batches.key(header.batch, number)
        known = batches.find(streams.batches, key)
        if known is not None:
            return Result(streams, Code.DUPLICATE, number, known.base, known.count)
        # An offset that is named exactly cannot be given twice; any other expectation can.
        if header.expected in (EXPECT_ANY, EXPECT_EXISTS):
            sent_at = header.sent_at
            if 0 < sent_at <= streams.batches.forgotten:
                return Result(streams, Code.OUTCOME_UNKNOWN, number)
            if sent_at > now + SENT_AHEAD_MAX_NS:
                return Result(streams, Code.SENT_AHEAD, number, now)
    if stream.sealed:
        return Result(streams, Code.STREAM_SEALED, number, stream.next)
    if not expected_holds(stream, header.expected):
        return Result(streams, Code.WRONG_EXPECTED_OFFSET, number, stream.next)
    base, events = stream.next, header.events
    after, floor = _grown(streams, stream, events, header.body_len, now)
    if key:
        memory = batches.remember(streams.batches, key, base, events, sent_at, now)
        after = _with_batches(after, memory)
    elif header.origin != NO_ID:
        after = origins.record(after, header, base)
    floors = ((number, floor),) if floor > stream.floor else ()
    return Result(after, Code.OK, number, base, events, (number,), floors)


def append_many(streams: Streams, command: AppendMany, header: EntryHeader, now: int) -> Result:
    """Apply an append to several streams: to all of them, or to none."""
    shares = command.shares
    if not _adds_up(command, header):
        return Result(streams, Code.BAD_COMMAND)
    if header.origin != NO_ID:
        return Result(streams, Code.NOT_SUPPORTED)
    for share in shares:
        known_stream = streams.records.get(share.stream)
        if known_stream is None:
            return Result(streams, Code.NO_SUCH_STREAM, share.stream)
        if known_stream.info.tenant != header.tenant:
            return Result(streams, Code.WRONG_TENANT, share.stream)
    key = b""
    if header.batch != NO_ID:
        key = batches.key(header.batch, shares[0].stream)
        known = batches.find(streams.batches, key)
        if known is not None:
            return Result(streams, Code.DUPLICATE, shares[0].stream, known.base, known.count)
    for share in shares:
        stream = streams.records[share.stream]
        if stream.sealed and share.events:
            return Result(streams, Code.STREAM_SEALED, share.stream, stream.next)
        if not expected_holds(stream, share.expected):
            return Result(streams, Code.WRONG_EXPECTED_OFFSET, share.stream, stream.next)
    after = streams
    grown: list[StreamId] = []
    floors: list[tuple[StreamId, int]] = []
    for share in shares:
        if share.events:
            stream = after.records[share.stream]
            assert stream.next == share.base
            after, floor = _grown(after, stream, share.events, share.size, now)
            grown.append(share.stream)
            if floor > stream.floor:
                floors.append((share.stream, floor))
    base = shares[0].base
    if key:
        memory = batches.remember(after.batches, key, base, header.events, 0, now)
        after = _with_batches(after, memory)
    return Result(
        after, Code.OK, shares[0].stream, base, header.events, tuple(grown), tuple(floors)
    )


def _adds_up(command: AppendMany, header: EntryHeader) -> bool:
    """Whether the shares are those that the header counts."""
    shares = command.shares
    return (
        len({share.stream for share in shares}) == len(shares)
        and sum(share.events for share in shares) == header.events
        and sum(share.parts for share in shares) + 1 == header.parts
        and 0 < header.events <= BATCH_EVENTS_MAX
        and all(
            share.expected <= OFFSET_MAX or share.expected == EXPECT_NO_STREAM for share in shares
        )
    )


def _with_batches(streams: Streams, memory: batches.Batches) -> Streams:
    return Streams(
        streams.group,
        streams.created,
        streams.records,
        streams.names,
        streams.retained,
        streams.timers,
        streams.origins,
        streams.origin_numbers,
        memory,
    )


def _grown(
    streams: Streams, stream: Stream, events: int, size: int, now: int
) -> tuple[Streams, int]:
    """Give a stream its events; return also its floor from now on."""
    info = stream.info
    end = stream.next + events
    assert events > 0 and end <= OFFSET_MAX
    total = stream.bytes + size
    retention = info.retention
    if retention is None:
        longer = Stream(info, end, stream.floor, stream.sealed, total, now)
        records = streams.records.set(info.id, longer)
        after = Streams(
            streams.group,
            streams.created,
            records,
            streams.names,
            streams.retained,
            streams.timers,
            streams.origins,
            streams.origin_numbers,
            streams.batches,
        )
        return after, stream.floor
    kept = streams.retained.get(info.id, retain.EMPTY)
    if retention.max_age_ns or retention.max_bytes:
        kept = retain.grow(kept, retention, events, size, now)
    kept, floor = retain.settle(kept, retention, stream.floor, end, now)
    longer = Stream(info, end, floor, stream.sealed, total, now)
    # A timer that is set may be early; the pulse that finds it so sets it anew.
    due_at = kept.due or retain.due(kept, retention)
    return retain.put(streams, longer, kept, due_at), floor
