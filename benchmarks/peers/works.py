"""What is compared."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch

import msgspec

from benchmarks.appends import Workload

CORE = "core"
PAYLOADS = (256, 1024)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One workload: appends, or the catch-up read of so many events."""

    key: str
    name: str
    core: bool = False
    appends: Workload | None = None
    read_events: int = 0
    payload_bytes: int = 256


def works(read_events: int) -> Iterator[Work]:
    """All of them, in the order of the tables."""
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
        key="catch-up",
        name=f"catch-up read of {read_events:,} events, {min(PAYLOADS)} B",
        core=True,
        read_events=read_events,
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
