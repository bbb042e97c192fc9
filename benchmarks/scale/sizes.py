"""How a database grows: throughput, memory, disk and pauses on the way, and how it starts."""

import os
from pathlib import Path

import msgspec

from benchmarks import accounting, outages
from benchmarks.accounting import Window
from benchmarks.clients import SPARE_SECONDS, Clients
from benchmarks.cluster import NODES, Cluster, fresh_cluster
from benchmarks.processes import ChildFailed, Family
from benchmarks.scale import pauses
from benchmarks.scale.results import Size, Stage
from benchmarks.tasks import Spread, Spreading

PAYLOAD_BYTES = 256
PREFIX = "patient"
EVENTS_PER_S_LEAST = 500
START_SECONDS = 120.0
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
BLOCK = 512
MIB = 1 << 20


class Part(msgspec.Struct, frozen=True):
    """So many events in batches of that size, `lanes` streams at a time, from so many clients."""

    events: int
    batch: int
    lanes: int
    clients: int


def measure(streams: int, parts: list[Part], directory: Path | None) -> Size:
    """Append part after part to one database, then kill and start it."""
    with fresh_cluster(directory) as cluster, Family() as family:
        clients = Clients(family, cluster.directory)
        stages: list[Stage] = []
        for part in parts:
            before = stages[-1].events if stages else 0
            stages.append(grow(cluster, clients, streams, part, before))
        restart = outages.kill_and_start(
            cluster, clients.take(1)[0], stages[-1].events, drop_caches, START_SECONDS
        )
        return Size(
            streams=streams, stages=stages, restart=restart, started_rss_mib=memory(cluster)
        )


def grow(cluster: Cluster, clients: Clients, streams: int, part: Part, before: int) -> Stage:
    """Append one part, and look at what that took. Each client has streams of its own."""
    told = pauses.told(cluster.statuses())
    window = Window(cluster.pids, cluster.directory)
    used = clients.take(part.clients)
    for number, client in enumerate(used):
        task = Spread(
            url=cluster.url,
            stream=f"{PREFIX}-{number}",
            streams=streams // part.clients,
            events=part.events // part.clients,
            batch=part.batch,
            lanes=part.lanes,
            payload_bytes=PAYLOAD_BYTES,
        )
        client.begin(task)
    patience = SPARE_SECONDS + part.events / EVENTS_PER_S_LEAST
    done = [client.result(Spreading, patience) for client in used]
    events = sum(one.events for one in done)
    cost = window.cost()
    cluster.wait_caught_up(outages.RETURN_SECONDS)
    return Stage(
        events=before + events,
        batch=part.batch,
        events_per_s=events / max(one.seconds for one in done),
        node_rss_mib=memory(cluster),
        written=None if cost.written is None else cost.written / events / NODES,
        disk_bytes=max(used_bytes(cluster.data(name)) for name in cluster.nodes)
        / (before + events),
        pauses=pauses.since(told, pauses.told(cluster.statuses())),
    )


def memory(cluster: Cluster) -> float:
    """What the largest node holds."""
    return max(accounting.resident_bytes(pid) or 0 for pid in cluster.pids) / MIB


def used_bytes(folder: Path) -> int:
    """What a directory takes of its disk."""
    return sum(
        (Path(where) / name).stat().st_blocks * BLOCK
        for where, _, names in os.walk(folder)
        for name in names
    )


def drop_caches() -> None:
    """Have the system forget what it has read and written. Raises ChildFailed if we may not."""
    os.sync()
    try:
        DROP_CACHES.write_text("3")
    except OSError as error:
        raise ChildFailed(f"the page cache cannot be dropped: {error.strerror}") from None
