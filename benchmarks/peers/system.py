"""What is measured: a system that can be started, and what can be done with it while it runs."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks import accounting, appends, reads
from benchmarks.appends import WARM_SECONDS, Appended, Workload
from benchmarks.clients import Clients
from benchmarks.peers import failover
from benchmarks.peers.failover import Failing
from benchmarks.peers.finished import Measurement, of_appends, of_failover, of_read, of_tail
from benchmarks.peers.tasks import Mix, Tail
from benchmarks.peers.works import MIX_LANES, MIX_PAGE, Kind, Work
from benchmarks.processes import Family
from benchmarks.tasks import Content, Fill

MIB = 1 << 20
FILL_BATCH = 100
FILL_SECONDS = 120.0
# So slow that no event waits for another one.
TAIL_PAUSE_SECONDS = 0.01

Measure = Callable[[float], Measurement]


class Target(msgspec.Struct, frozen=True):
    """What clients are told of a cluster."""

    url: str
    pids: list[int]
    directory: Path


class Access(msgspec.Struct, frozen=True):
    """Clients of one kind, and the address by which they reach the cluster."""

    clients: Clients
    url: str


class System(Protocol):
    """Something to be measured."""

    @property
    def name(self) -> str:
        """How it is called in files and on the command line."""

    @property
    def title(self) -> str:
        """How tables call it."""

    @property
    def durable(self) -> bool:
        """Whether what it acknowledges has been synced to disk by a quorum."""

    @property
    def version(self) -> str:
        """What exactly is measured."""

    def missing(self) -> list[str]:
        """What is needed and not here, by its name in `tools.GET`."""

    def start(self, directory: Path, family: Family) -> "Running":
        """Start three nodes with fresh data, and wait until they serve."""


class Running(ABC):
    """A cluster at work. A *way* is one of several honest ways to use it; the best one counts."""

    def __init__(self, directory: Path) -> None:
        """All it writes is in that directory."""
        self.directory = directory

    @abstractmethod
    def pids(self) -> list[int]:
        """The processes of the nodes; what they start belongs to them."""

    @abstractmethod
    def append_ways(self, workload: Workload) -> Mapping[str, Measure]:
        """How to append."""

    @abstractmethod
    def writer(self) -> Access:
        """Whoever fills a stream that is read then."""

    @abstractmethod
    def readers(self) -> Mapping[str, Access]:
        """Who can read a stream from its beginning."""

    @abstractmethod
    def mix_ways(self, work: Work, stream: str) -> Mapping[str, Measure]:
        """How to read here and there in a stream while others append."""

    @abstractmethod
    def followers(self) -> Mapping[str, Access]:
        """Who can follow a stream."""

    def failing(self) -> Failing | None:
        """How to kill the leader; None if nobody takes its place by itself."""
        return None

    def ways(self, work: Work) -> Mapping[str, Measure]:
        """How a workload can be done: each takes the seconds to measure."""
        match work.kind:
            case Kind.APPEND:
                assert work.appends is not None
                return self.append_ways(work.appends)
            case Kind.READ:
                written = self.fill(work)
                every = self.readers().items()
                return {name: self._reading(one, work, written) for name, one in every}
            case Kind.MIX:
                stream = f"mix-{time.time_ns():x}"
                self._fill_for_mix(work, stream)
                return self.mix_ways(work, stream)
            case Kind.TAIL:
                return {name: self._tailing(one, work) for name, one in self.followers().items()}
            case Kind.FAILOVER:
                failing = self.failing()
                if failing is None:
                    return {}
                return {"by itself": lambda _seconds: of_failover(failover.measure(failing))}

    def memory_mib(self) -> float:
        """Memory of all nodes, what their processes share counted once."""
        pids = accounting.with_descendants(self.pids())
        return sum(accounting.proportional_bytes(pid) or 0 for pid in pids) / MIB

    def target(self, url: str) -> Target:
        """For clients that reach it so."""
        return Target(url, self.pids(), self.directory)

    def appending(self, access: Access, workload: Workload) -> Measure:
        """Appends of such clients."""

        def measure(seconds: float) -> Measurement:
            target = self.target(access.url)
            once = appends.measure(workload, target, access.clients, seconds)
            return of_appends(once, self.memory_mib())

        return measure

    def mixing(self, access: Access, work: Work, stream: str) -> Measure:
        """Reads and appends of one such client."""

        def measure(seconds: float) -> Measurement:
            task = Mix(
                url=access.url,
                lanes=tuple(f"{stream}-{lane}" for lane in range(MIX_LANES)),
                stream=stream,
                events=work.events,
                page=MIX_PAGE,
                payload_bytes=work.payload_bytes,
                warm_s=WARM_SECONDS,
                seconds=seconds,
            )
            once = self._alone(access, task, seconds)
            return of_appends(once, self.memory_mib())

        return measure

    def fill(self, work: Work) -> Content:
        """Write the stream of the catch-up read."""
        access = self.writer()
        target = self.target(access.url)
        return reads.fill(target, access.clients, work.events, work.payload_bytes)

    def _fill_for_mix(self, work: Work, stream: str) -> None:
        access = self.writer()
        [client] = access.clients.take(1)
        task = Fill(
            url=access.url,
            stream=stream,
            events=work.events,
            batch=FILL_BATCH,
            payload_bytes=work.payload_bytes,
        )
        client.do(task, Content, FILL_SECONDS)

    def _alone(self, access: Access, task: Mix | Tail, seconds: float) -> Appended:
        """Have one client do a task of its own."""
        return appends.together([task], self.target(access.url), access.clients, seconds)

    def _reading(self, access: Access, work: Work, written: Content) -> Measure:
        def measure(_seconds: float) -> Measurement:
            target = self.target(access.url)
            size = work.payload_bytes
            once = reads.measure(target, access.clients, written, size, batches=True)
            return of_read(once, self.memory_mib())

        return measure

    def _tailing(self, access: Access, work: Work) -> Measure:
        def measure(seconds: float) -> Measurement:
            task = Tail(
                url=access.url,
                stream=f"tail-{time.time_ns():x}",
                pause_s=TAIL_PAUSE_SECONDS,
                payload_bytes=work.payload_bytes,
                warm_s=WARM_SECONDS,
                seconds=seconds,
            )
            once = self._alone(access, task, seconds)
            return of_tail(once, self.memory_mib())

        return measure
