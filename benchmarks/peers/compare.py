"""What the rounds say together, and how VerityDB compares."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from benchmarks.conditions import Conditions
from benchmarks.figures import Latency, spread
from benchmarks.peers.finished import Finished, Measurement
from benchmarks.peers.works import Kind, Work

OURS = "veritydb"
FigureOf = Callable[[Measurement], float | None]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to do one workload on one system: medians of its rounds, and their ends."""

    median: float
    min: float
    max: float
    rounds: int
    syncs: float | None
    written: float | None
    latency_ms: Latency | None
    server_cpu_us: float | None
    client_cpu_us: float | None
    memory_mib: float | None
    others_cores: float | None
    errors: list[str]


class SystemRow(msgspec.Struct, frozen=True, kw_only=True):
    """One system at one workload, in its best way; `ways` has all of them."""

    title: str
    version: str
    durable: bool
    way: str
    median: float
    min: float
    max: float
    p50_ms: float | None
    syncs: float | None
    ways: dict[str, Way]

    @property
    def best(self) -> Way:
        """The way that counts."""
        return self.ways[self.way]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One workload. A ratio says how many times better than the best peer VerityDB is."""

    workload: str
    unit: str
    systems: dict[str, SystemRow]
    best_durable: str | None
    best: str | None
    ratio_to_best_durable: float | None
    ratio_to_best: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    conditions: Conditions
    workloads: list[Row]
    not_measured: list[str]


def median_of(runs: Sequence[Measurement], figure: FigureOf) -> float | None:
    """The median of what is known."""
    values = [value for run in runs if (value := figure(run)) is not None]
    return spread(values).median if values else None


def summed_up(runs: Sequence[Measurement]) -> Way:
    """Several rounds of the same."""
    value = spread([run.value for run in runs])
    latencies = [run.latency for run in runs if run.latency is not None]
    latency = None
    if latencies:
        latency = Latency(
            p50=spread([one.p50 for one in latencies]).median,
            p99=spread([one.p99 for one in latencies]).median,
            p999=spread([one.p999 for one in latencies]).median,
            worst=max(one.worst for one in latencies),
        )
    return Way(
        median=value.median,
        min=value.low,
        max=value.high,
        rounds=len(runs),
        syncs=median_of(runs, lambda run: run.syncs),
        written=median_of(runs, lambda run: run.written),
        latency_ms=latency,
        server_cpu_us=median_of(runs, lambda run: run.server_cpu_us),
        client_cpu_us=median_of(runs, lambda run: run.client_cpu_us),
        memory_mib=median_of(runs, lambda run: run.memory_mib),
        others_cores=median_of(runs, lambda run: run.others_cores),
        errors=list(dict.fromkeys(error for run in runs for error in run.errors)),
    )


def better(medians: Mapping[str, float], kind: Kind) -> str | None:
    """Whose figure is the best."""
    best = max if kind.more_is_better else min
    return best(medians, key=lambda name: medians[name]) if medians else None


def system_row(
    entries: Sequence[Finished], kind: Kind, title: str, *, durable: bool
) -> SystemRow | None:
    """Several rounds of one workload on one system; None if it has no way to do that."""
    names = dict.fromkeys(name for entry in entries for name in entry.ways)
    ways = {
        name: summed_up([entry.ways[name] for entry in entries if name in entry.ways])
        for name in names
    }
    best = better({name: way.median for name, way in ways.items()}, kind)
    if best is None:
        return None
    way = ways[best]
    return SystemRow(
        title=title,
        version=", ".join(dict.fromkeys(entry.version for entry in entries)),
        durable=durable,
        way=best,
        median=way.median,
        min=way.min,
        max=way.max,
        p50_ms=way.latency_ms.p50 if way.latency_ms else None,
        syncs=way.syncs,
        ways=ways,
    )


def best_peer(systems: Mapping[str, SystemRow], kind: Kind, *, durable: bool) -> str | None:
    """The best peer, of all or only of the durable ones."""
    peers = {
        name: row.median
        for name, row in systems.items()
        if name != OURS and (row.durable or not durable)
    }
    return better(peers, kind)


def ratio(systems: Mapping[str, SystemRow], peer: str | None, kind: Kind) -> float | None:
    """How many times better ours is, if both were measured."""
    if peer is None or OURS not in systems:
        return None
    ours, theirs = systems[OURS].median, systems[peer].median
    more, less = (ours, theirs) if kind.more_is_better else (theirs, ours)
    return round(more / less, 3) if less else None


def rows(
    entries: Sequence[Finished], works: Sequence[Work], known: Mapping[str, tuple[str, bool]]
) -> list[Row]:
    """The table: `known` has title and durability of each system, in the order of the columns."""
    found = []
    for work in works:
        systems = {}
        for name, (title, durable) in known.items():
            its = [one for one in entries if (one.work, one.system) == (work.name, name)]
            if row := system_row(its, work.kind, title, durable=durable):
                systems[name] = row
        if systems:
            durable_best = best_peer(systems, work.kind, durable=True)
            best = best_peer(systems, work.kind, durable=False)
            found.append(
                Row(
                    workload=work.name,
                    unit=work.kind.unit,
                    systems=systems,
                    best_durable=durable_best,
                    best=best,
                    ratio_to_best_durable=ratio(systems, durable_best, work.kind),
                    ratio_to_best=ratio(systems, best, work.kind),
                )
            )
    return found


def to_json(comparison: Comparison) -> bytes:
    """As text for people and programs."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n"
