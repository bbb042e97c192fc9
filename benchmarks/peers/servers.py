"""What all peers share: their processes, ports and clients."""

import json
import os
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.clients import Clients
from benchmarks.cluster import HOST, wait_until
from benchmarks.peers.system import Running
from benchmarks.peers.tools import Tools
from benchmarks.processes import Child, Family, Talker

READY_SECONDS = 60.0
ASK_SECONDS = 3.0


class Servers(Running):
    """The processes of a peer and the clients that work on them."""

    def __init__(self, directory: Path, family: Family, tools: Tools, driver: Path | None) -> None:
        """Start nothing yet."""
        super().__init__(directory)
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


def may_choose_user() -> bool:
    """Whether we may run a server as somebody else."""
    return os.geteuid() == 0
