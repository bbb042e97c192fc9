"""The whole of what is measured, in rounds."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks import appends, outages, reads
from benchmarks.appends import Workload
from benchmarks.clients import Clients
from benchmarks.cluster import Cluster, fresh_cluster
from benchmarks.conditions import conditions
from benchmarks.processes import ChildFailed, Family
from benchmarks.results import AppendRow, OutageRow, ReadRow, RestartRow, Results

FAULTS = {
    "SIGKILL": outages.KILLED,
    "SIGSTOP": outages.STOPPED,
}
PAYLOADS = (256, 1024)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything. `directory` holds the data; None: where temporary files go."""

    rounds: int = 3
    seconds: float = 3.0
    repeat: int = 5
    read_events: int = 200_000
    restart_events: int = 500_000
    directory: Path | None = None
    note: str = ""


Wanted = Callable[[str], bool]


def read_name(events: int, payload_bytes: int, *, batches: bool) -> str:
    """How reports call a way of reading."""
    how = "by columns" if batches else "by events"
    return f"{events:,} events, {how}, {payload_bytes} B"


def restart_name(plan: Plan) -> str:
    """How reports call a start."""
    return f"{plan.restart_events:,} events"


def names(plan: Plan) -> Iterator[str]:
    """Everything that can be measured."""
    yield from (workload.name for workload in appends.workloads())
    for payload_bytes in PAYLOADS:
        for batches in (False, True):
            yield read_name(plan.read_events, payload_bytes, batches=batches)
    yield from FAULTS
    yield restart_name(plan)


def run(plan: Plan, wanted: Wanted) -> Results:
    """Measure what is wanted."""
    directory = plan.directory or Path(tempfile.gettempdir())
    found = Results(conditions=conditions(directory, plan.rounds, plan.seconds, plan.note))
    workloads = [one for one in appends.workloads() if wanted(one.name)]
    rows = {one.name: AppendRow(name=one.name, workload=one, runs=[]) for one in workloads}
    for turn in range(plan.rounds):
        for payload_bytes in PAYLOADS:
            chosen = [one for one in workloads if one.payload_bytes == payload_bytes]
            if chosen or any(wanted(name) for name in read_names(plan, payload_bytes)):
                say(f"round {turn + 1} of {plan.rounds}, {payload_bytes} B")
                try:
                    with fresh_cluster(plan.directory) as cluster, Family() as family:
                        clients = Clients(family, cluster.directory)
                        measure_appends(chosen, rows, cluster, clients, plan, found)
                        measure_reads(payload_bytes, cluster, clients, plan, wanted, found)
                except ChildFailed as error:
                    # What was measured before is still true, and the next round starts afresh.
                    found.failures.append(f"round {turn + 1}, {payload_bytes} B: {error}")
    found.appends = [row for row in rows.values() if row.runs]
    for name, fault in FAULTS.items():
        if wanted(name):
            measure_outages(name, fault, plan, found)
    if wanted(restart_name(plan)):
        measure_restarts(plan, found)
    return found


def read_names(plan: Plan, payload_bytes: int) -> list[str]:
    """The ways of reading one size."""
    return [read_name(plan.read_events, payload_bytes, batches=way) for way in (False, True)]


def measure_appends(
    chosen: list[Workload],
    rows: dict[str, AppendRow],
    cluster: Cluster,
    clients: Clients,
    plan: Plan,
    found: Results,
) -> None:
    """One round of appends."""
    for workload in chosen:
        once = appends.measure(workload, cluster, clients, plan.seconds)
        rows[workload.name].runs.append(once)
        p50 = f", p50 {once.latency.p50:.2f} ms" if once.latency else ""
        say(f"{workload.name}: {once.events_per_s:,.0f} events/s{p50}")
        found.failures += [f"{workload.name}: {error}" for error in once.errors]


def measure_reads(
    payload_bytes: int,
    cluster: Cluster,
    clients: Clients,
    plan: Plan,
    wanted: Wanted,
    found: Results,
) -> None:
    """One round of reads."""
    ways = {
        name: way
        for name, way in zip(read_names(plan, payload_bytes), (False, True), strict=True)
        if wanted(name)
    }
    if not ways:
        return
    written = reads.fill(cluster, clients, plan.read_events, payload_bytes)
    for name, way in ways.items():
        once = reads.measure(cluster, clients, written, payload_bytes, batches=way)
        say(f"{name}: {once.events_per_s:,.0f} events/s")
        row = next((row for row in found.reads if row.name == name), None)
        if row is None:
            row = ReadRow(name=name, events=plan.read_events, payload_bytes=payload_bytes, runs=[])
            found.reads.append(row)
        row.runs.append(once)


def measure_outages(name: str, fault: outages.Fault, plan: Plan, found: Results) -> None:
    """One fault, several times, on one cluster: each time it hits whoever is the primary then."""
    row = OutageRow(name=name, runs=[])
    found.outages.append(row)
    try:
        with fresh_cluster(plan.directory) as cluster, Family() as family:
            clients = Clients(family, cluster.directory)
            for _ in range(plan.repeat):
                once = outages.measure(cluster, clients, fault)
                row.runs.append(once)
                say(
                    f"{name}: {once.silent_s:.2f} s, lost {once.lost}, "
                    f"back in {once.returned_s:.1f} s"
                )
    except ChildFailed as error:
        found.failures.append(f"{name}: {error}")


def measure_restarts(plan: Plan, found: Results) -> None:
    """A start with a long log, once a round."""
    name = restart_name(plan)
    row = RestartRow(name=name, runs=[])
    found.restarts.append(row)
    for _ in range(plan.rounds):
        try:
            with fresh_cluster(plan.directory) as cluster, Family() as family:
                clients = Clients(family, cluster.directory)
                once = outages.measure_restart(cluster, clients, plan.restart_events)
        except ChildFailed as error:
            found.failures.append(f"{name}: {error}")
            continue
        row.runs.append(once)
        say(f"{name}: backup {once.node_s:.2f} s, cluster {once.cluster_s:.2f} s")


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
