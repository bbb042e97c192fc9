"""Catching up: how fast one client takes in a stream from its beginning."""

import msgspec

from benchmarks.accounting import Window
from benchmarks.clients import Clients, Measured
from benchmarks.processes import ChildFailed
from benchmarks.tasks import CatchUp, Content, Fill

FILL_SECONDS = 300.0
READ_SECONDS = 120.0
BATCH = 1000
STREAM = "catch-up"


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One catch-up read, checked against what was written."""

    events_per_s: float
    server_cpu_us: float
    client_cpu_us: float
    others_cores: float | None = None


def fill(cluster: Measured, clients: Clients, events: int, payload_bytes: int) -> Content:
    """Write the stream that is going to be read."""
    [client] = clients.take(1)
    task = Fill(
        url=cluster.url,
        stream=f"{STREAM}-{payload_bytes}",
        events=events,
        batch=BATCH,
        payload_bytes=payload_bytes,
    )
    return client.do(task, Content, FILL_SECONDS)


def measure(
    cluster: Measured, clients: Clients, written: Content, payload_bytes: int, *, batches: bool
) -> Read:
    """Read it once, by event objects or by columns."""
    [client] = clients.take(1)
    window = Window(cluster.pids, cluster.directory)
    task = CatchUp(url=cluster.url, stream=f"{STREAM}-{payload_bytes}", batches=batches)
    read = client.do(task, Content, READ_SECONDS)
    cost = window.cost()
    found = (read.events, read.payload_bytes, read.digest)
    if found != (written.events, written.payload_bytes, written.digest):
        raise ChildFailed(f"read {found}, but {written} was written")
    return Read(
        events_per_s=read.events / read.seconds,
        server_cpu_us=cost.cpu_s / read.events * 1e6,
        client_cpu_us=read.cpu_s / read.events * 1e6,
        others_cores=(cost.busy_s - cost.cpu_s - read.cpu_s) / cost.seconds,
    )
