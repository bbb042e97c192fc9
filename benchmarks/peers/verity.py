"""VerityDB, as the comparison sees it."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

import veritydb
from benchmarks import appends, reads
from benchmarks.appends import Workload
from benchmarks.clients import Clients
from benchmarks.cluster import Cluster
from benchmarks.conditions import git
from benchmarks.peers.running import Append, CatchUp
from benchmarks.processes import Family
from benchmarks.tasks import Content


class VerityDB:
    """This checkout at default settings."""

    name = "veritydb"
    title = "VerityDB"
    durable = True

    @property
    def version(self) -> str:
        """The commit, so that figures of another one are not taken for these."""
        changed = "+" if git("status", "--porcelain", "--", "veritydb", "schemas") else ""
        return f"{veritydb.__version__} {git('rev-parse', '--short', 'HEAD')}{changed}"

    def missing(self) -> list[str]:
        """Nothing: it is here."""
        return []

    def start(self, directory: Path, family: Family) -> "Running":
        """Start three nodes."""
        return Running(Cluster(directory, family), family)


class Running:
    """Three nodes and their clients."""

    def __init__(self, cluster: Cluster, family: Family) -> None:
        """Take over a cluster that is ready."""
        self._cluster = cluster
        self._clients = Clients(family, cluster.directory)

    def pids(self) -> list[int]:
        """The nodes."""
        return self._cluster.pids

    def append_ways(self, workload: Workload) -> Mapping[str, Append]:
        """Calls that wait in one process are joined by the SDK, or not."""

        def way(workload: Workload) -> Append:
            return lambda seconds: appends.measure(workload, self._cluster, self._clients, seconds)

        if workload.lanes == 1:
            return {"Python": way(workload)}
        return {
            "Python, coalescing": way(msgspec.structs.replace(workload, coalesce=True)),
            "Python, coalescing off": way(workload),
        }

    def fill(self, events: int, payload_bytes: int) -> Content:
        """Write a stream."""
        return reads.fill(self._cluster, self._clients, events, payload_bytes)

    def read_ways(self, payload_bytes: int) -> Mapping[str, CatchUp]:
        """An append at a time, or an event at a time."""

        def way(*, batches: bool) -> CatchUp:
            return lambda written: reads.measure(
                self._cluster, self._clients, written, payload_bytes, batches=batches
            )

        return {"Python, by columns": way(batches=True), "Python, by events": way(batches=False)}
