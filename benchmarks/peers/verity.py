"""VerityDB, as the comparison sees it."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

import veritydb
from benchmarks.appends import Workload
from benchmarks.clients import Clients
from benchmarks.cluster import Cluster
from benchmarks.conditions import git
from benchmarks.peers.failover import Failing
from benchmarks.peers.system import Access, Measure, Running
from benchmarks.peers.works import Work
from benchmarks.processes import Family, Talker

SOURCE = ("veritydb", "schemas")


class VerityDB:
    """This checkout at default settings."""

    name = "veritydb"
    title = "VerityDB"
    durable = True

    @property
    def version(self) -> str:
        """The last commit that changed it: figures of another one are not taken for these."""
        changed = "+" if git("status", "--porcelain", "--", *SOURCE) else ""
        commit = git("log", "-1", "--format=%h", "--", *SOURCE)
        return f"{veritydb.__version__} {commit}{changed}"

    def missing(self) -> list[str]:
        """Nothing: it is here."""
        return []

    def start(self, directory: Path, family: Family) -> "Nodes":
        """Start three nodes."""
        return Nodes(Cluster(directory, family), family)


class Nodes(Running):
    """Three nodes and their clients."""

    def __init__(self, cluster: Cluster, family: Family) -> None:
        """Take over a cluster that is ready."""
        super().__init__(cluster.directory)
        self._cluster = cluster

        def start(name: str, log: Path) -> Talker:
            return Talker(name, ["-m", "benchmarks.peers.own_client"], log)

        self._clients = Clients(family, cluster.directory)
        self._others = Clients(family, cluster.directory, start, "other")

    def pids(self) -> list[int]:
        """The nodes."""
        return self._cluster.pids

    def writer(self) -> Access:
        """The SDK."""
        return Access(self._clients, self._cluster.url)

    def append_ways(self, workload: Workload) -> Mapping[str, Measure]:
        """Calls that wait in one process are joined by the SDK, or not."""
        if workload.lanes == 1:
            return {"Python": self.appending(self.writer(), workload)}
        joined = msgspec.structs.replace(workload, coalesce=True)
        return {
            "Python, coalescing": self.appending(self.writer(), joined),
            "Python, coalescing off": self.appending(self.writer(), workload),
        }

    def readers(self) -> Mapping[str, Access]:
        """Lists of what each append has written."""
        return {"Python": self.writer()}

    def mix_ways(self, work: Work, stream: str) -> Mapping[str, Measure]:
        """By the SDK."""
        access = Access(self._others, self._cluster.url)
        return {"Python": self.mixing(access, work, stream)}

    def followers(self) -> Mapping[str, Access]:
        """By reading again and again: nothing is pushed to anybody yet."""
        return {"Python, polling": Access(self._others, self._cluster.url)}

    def failing(self) -> Failing:
        """The nodes change their view by themselves."""
        primary = self._cluster.nodes[self._cluster.primary()]
        return Failing(self._clients, self._cluster.url, primary.kill)
