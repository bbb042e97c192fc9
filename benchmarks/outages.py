"""Outages: how long a client waits when the primary dies, and how long a node takes to return."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from benchmarks.accounting import Window
from benchmarks.clients import SPARE_SECONDS, Client, Clients
from benchmarks.cluster import Cluster
from benchmarks.figures import longest_gap
from benchmarks.tasks import Acknowledged, Check, Content, Fill, Numbers, Steady

BEFORE_SECONDS = 1.5
AFTER_SECONDS = 6.0
PAYLOAD_BYTES = 256
FILL_SECONDS = 600.0
RETURN_SECONDS = 60.0


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """What a client in sequence saw of a fault: the longest time without an acknowledgement.

    `unknown` are appends whose outcome the client was not told; `returned_s` is how long the node
    took, once it ran again, until it held all that was committed.
    """

    silent_s: float
    acknowledged: int
    unknown: int
    lost: int
    duplicated: int
    returned_s: float
    errors: list[str]


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took after SIGKILL, with that many events in the log.

    `node_s`: one backup, until it is ready again. `cluster_s`: all three nodes at once, until an
    append is acknowledged again, from the moment they are started.
    """

    events: int
    node_s: float
    node_cpu_s: float
    cluster_s: float
    lost: int


class Fault(NamedTuple):
    """What happens to a node, and what lets it return."""

    strike: Callable[[Cluster, str], None]
    heal: Callable[[Cluster, str], None]


def signalled(number: signal.Signals) -> Callable[[Cluster, str], None]:
    """Send a node a signal."""
    return lambda cluster, name: cluster.nodes[name].signal(number)


def start_again(cluster: Cluster, name: str) -> None:
    """Start a node that was killed."""
    cluster.nodes[name].kill()
    cluster.start(name)


KILLED = Fault(signalled(signal.SIGKILL), start_again)
STOPPED = Fault(signalled(signal.SIGSTOP), signalled(signal.SIGCONT))


def measure(cluster: Cluster, clients: Clients, fault: Fault) -> Outage:
    """Do something to the primary under a client that appends in sequence."""
    [client] = clients.take(1)
    stream = begin_steady(cluster, client)
    time.sleep(BEFORE_SECONDS)
    primary = cluster.primary()
    struck = time.monotonic()
    fault.strike(cluster, primary)
    time.sleep(AFTER_SECONDS)
    client.go_on()
    told = time.monotonic()
    seen = client.result(Acknowledged, SPARE_SECONDS)
    began = time.monotonic()
    fault.heal(cluster, primary)
    cluster.wait_caught_up(RETURN_SECONDS)
    returned = time.monotonic() - began
    lost, duplicated = check(cluster, client, stream, seen)
    return Outage(
        silent_s=silence(seen.times, struck, told),
        acknowledged=len(seen.times),
        unknown=len(seen.unknown),
        lost=lost,
        duplicated=duplicated,
        returned_s=returned,
        errors=seen.errors,
    )


def silence(times: Sequence[float], struck: float, until: float) -> float:
    """The longest time without an acknowledgement, from the last one before the fault on."""
    before = [time for time in times if time <= struck]
    return longest_gap(times, before[-1] if before else struck, until)


def begin_steady(cluster: Cluster, client: Client) -> str:
    """Have a client append in sequence to a stream of its own; return its name."""
    stream = f"outage-{time.time_ns():x}"
    client.begin(Steady(url=cluster.url, stream=stream, payload_bytes=PAYLOAD_BYTES))
    client.wait_ready()
    return stream


def check(cluster: Cluster, client: Client, stream: str, seen: Acknowledged) -> tuple[int, int]:
    """How many acknowledged events are missing, and how many events are there twice."""
    found = client.do(Check(url=cluster.url, stream=stream), Numbers, SPARE_SECONDS)
    return compare(seen.count, seen.unknown, found.found)


def compare(count: int, unknown: Sequence[int], found: Sequence[int]) -> tuple[int, int]:
    """Lost and duplicated of 0..count-1, where the unknown ones may be there or not."""
    times = Counter(found)
    lost = sum(number not in times for number in set(range(count)) - set(unknown))
    return lost, sum(one > 1 for one in times.values())


def measure_restart(cluster: Cluster, clients: Clients, events: int) -> Restart:
    """Kill a backup and then everything, with so many events in the log."""
    [client] = clients.take(1)
    fill = Fill(
        url=cluster.url,
        stream=f"restart-{time.time_ns():x}",
        events=events,
        batch=100,
        payload_bytes=PAYLOAD_BYTES,
    )
    client.do(fill, Content, FILL_SECONDS)
    return kill_and_start(cluster, client, events)


def kill_and_start(
    cluster: Cluster,
    client: Client,
    events: int,
    forget: Callable[[], object] = lambda: None,
    seconds: float = RETURN_SECONDS,
) -> Restart:
    """Kill a backup and start it, then all nodes. `forget` empties the system's memory of files."""
    cluster.wait_caught_up(RETURN_SECONDS)
    node_s, node_cpu_s = restart_backup(cluster, forget, seconds)
    stream = begin_steady(cluster, client)
    time.sleep(BEFORE_SECONDS)
    for node in cluster.nodes.values():
        node.kill()
    forget()
    started = time.monotonic()
    for name in cluster.addresses:
        cluster.start(name)
    cluster.wait_ready(seconds)
    time.sleep(BEFORE_SECONDS)
    client.go_on()
    seen = client.result(Acknowledged, SPARE_SECONDS)
    after = [time for time in seen.times if time > started]
    lost, _ = check(cluster, client, stream, seen)
    return Restart(
        events=events,
        node_s=node_s,
        node_cpu_s=node_cpu_s,
        cluster_s=(after[0] if after else time.monotonic()) - started,
        lost=lost,
    )


def restart_backup(
    cluster: Cluster, forget: Callable[[], object], seconds: float
) -> tuple[float, float]:
    """Kill and start a backup; return the seconds until it is ready, and its processor time."""
    primary = cluster.primary()
    backup = next(name for name in cluster.nodes if name != primary)
    cluster.nodes[backup].kill()
    forget()
    began = time.monotonic()
    cluster.start(backup)
    window = Window([cluster.nodes[backup].pid], cluster.directory)
    cluster.wait_ready(seconds)
    return time.monotonic() - began, window.cost().cpu_s
