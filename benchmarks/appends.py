"""Appends: what is measured, and one measurement of it."""

import time
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks import accounting
from benchmarks.accounting import Cost, Window
from benchmarks.clients import SPARE_SECONDS, Clients, Measured
from benchmarks.cluster import NODES
from benchmarks.figures import Latency, latency
from benchmarks.tasks import Append, Appending

WARM_SECONDS = 1.0
# From the word to the clients until they begin, so that all of them have heard it.
LEAD_SECONDS = 0.1
MICRO = 1e6


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """So many clients, each with so many calls of `batch` events in flight.

    Lanes that coalesce append to one stream per client, the others each to one of its own.
    """

    clients: int = 1
    lanes: int = 1
    batch: int = 1
    payload_bytes: int = 256
    coalesce: bool = False

    @property
    def name(self) -> str:
        """How reports call it."""
        if self.batch > 1:
            plural = "s" if self.clients > 1 else ""
            text = f"batches of {self.batch:,}, {self.clients} client{plural}"
        elif self.lanes == 1:
            text = f"{self.clients} clients in sequence" if self.clients > 1 else "1 in sequence"
        else:
            joined = "coalescing" if self.coalesce else "coalescing off"
            text = f"{self.lanes} in flight, {joined}"
        return f"{text}, {self.payload_bytes} B"


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. Figures "per event" leave out what the system does not tell.

    `flushes` are those of the whole disk; `written` and `disk_written` are bytes per node, as the
    nodes caused them and as the disk saw them. `others_cores` is what neither nodes nor clients
    used: a large one means a disturbed measurement.
    """

    events_per_s: float
    latency: Latency | None
    server_cpu_us: float
    client_cpu_us: float
    flushes: float | None
    written: float | None
    disk_written: float | None
    others_cores: float
    node_rss_mib: float
    client_rss_mib: float
    errors: list[str]


def workloads() -> Iterator[Workload]:
    """All of them, in the order of the report."""
    for payload_bytes in (256, 1024):
        yield Workload(payload_bytes=payload_bytes)
        for lanes in (16, 64, 256):
            for coalesce in (True, False):
                yield Workload(lanes=lanes, payload_bytes=payload_bytes, coalesce=coalesce)
        for batch in (100, 1000):
            for clients in (1, 8):
                yield Workload(clients=clients, batch=batch, payload_bytes=payload_bytes)


def measure(workload: Workload, cluster: Measured, clients: Clients, seconds: float) -> Appended:
    """Measure once."""
    prefix = f"bench-{time.time_ns():x}"
    tasks = []
    for number in range(workload.clients):
        lanes = [f"{prefix}-{number}-{lane}" for lane in range(workload.lanes)]
        if workload.coalesce:
            lanes = lanes[:1] * workload.lanes
        tasks.append(
            Append(
                url=cluster.url,
                lanes=tuple(lanes),
                batch=workload.batch,
                payload_bytes=workload.payload_bytes,
                coalesce=workload.coalesce,
                warm_s=WARM_SECONDS,
                seconds=seconds,
            )
        )
    return together(tasks, cluster, clients, seconds)


def together(
    tasks: Sequence[msgspec.Struct], cluster: Measured, clients: Clients, seconds: float
) -> Appended:
    """Have each task done by a client of its own, all in one window after `WARM_SECONDS`."""
    used = clients.take(len(tasks))
    for client, task in zip(used, tasks, strict=True):
        client.begin(task)
    for client in used:
        client.wait_ready()
    begin = time.monotonic() + LEAD_SECONDS
    for client in used:
        client.go_on(repr(begin))
    time.sleep(max(0.0, begin + WARM_SECONDS - time.monotonic()))
    window = Window(cluster.pids, cluster.directory)
    time.sleep(seconds)
    cost = window.cost()
    results = [client.result(Appending, seconds + SPARE_SECONDS) for client in used]
    return summary(results, cost, seconds, cluster.pids)


def summary(results: list[Appending], cost: Cost, seconds: float, nodes: list[int]) -> Appended:
    """Put together what clients and accounting say."""
    events = sum(result.events for result in results)
    client_cpu = sum(result.cpu_s for result in results)
    resident = [accounting.resident_bytes(pid) or 0 for pid in nodes]

    def each(total: float | None, nodes: int = 1) -> float | None:
        return None if total is None or not events else total / events / nodes

    return Appended(
        events_per_s=events / seconds,
        latency=latency(us for result in results for us in result.durations_us),
        server_cpu_us=each(cost.cpu_s * MICRO) or 0.0,
        client_cpu_us=each(client_cpu * MICRO) or 0.0,
        flushes=each(cost.disk_flushes),
        written=each(cost.written, NODES),
        disk_written=each(cost.disk_written, NODES),
        others_cores=(cost.busy_s - cost.cpu_s - client_cpu) / cost.seconds,
        node_rss_mib=max(resident, default=0) / (1 << 20),
        client_rss_mib=max((result.resident_bytes for result in results), default=0) / (1 << 20),
        errors=[error for result in results for error in result.errors],
    )
