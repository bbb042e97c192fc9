"""From a seed to a plan: which faults a run has at all, then how often. Printed, and serialisable.

Leaving whole classes of faults out finds more than having a little of everything: some states are
only reached where nothing else disturbs (swarm testing). So a run draws a chance of a tenth, a
fifth or a third, with which it has each class; a tenth of the runs have none at all, and a tenth
exactly one.
"""

import msgspec

from simulation.choices import PPM, Choices
from simulation.network import NetworkPlan
from simulation.segments import SMALL
from simulation.world import MS, SECOND, US
from veritydb.types.limits import SEGMENT_BYTES

NETWORK_FAULTS = ("heavy", "loss", "burst", "twice", "replay", "damage", "astray")
NEMESES = (
    *("crash", "crash-inside", "crash-loop", "power-cut", "pause", "slow", "gone", "step-down"),
    *("cut", "clog", "kind-loss", "oversize"),
    "clock",
    *("eio-read", "eio-write", "fsync-error", "disk-full", "misread"),
    *("rot", "superblock", "file-lost"),
    *("lying-sync", "lost-write", "misdirected-write", "rollback"),
    *("wipe", "foreign-files", "kernel", "erase"),
)
"""In the order of the families in `simulation.nemesis`."""
CLOCK_FAULTS = ("rate", "skew", "drift")
FAULTS = NETWORK_FAULTS + NEMESES + CLOCK_FAULTS
NEED_PEERS = (
    *("heavy", "burst", "damage", "astray", "oversize", "kind-loss", "clog", "step-down", "gone"),
    *("kernel", "rot", "superblock", "file-lost", "misread", "foreign-files", "wipe", "drift"),
    *("lying-sync", "lost-write", "misdirected-write", "rollback", "skew"),
)
"""What a replica alone does not meet, or has nobody to be repaired or replaced by."""
SELDOM = (
    *("disk-full", "wipe", "power-cut", "superblock", "file-lost", "gone", "crash-loop"),
    *("lying-sync", "lost-write", "misdirected-write", "rollback", "foreign-files"),
)
OFTEN = ("rot", "crash-inside", "kernel")

SHAPES = ("three",) * 31 + ("five",) * 4 + ("one",) + ("regions",) * 4
"""Three replicas in most runs; `regions` is two regional groups and a global one on six nodes."""
REPLICAS = {"one": 1, "three": 3, "five": 5, "regions": 3}
NODES = {"one": 1, "three": 3, "five": 5, "regions": 6}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run that is decided before it starts."""

    seed: int
    shape: str
    faults: tuple[str, ...]
    requests: int
    """How many requests the clients make, altogether."""
    events: int = 0
    """They make more until there were so many events."""
    clients: int
    window: int
    """Requests that one client has in flight."""
    think: int
    """Mean time between two requests of one client, ns."""
    patience: int
    """How long a client waits for an answer before it asks again, ns."""
    twins: bool
    """Two of the clients have the same id."""
    network: NetworkPlan
    nemeses: dict[str, int]
    """Mean time between two faults of a class, ns."""
    clock_rate_ppm: int
    """The largest deviation of a monotonic clock's rate."""
    clock_offset: int
    """The largest error of a wall clock, ns."""
    clock_drift_ppm: int
    write_latency: int
    """Mean time that a synced write takes, ns."""
    read_latency: int
    snapshot_ops: int
    """How many ops apart snapshots are."""
    transfer_ops: int
    """How far a replica lags before it takes a peer's snapshot."""
    part_bytes: int
    """Of a snapshot, or of history, that one message carries."""
    down: int
    """Mean time that a crashed node stays down, ns."""
    few: bool = False
    """Sessions, their results and the pipeline have small limits."""
    segment_bytes: int = SEGMENT_BYTES
    core: bool = False
    """In the end only a core of replicas heals."""

    def has(self, fault: str) -> bool:
        """Whether this run has a class of faults."""
        return fault in self.faults

    def text(self) -> str:
        """As JSON, to be printed and read back."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def parse(text: str) -> Plan:
    """Read a printed plan."""
    return msgspec.json.decode(text, type=Plan)


def make(seed: int) -> Plan:
    """Draw the plan of a seed."""
    c = Choices(seed)
    shape = c.pick("plan.shape", SHAPES)
    faults = _faults(c, shape)
    return Plan(
        seed=seed,
        shape=shape,
        faults=faults,
        requests=c.between("plan.requests", 165, 180),
        # A replica alone has little to do, and does it alike.
        events=c.between("plan.events", 7_850, 8_050) // (2 if shape == "one" else 1),
        clients=c.between("plan.clients", 2, 5),
        window=c.pick("plan.window", (1, 1, 2, 4, 8)),
        think=c.log_uniform("plan.think", 2 * MS, 60 * MS),
        patience=c.log_uniform("plan.patience", 100 * MS, 1 * SECOND),
        twins=c.chance("plan.twins", PPM // 5),
        network=_network(c, faults),
        nemeses=_intervals(c, faults),
        clock_rate_ppm=c.log_uniform("plan.rate", 1_000, 1_000_000) if "rate" in faults else 0,
        clock_offset=c.log_uniform("plan.offset", MS, 30 * SECOND) if "skew" in faults else 0,
        clock_drift_ppm=c.log_uniform("plan.drift", 10, 50_000) if "drift" in faults else 0,
        write_latency=c.log_uniform("plan.write", 50 * US, 10 * MS),
        read_latency=c.log_uniform("plan.read", 10 * US, 100 * MS),
        snapshot_ops=c.log_uniform("plan.snapshot", 8, 200),
        few=c.chance("plan.few", PPM // 5),
        down=c.log_uniform("plan.down", 30 * MS, 1 * SECOND),
        transfer_ops=c.log_uniform("plan.transfer", 4, 200),
        core=shape != "one" and bool(faults) and c.chance("plan.core", PPM // 3),
        segment_bytes=_segment(c, faults),
        part_bytes=c.pick("plan.part", (1 << 20, 20_000, 2_000, 300)),
    )


def _faults(c: Choices, shape: str) -> tuple[str, ...]:
    able = [name for name in FAULTS if shape != "one" or name not in NEED_PEERS]
    draw = c.choose("plan.class", 10)
    if draw == 0:
        return ()
    if draw == 1:
        return (c.pick("plan.only", able),)
    present = c.pick("plan.present", (PPM // 10, PPM // 5, PPM // 3))
    return tuple(name for name in able if c.chance("plan.has." + name, present))


def _network(c: Choices, faults: tuple[str, ...]) -> NetworkPlan:
    def rate(name: str, low: int, high: int) -> int:
        return c.log_uniform("plan." + name, low, high) if name in faults else 0

    return NetworkPlan(
        delay_min=c.log_uniform("plan.delay_min", 10 * US, 2 * MS),
        delay_mean=c.log_uniform("plan.delay", 50 * US, 10 * MS),
        heavy_ppm=rate("heavy", 4_000, 20_000),
        loss_ppm=rate("loss", 5_000, 200_000),
        burst_ppm=rate("burst", 4_000, 20_000),
        burst_packets=c.between("plan.burst", 4, 40),
        twice_ppm=rate("twice", 5_000, 200_000),
        replay_ppm=rate("replay", 5_000, 50_000),
        damage_ppm=rate("damage", 6_000, 30_000),
        astray_ppm=rate("astray", 6_000, 20_000),
        big_lost_bytes=c.pick("plan.mtu", (600, 1_500)) if "oversize" in faults else 0,
    )


def _segment(c: Choices, faults: tuple[str, ...]) -> int:
    """What is erased lies in segments that are not written any more; a new one needs space."""
    size = c.pick("plan.segment", (SMALL, SMALL, SEGMENT_BYTES))
    return SMALL if {"erase", "disk-full"} & {*faults} else size


def _intervals(c: Choices, faults: tuple[str, ...]) -> dict[str, int]:
    """The more classes there are, the rarer each is: something must be left to go wrong."""
    present = [name for name in NEMESES if name in faults]
    rarer = max(1, len(present) // 4)
    return {name: _interval(c, name) * rarer for name in present}


def _interval(c: Choices, name: str) -> int:
    if name in OFTEN:
        return c.log_uniform("plan.every." + name, 200 * MS, 4 * SECOND)
    if name in SELDOM:
        return c.log_uniform("plan.every." + name, 2 * SECOND, 10 * SECOND)
    return c.log_uniform("plan.every." + name, 500 * MS, 6 * SECOND)
