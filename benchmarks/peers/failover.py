"""The leader is killed under load: how long nothing is acknowledged, and what is lost."""

import time
from collections.abc import Callable

import msgspec

from benchmarks import outages
from benchmarks.clients import SPARE_SECONDS, Clients
from benchmarks.tasks import Acknowledged, Append, Appending, Check, Numbers, Steady

LOAD_LANES = 64
PAYLOAD_BYTES = 256
BEFORE_SECONDS = 2.0
# The slowest of the peers needs up to eight.
AFTER_SECONDS = 12.0


class Failing(msgspec.Struct, frozen=True):
    """A cluster whose leader can be killed, with clients that know all of its nodes."""

    clients: Clients
    url: str
    kill_leader: Callable[[], None]


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """What a client in sequence saw while another one kept its calls in flight."""

    silent_s: float
    acknowledged: int
    unknown: int
    lost: int
    load_per_s: float


def measure(failing: Failing) -> Failover:
    """Kill the leader, once."""
    probe, load = failing.clients.take(2)
    stream = f"failover-{time.time_ns():x}"
    whole = BEFORE_SECONDS + AFTER_SECONDS
    load.begin(
        Append(
            url=failing.url,
            lanes=tuple(f"{stream}-{lane}" for lane in range(LOAD_LANES)),
            batch=1,
            payload_bytes=PAYLOAD_BYTES,
            coalesce=False,
            warm_s=0.0,
            seconds=whole,
        )
    )
    load.wait_ready()
    probe.begin(Steady(url=failing.url, stream=stream, payload_bytes=PAYLOAD_BYTES))
    probe.wait_ready()
    load.go_on(repr(time.monotonic()))
    time.sleep(BEFORE_SECONDS)
    failing.kill_leader()
    struck = time.monotonic()
    time.sleep(AFTER_SECONDS)
    probe.go_on()
    told = time.monotonic()
    seen = probe.result(Acknowledged, SPARE_SECONDS)
    loaded = load.result(Appending, SPARE_SECONDS)
    found = probe.do(Check(url=failing.url, stream=stream), Numbers, SPARE_SECONDS)
    lost, _ = outages.compare(seen.count, seen.unknown, found.found)
    return Failover(
        silent_s=outages.silence(seen.times, struck, told),
        acknowledged=len(seen.times),
        unknown=len(seen.unknown),
        lost=lost,
        load_per_s=loaded.events / whole,
    )
