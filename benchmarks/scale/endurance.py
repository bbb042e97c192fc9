"""Both cores busy for long: many streams, snapshots, and replicas that are brought up to date."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from benchmarks.accounting import Window
from benchmarks.clients import SPARE_SECONDS, Client, Clients
from benchmarks.cluster import Cluster, fresh_cluster, regional, wait_until
from benchmarks.processes import ChildFailed, Family
from benchmarks.scale import pauses, sizes
from benchmarks.scale.results import FullLoad
from benchmarks.scale.sizes import Part
from benchmarks.tasks import Soak, Soaked
from veritydb.client.values import NodeStatus

Say = Callable[[str], None]
PAYLOAD_BYTES = 256
TAKEN_UP = " snapshot.taken_up "
MADE = " snapshot "
LOOK_SECONDS = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much. `transfer_ops` is how far behind a replica has to be to take a snapshot.

    `lanes` is how many single appends each of two clients has in flight.
    """

    seconds: float
    streams: int
    transfer_ops: int
    lanes: int = 64

    def loads(self) -> list[tuple[str, int, int, int]]:
        """A client process each: its name, lanes, streams of each lane, events in a batch."""
        return [("singles", self.lanes, 20, 1), ("others", self.lanes, 20, 1), ("all", 2, 10, 100)]


def measure(plan: Plan, settings: str, directory: Path | None, say: Say) -> FullLoad:
    """Make the streams, and begin when they are there."""
    with fresh_cluster(directory, settings=settings) as cluster, Family() as family:
        clients = Clients(family, cluster.directory)
        sizes.grow(cluster, clients, plan.streams, Part(plan.streams, 1, 64, 2), 0)
        say(f"  {plan.streams:,} streams are there")
        loads = plan.loads()
        used = clients.take(len(loads))
        for client, (name, lanes, streams, batch) in zip(used, loads, strict=True):
            client.begin(
                Soak(
                    url=cluster.url,
                    stream=name,
                    streams=streams,
                    lanes=lanes,
                    batch=batch,
                    payload_bytes=PAYLOAD_BYTES,
                )
            )
        for client in used:
            client.wait_ready()
        return watch(plan, cluster, used, say)


def watch(plan: Plan, cluster: Cluster, clients: list[Client], say: Say) -> FullLoad:
    """Let time pass. One backup is kept down for long, then the other one loses its disk."""
    before, view = pauses.told(cluster.statuses()), newest(cluster)[0]
    logs = {name: len(cluster.log(name)) for name in cluster.addresses}
    window = Window(cluster.pids, cluster.directory)
    began = time.monotonic()
    end = began + plan.seconds
    time.sleep(plan.seconds / 6)
    behind, emptied = (name for name in cluster.addresses if name != cluster.primary())
    taken = cluster.log(behind).count(TAKEN_UP)
    keep_down(cluster, behind, plan.transfer_ops, end)
    brought_up(cluster, behind, taken, end)
    say(f"  {behind} was down, and has taken a snapshot up")
    taken = cluster.log(emptied).count(TAKEN_UP)
    cluster.nodes[emptied].kill()
    cluster.replace(emptied)
    cluster.start(emptied)
    brought_up(cluster, emptied, taken, end)
    say(f"  {emptied} lost its disk, and has taken a snapshot up")
    memory = 0.0
    while time.monotonic() < end:
        memory = max(memory, sizes.memory(cluster))
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    busy = window.cost().busy_s / seconds
    for client in clients:
        client.go_on()
    seen = [client.result(Soaked, SPARE_SECONDS) for client in clients]
    since = {name: cluster.log(name)[logs[name] :] for name in cluster.addresses}
    return FullLoad(
        seconds=seconds,
        streams=plan.streams,
        events=sum(one.events for one in seen),
        events_per_s=sum(one.events / one.seconds for one in seen),
        view_changes=newest(cluster)[0] - view,
        snapshots=sum(text.count(MADE) for text in since.values()),
        transfers=sum(text.count(TAKEN_UP) for text in since.values()),
        silent_s=max(one.silent_s for one in seen),
        refused=sum(one.refused for one in seen),
        node_rss_mib=max(memory, sizes.memory(cluster)),
        cores_used=busy,
        pauses=pauses.since(before, pauses.told(cluster.statuses())),
        errors=sorted({error for one in seen for error in one.errors}),
    )


def newest(cluster: Cluster) -> tuple[int, int]:
    """The latest view of both groups, added up, and the region's latest op."""
    found: list[NodeStatus] = []

    def all_answer() -> bool:
        # Where both cores are busy, an answer may come too late for the client.
        found[:] = [one for one in cluster.statuses() if one.reachable]
        return len(found) == sum(node.alive for node in cluster.nodes.values())

    wait_until(all_answer, "the nodes to say how they are", SPARE_SECONDS)
    return views(found), max(group.op for group in regional(found))


def views(statuses: Iterable[NodeStatus]) -> int:
    """The latest view of each group, added up: it grows with every view change."""
    latest: dict[int, int] = {}
    for status in statuses:
        for group in status.groups:
            latest[group.group] = max(latest.get(group.group, 0), group.view)
    return sum(latest.values())


def keep_down(cluster: Cluster, name: str, ops: int, end: float) -> None:
    """Keep a node down until it lags so far that only a snapshot helps."""
    _, op = newest(cluster)
    cluster.nodes[name].kill()
    while newest(cluster)[1] < op + ops + ops // 10:
        if time.monotonic() > end + SPARE_SECONDS:
            raise ChildFailed(f"waited for {ops} ops; there came {newest(cluster)[1] - op}")
        time.sleep(LOOK_SECONDS)
    cluster.start(name)


def brought_up(cluster: Cluster, name: str, taken: int, end: float) -> None:
    """Wait until a node has taken one more of its peers' snapshots up and serves."""
    while True:
        status = {one.name: one for one in cluster.statuses()}.get(name)
        if status is not None and status.ready and cluster.log(name).count(TAKEN_UP) > taken:
            return
        if time.monotonic() > end + SPARE_SECONDS:
            raise ChildFailed(f"not brought up in time: {cluster.nodes[name].last_words()}")
        time.sleep(LOOK_SECONDS)
