"""All that one group knows about its streams. Persistent: an old state stays as it was."""

import immutables
import msgspec

from veritydb.streams.batches import Batches
from veritydb.streams.timers import Timer
from veritydb.types.ids import GroupId, StreamId, TenantId, stream_id
from veritydb.types.labels import DataClass, Placement
from veritydb.types.retention import Retention


class StreamInfo(msgspec.Struct, frozen=True, gc=False):
    """What a stream was made as. Only its retention can ever change; None keeps everything."""

    id: StreamId
    tenant: TenantId
    name: str
    data_class: DataClass
    placement: Placement
    created_at: int
    retention: Retention | None


class Stream(msgspec.Struct, frozen=True, gc=False):
    """A stream now. Events before `floor` are given up; `next` is the offset of the next event.

    `bytes` counts the bodies ever appended, `last_at` is the log time of the latest append.
    """

    info: StreamInfo
    next: int = 0
    floor: int = 0
    sealed: bool = False
    bytes: int = 0
    last_at: int = 0


class Run(msgspec.Struct, frozen=True, gc=False):
    """Neighbouring appends that retention gives up together."""

    count: int
    bytes: int
    first_at: int
    last_at: int


class Retained(msgspec.Struct, frozen=True, gc=False):
    """The runs a stream still keeps, oldest first: its last `count` events.

    `due` is the log time at which its age is looked at next, 0 if there is no such time.
    """

    runs: tuple[Run, ...]
    count: int
    bytes: int
    due: int


class OriginRun(msgspec.Struct, frozen=True, gc=False):
    """Consecutive sequences of an origin that also got consecutive offsets."""

    seq: int
    base: int
    count: int


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What one origin wrote to one stream: `next` is the sequence it has to go on with."""

    key: bytes
    next: int
    runs: tuple[OriginRun, ...]


class Streams(msgspec.Struct, frozen=True, gc=False):
    """The streams of a group. The `n`-th made has counter `n`, from 1; none is ever removed.

    Origins are numbered in the order they came, from 0. `names` and `origin_numbers` follow from
    `records` and `origins`, `timers` from `retained`.
    """

    group: GroupId
    created: int = 0
    records: immutables.Map[int, Stream] = immutables.Map()
    names: immutables.Map[str, StreamId] = immutables.Map()
    retained: immutables.Map[int, Retained] = immutables.Map()
    timers: Timer | None = None
    origins: immutables.Map[int, Origin] = immutables.Map()
    origin_numbers: immutables.Map[bytes, int] = immutables.Map()
    batches: Batches = Batches()


def name_key(tenant: TenantId, name: str) -> str:
    """Return what `names` knows a stream by."""
    return f"{tenant}:{name}"


def find(streams: Streams, tenant: TenantId, name: str) -> Stream | None:
    """Return a tenant's stream by its name."""
    found = streams.names.get(name_key(tenant, name))
    return None if found is None else streams.records[found]


def page(
    streams: Streams, tenant: TenantId, after: int, limit: int, scan: int
) -> tuple[list[Stream], int | None]:
    """List a tenant's streams in the order they were made, those with a counter over `after`.

    Looks at no more than `scan` records. The number returned is where to go on, None at the end.
    """
    assert after >= 0 and limit > 0 and scan > 0
    found: list[Stream] = []
    last = min(streams.created, after + scan)
    for counter in range(after + 1, last + 1):
        stream = streams.records[stream_id(streams.group, counter)]
        if stream.info.tenant == tenant:
            found.append(stream)
            if len(found) == limit:
                last = counter
                break
    return found, last if last < streams.created else None
