"""Everything that may happen to streams besides appending."""

import re

import msgspec

from veritydb.streams import retain, timers
from veritydb.streams.append import Result, expected_holds
from veritydb.streams.commands import CreateStream, Seal, SetRetention, TruncateBefore
from veritydb.streams.state import Stream, StreamInfo, Streams, name_key
from veritydb.types.entry import OFFSET_MAX, EntryHeader
from veritydb.types.ids import StreamId, TenantId, stream_id
from veritydb.types.limits import NAME_BYTES_MAX, PULSE_STREAMS_MAX, STREAMS_MAX
from veritydb.types.outcome import Code
from veritydb.types.retention import Retention

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def name_valid(name: str) -> bool:
    """Whether a name may be stored.

    That it is in normal form C is the edge's to check: the tables of that form change with the
    version of Python, so replicas could disagree here.
    """
    if not name or len(name) > NAME_BYTES_MAX or CONTROL.search(name):
        return False
    return len(name.encode()) <= NAME_BYTES_MAX


def create(
    streams: Streams,
    command: CreateStream,
    tenant: TenantId,
    retention: Retention | None,
    now: int,
) -> Result:
    """Make a stream. Whether it may lie in this group has been checked."""
    if not name_valid(command.name):
        return Result(streams, Code.NAME_INVALID)
    if retention is not None and not retention.valid:
        return Result(streams, Code.BAD_COMMAND)
    key = name_key(tenant, command.name)
    known = streams.names.get(key)
    if known is not None:
        same = streams.records[known].info.data_class is command.data_class
        return Result(streams, Code.STREAM_ALREADY_EXISTS if same else Code.STREAM_DIFFERS, known)
    if streams.created >= STREAMS_MAX:
        return Result(streams, Code.TOO_MANY_STREAMS)
    counter = streams.created + 1
    new = stream_id(streams.group, counter)
    assert new not in streams.records
    if retention is not None and retention.unlimited:
        retention = None
    info = StreamInfo(
        new, tenant, command.name, command.data_class, command.placement, now, retention
    )
    after = msgspec.structs.replace(
        streams,
        created=counter,
        records=streams.records.set(new, Stream(info)),
        names=streams.names.set(key, new),
    )
    return Result(after, Code.OK, new)


def change(
    streams: Streams,
    command: Seal | TruncateBefore | SetRetention,
    header: EntryHeader,
    now: int,
) -> Result:
    """Apply a command about one stream, the header's."""
    stream = streams.records.get(header.stream)
    if stream is None:
        return Result(streams, Code.NO_SUCH_STREAM, header.stream)
    if stream.info.tenant != header.tenant:
        return Result(streams, Code.WRONG_TENANT, header.stream)
    if isinstance(command, Seal):
        return _seal(streams, stream, header.expected)
    if isinstance(command, TruncateBefore):
        return _truncate(streams, stream, command.offset, now)
    return _set_retention(streams, stream, command.retention, now)


def _seal(streams: Streams, stream: Stream, expected: int) -> Result:
    number = stream.info.id
    if stream.sealed:
        return Result(streams, Code.DUPLICATE, number, stream.next)
    if not expected_holds(stream, expected):
        return Result(streams, Code.WRONG_EXPECTED_OFFSET, number, stream.next)
    closed = msgspec.structs.replace(stream, sealed=True)
    after = msgspec.structs.replace(streams, records=streams.records.set(number, closed))
    return Result(after, Code.OK, number, stream.next)


def _truncate(streams: Streams, stream: Stream, offset: int, now: int) -> Result:
    number = stream.info.id
    if not 0 <= offset <= OFFSET_MAX:
        return Result(streams, Code.BAD_COMMAND, number)
    if offset > stream.next:
        return Result(streams, Code.OFFSET_BEYOND_END, number, stream.next)
    if offset <= stream.floor:
        return Result(streams, Code.OK, number, stream.floor)
    return _settled(streams, stream, stream.info.retention, offset, now)


def _set_retention(streams: Streams, stream: Stream, retention: Retention, now: int) -> Result:
    if not retention.valid:
        return Result(streams, Code.BAD_COMMAND, stream.info.id)
    wanted = None if retention.unlimited else retention
    info = msgspec.structs.replace(stream.info, retention=wanted)
    changed = msgspec.structs.replace(stream, info=info)
    return _settled(streams, changed, wanted, stream.floor, now)


def _settled(
    streams: Streams, stream: Stream, retention: Retention | None, floor: int, now: int
) -> Result:
    """Bring a stream's floor and runs in line with its bounds, after either has changed."""
    number = stream.info.id
    before = stream.floor
    kept = streams.retained.get(number, retain.EMPTY)
    bounds = retention or Retention()
    if not (bounds.max_age_ns or bounds.max_bytes):
        kept = msgspec.structs.replace(retain.EMPTY, due=kept.due)
    elif not kept.runs:
        kept = retain.start(stream, bounds)
    kept, floor = retain.settle(kept, bounds, floor, stream.next, now)
    stream = msgspec.structs.replace(stream, floor=floor)
    after = retain.put(streams, stream, kept, retain.due(kept, bounds))
    floors = ((number, floor),) if floor > before else ()
    return Result(after, Code.OK, number, floor, floors=floors)


def pulse(streams: Streams, now: int) -> Result:
    """Give up what has grown too old, of a bounded number of streams."""
    floors: list[tuple[StreamId, int]] = []
    for _ in range(PULSE_STREAMS_MAX):
        if streams.timers is None:
            break
        due_at, number = timers.first(streams.timers)
        if due_at > now:
            break
        stream = streams.records[number]
        kept = streams.retained[number]
        assert kept.due == due_at
        retention = stream.info.retention
        assert retention is not None and retention.max_age_ns
        kept, floor = retain.settle(kept, retention, stream.floor, stream.next, now)
        if floor > stream.floor:
            floors.append((stream.info.id, floor))
            stream = msgspec.structs.replace(stream, floor=floor)
        again = retain.due(kept, retention)
        assert not again or again > now, "a stream would be looked at for ever"
        streams = retain.put(streams, stream, kept, again)
    return Result(streams, Code.OK, count=len(floors), floors=tuple(floors))


def deadline(streams: Streams) -> int | None:
    """Return the log time at which a pulse has something to do, None for never."""
    return None if streams.timers is None else timers.first(streams.timers)[0]
