"""What all peers share: their processes, ports and clients while they run."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks import accounting, appends, reads
from benchmarks.appends import Appended, Workload
from benchmarks.clients import Clients
from benchmarks.cluster import HOST, wait_until
from benchmarks.peers.tools import Tools
from benchmarks.processes import Child, Family, Talker
from benchmarks.reads import Read
from benchmarks.tasks import Content

READY_SECONDS = 60.0
ASK_SECONDS = 3.0
MIB = 1 << 20

Append = Callable[[float], Appended]
CatchUp = Callable[[Content], Read]


class Running(Protocol):
    """A cluster at work. A *way* is one of several honest ways to use it; the best one counts."""

    def pids(self) -> list[int]:
        """The processes of the nodes."""

    def append_ways(self, workload: Workload) -> Mapping[str, Append]:
        """How that can be done: each takes the seconds to measure."""

    def fill(self, events: int, payload_bytes: int) -> Content:
        """Write the stream that is read then."""

    def read_ways(self, payload_bytes: int) -> Mapping[str, CatchUp]:
        """How that stream can be read: each takes what has to be found in it."""


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

    def start(self, directory: Path, family: Family) -> Running:
        """Start three nodes with fresh data, and wait until they serve."""


class Target(msgspec.Struct, frozen=True):
    """What clients are told of a cluster."""

    url: str
    pids: list[int]
    directory: Path


class Servers:
    """The processes of a peer and the clients that work on them."""

    def __init__(self, directory: Path, family: Family, tools: Tools, driver: Path | None) -> None:
        """Start nothing yet."""
        self.directory = directory
        self.children: list[Child] = []
        self._family = family

        def python(name: str, log: Path) -> Talker:
            command = ["-m", "benchmarks.peers.client"]
            return Talker(name, command, log, environment=tools.client_environment)

        def compiled(name: str, log: Path) -> Talker:
            return Talker(name, [], log, program=str(driver))

        self.python = Clients(family, directory, python, "python")
        self.compiled = Clients(family, directory, compiled, "compiled")

    def serve(self, child: Child) -> None:
        """Take over a server."""
        self.children.append(self._family.add(child))

    def pids(self) -> list[int]:
        """The servers."""
        return [child.pid for child in self.children]

    def target(self, url: str) -> Target:
        """For clients that reach it so."""
        return Target(url, self.pids(), self.directory)

    def appends(self, url: str, clients: Clients, workload: Workload) -> Append:
        """Measure appends of such clients."""
        return lambda seconds: appends.measure(workload, self.target(url), clients, seconds)

    def reads(self, url: str, clients: Clients, payload_bytes: int) -> CatchUp:
        """Measure a catch-up read of such a client."""
        return lambda written: reads.measure(
            self.target(url), clients, written, payload_bytes, batches=True
        )


def wait_ready(holds: Callable[[], bool], what: str) -> None:
    """Wait until a server that has just been started answers as it should."""

    def patiently() -> bool:
        try:
            return holds()
        except (OSError, ValueError, LookupError):
            return False

    wait_until(patiently, what, READY_SECONDS)


def ask(url: str, body: Mapping[str, object] | None = None) -> Any:
    """What a server says of itself over HTTP, as JSON. Raises OSError if it does not."""
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # Nothing here leaves the machine, so no proxy has a say.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ASK_SECONDS) as answer:
        return json.loads(answer.read())


def hosts(ports: list[int]) -> list[str]:
    """Addresses on loopback."""
    return [f"{HOST}:{port}" for port in ports]


def leader_first(addresses: list[str], leader: int) -> str:
    """For a client that takes the first address it can reach: no request is forwarded."""
    return ",".join(addresses[leader:] + addresses[:leader])


def memory_mib(pids: list[int]) -> float:
    """Memory of some processes and all that they have started, what they share counted once."""
    every = accounting.with_descendants(pids)
    return sum(accounting.proportional_bytes(pid) or 0 for pid in every) / MIB


def may_choose_user() -> bool:
    """Whether we may run a server as somebody else."""
    return os.geteuid() == 0
