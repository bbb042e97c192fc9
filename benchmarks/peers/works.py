"""What is compared."""

from collections.abc import Iterator, Sequence
from enum import Enum
from fnmatch import fnmatch

import msgspec

from benchmarks.appends import Workload

CORE = "core"
PAYLOADS = (256, 1024)
MIX_EVENTS = 100_000
MIX_LANES = 16
MIX_PAGE = 10


class Kind(Enum):
    """What is done, and in what that is measured."""

    APPEND = "append"
    READ = "read"
    MIX = "mix"
    TAIL = "tail"
    FAILOVER = "failover"

    @property
    def unit(self) -> str:
        """Of the figures."""
        return {Kind.MIX: "calls/s", Kind.TAIL: "ms", Kind.FAILOVER: "s"}.get(self, "events/s")

    @property
    def more_is_better(self) -> bool:
        """Whether the greater figure is the better one."""
        return self not in (Kind.TAIL, Kind.FAILOVER)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One workload. `events` is how many are there to be read."""

    key: str
    name: str
    kind: Kind = Kind.APPEND
    core: bool = False
    appends: Workload | None = None
    events: int = 0
    payload_bytes: int = 256


def works(read_events: int) -> Iterator[Work]:
    """All of them, in the order of the tables. The last one leaves no cluster to be used again."""
    for payload_bytes in PAYLOADS:
        small = payload_bytes == min(PAYLOADS)
        for lanes in (1, 16, 64, 256):
            workload = Workload(lanes=lanes, payload_bytes=payload_bytes)
            yield appending(f"single-{lanes}", workload, core=small and lanes != 16)
        workload = Workload(clients=8, payload_bytes=payload_bytes)
        yield appending("clients-8", workload, core=False)
        for batch in (100, 1000):
            for clients in (1, 8):
                workload = Workload(clients=clients, batch=batch, payload_bytes=payload_bytes)
                yield appending(f"batch-{batch}x{clients}", workload, core=small and clients == 8)
    yield Work(
        key="mix",
        name=f"{MIX_LANES} in flight, 90 % reads of {MIX_PAGE} events, 10 % appends, 256 B",
        kind=Kind.MIX,
        events=MIX_EVENTS,
    )
    yield Work(
        key="tail",
        name="live tail, from the append to the reader, p50, 256 B",
        kind=Kind.TAIL,
    )
    yield Work(
        key="catch-up",
        name=f"catch-up read of {read_events:,} events, 256 B",
        kind=Kind.READ,
        core=True,
        events=read_events,
    )
    yield Work(
        key="failover",
        name="failover, 64 in flight: silence after SIGKILL of the leader",
        kind=Kind.FAILOVER,
    )


def appending(key: str, workload: Workload, *, core: bool) -> Work:
    """Appends. Whether calls in flight are joined is each client's own way to do it."""
    size = workload.payload_bytes
    return Work(
        key=key if size == min(PAYLOADS) else f"{key}-{size}",
        name=workload.name.replace(", coalescing off", ""),
        core=core,
        appends=workload,
        payload_bytes=size,
    )


def chosen(there: Sequence[Work], patterns: Sequence[str]) -> list[Work]:
    """What is asked for: `core`, or what patterns match."""
    return [
        work
        for work in there
        if any((one == CORE and work.core) or fnmatch(work.key, one) for one in patterns)
    ]
