"""Faults of the primary in a row, and connections that flap."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import outages
from benchmarks.clients import SPARE_SECONDS, Clients
from benchmarks.cluster import GROUP, fresh_cluster
from benchmarks.outages import Fault
from benchmarks.processes import ChildFailed, Family
from benchmarks.scale.endurance import views
from benchmarks.scale.namespaces import Namespaces, possible
from benchmarks.scale.results import Faults, Flapping
from benchmarks.tasks import Acknowledged, Check, Numbers, Steady
from nemesis.nodes import Nodes, three_nodes
from nemesis.proxy import Ends, Network

# Nothing encrypts what goes between namespaces; it does not leave this machine.
INSECURE = "[server]\nallow_insecure = true\n"
RESET_EVERY_SECONDS = 0.2
PAYLOAD_BYTES = 256
Say = Callable[[str], None]


def in_a_row(fault: Fault, times: int, directory: Path | None, say: Say) -> Faults:
    """Strike whoever is the primary then, so many times, on one cluster."""
    with fresh_cluster(directory) as cluster, Family() as family:
        clients = Clients(family, cluster.directory)
        return Faults(
            runs=[told(outages.measure(cluster, clients, fault), say) for _ in range(times)]
        )


def dropped(times: int, directory: Path | None, say: Say) -> Faults:
    """Drop all packets of the primary, so many times. Raises ChildFailed where that cannot be."""
    if not possible():
        raise ChildFailed("network namespaces need root and iproute2")
    with (
        Namespaces() as places,
        fresh_cluster(directory, settings=INSECURE, places=places) as cluster,
        Family() as family,
    ):
        clients = Clients(family, cluster.directory)
        fault = places.unplugged
        return Faults(
            runs=[told(outages.measure(cluster, clients, fault), say) for _ in range(times)]
        )


def told(run: outages.Outage, say: Say) -> outages.Outage:
    """Say how it went."""
    say(f"  {run.silent_s:.2f} s without an acknowledgement, lost {run.lost}")
    return run


def flapping(of_primary: bool, seconds: float, directory: Path | None) -> Flapping:
    """Reset the connections of a backup, with the primary or with the other backup."""
    with (
        tempfile.TemporaryDirectory(prefix="veritydb-bench-", dir=directory) as folder,
        Network(("node-1", "node-2", "node-3"), seed=1) as network,
        Nodes(Path(folder), three_nodes("benchmark"), network) as nodes,
        Family() as family,
    ):
        nodes.up()
        nodes.primary(GROUP)
        [client] = Clients(family, Path(folder)).take(1)
        stream = f"flapping-{time.time_ns():x}"
        client.begin(Steady(url=nodes.url, stream=stream, payload_bytes=PAYLOAD_BYTES))
        client.wait_ready()
        time.sleep(outages.BEFORE_SECONDS)
        before, primary = views(nodes.status().values()), nodes.primary(GROUP)
        near, far = [name for name in nodes.names if name != primary]
        if of_primary:
            far = primary
        struck = time.monotonic()
        calm = network.storm([Ends(near, far), Ends(far, near)], RESET_EVERY_SECONDS)
        time.sleep(seconds)
        calm()
        told_at = time.monotonic()
        after = views(nodes.status().values())
        client.go_on()
        seen = client.result(Acknowledged, SPARE_SECONDS)
        found = client.do(Check(url=nodes.url, stream=stream), Numbers, SPARE_SECONDS)
    lost, twice = outages.compare(seen.count, seen.unknown, found.found)
    return Flapping(
        seconds=told_at - struck,
        resets=int((told_at - struck) / RESET_EVERY_SECONDS),
        view_changes=after - before,
        acknowledged=len(seen.times),
        silent_s=outages.silence(seen.times, struck, told_at),
        lost=lost,
        duplicated=twice,
    )
