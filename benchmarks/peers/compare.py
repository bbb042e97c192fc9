"""What the rounds say together, and how VerityDB compares."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from benchmarks.conditions import Conditions
from benchmarks.figures import Latency, spread
from benchmarks.peers.finished import Finished, Measurement

OURS = "veritydb"
FigureOf = Callable[[Measurement], float | None]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to do one workload on one system: medians of its rounds, and the ends of the rate."""

    median: float
    min: float
    max: float
    rounds: int
    syncs: float | None
    written: float | None
    latency_ms: Latency | None
    server_cpu_us: float
    client_cpu_us: float
    memory_mib: float
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
    syncs: float | None
    ways: dict[str, Way]

    @property
    def best(self) -> Way:
        """The way that counts."""
        return self.ways[self.way]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One workload. The ratios are VerityDB's median through that of the best peer."""

    workload: str
    unit: str = "events/s"
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
    rate = spread([run.events_per_s for run in runs])
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
        median=rate.median,
        min=rate.low,
        max=rate.high,
        rounds=len(runs),
        syncs=median_of(runs, lambda run: run.syncs),
        written=median_of(runs, lambda run: run.written),
        latency_ms=latency,
        server_cpu_us=spread([run.server_cpu_us for run in runs]).median,
        client_cpu_us=spread([run.client_cpu_us for run in runs]).median,
        memory_mib=spread([run.memory_mib for run in runs]).median,
        others_cores=median_of(runs, lambda run: run.others_cores),
        errors=list(dict.fromkeys(error for run in runs for error in run.errors)),
    )


def system_row(entries: Sequence[Finished], title: str, *, durable: bool) -> SystemRow:
    """Several rounds of one workload on one system."""
    names = dict.fromkeys(name for entry in entries for name in entry.ways)
    ways = {
        name: summed_up([entry.ways[name] for entry in entries if name in entry.ways])
        for name in names
    }
    best = max(ways, key=lambda name: ways[name].median)
    way = ways[best]
    return SystemRow(
        title=title,
        version=", ".join(dict.fromkeys(entry.version for entry in entries)),
        durable=durable,
        way=best,
        median=way.median,
        min=way.min,
        max=way.max,
        syncs=way.syncs,
        ways=ways,
    )


def best_of(systems: Mapping[str, SystemRow], *, durable: bool) -> str | None:
    """The best peer, of all or only of the durable ones."""
    peers = [name for name, row in systems.items() if name != OURS and (row.durable or not durable)]
    return max(peers, key=lambda name: systems[name].median, default=None)


def ratio(systems: Mapping[str, SystemRow], peer: str | None) -> float | None:
    """Ours through theirs, if both were measured."""
    if peer is None or OURS not in systems or not systems[peer].median:
        return None
    return round(systems[OURS].median / systems[peer].median, 3)


def rows(
    entries: Sequence[Finished], works: Sequence[str], known: Mapping[str, tuple[str, bool]]
) -> list[Row]:
    """The table: `known` has title and durability of each system, in the order of the columns."""
    found = []
    for work in works:
        systems = {}
        for name, (title, durable) in known.items():
            its = [one for one in entries if (one.work, one.system) == (work, name)]
            if its:
                systems[name] = system_row(its, title, durable=durable)
        if systems:
            durable_best = best_of(systems, durable=True)
            best = best_of(systems, durable=False)
            found.append(
                Row(
                    workload=work,
                    systems=systems,
                    best_durable=durable_best,
                    best=best,
                    ratio_to_best_durable=ratio(systems, durable_best),
                    ratio_to_best=ratio(systems, best),
                )
            )
    return found


def to_json(comparison: Comparison) -> bytes:
    """As text for people and programs."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n"
