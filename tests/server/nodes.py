"""Real nodes in processes of their own, one or three of them, on loopback with fresh data."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from nemesis import leash
from veritydb.client.sync import Client
from veritydb.client.values import GroupStatus, NodeStatus
from veritydb.server import config as configs
from veritydb.server.config import Config
from veritydb.server.datadir import init
from veritydb.types.errors import Unavailable

REGION = "au-syd"
PATIENCE = 60.0
GROUPS = (0, 1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def config_text(names: list[str], server: str = "") -> str:
    """A configuration of nodes that all hold both groups."""
    ports = free_ports(2 * len(names))
    lines = ['[cluster]\nname = "test"\n', f"[server]\ndrain_ms = 1000\n{server}\n"]
    for name in names:
        lines.append(
            f'[[nodes]]\nname = "{name}"\nclient = "127.0.0.1:{ports.pop()}"\n'
            f'peer = "127.0.0.1:{ports.pop()}"\nregion = "{REGION}"\n'
        )
    replicas = ", ".join(f'"{name}"' for name in names)
    lines.append(f"[[groups]]\nnumber = 0\nreplicas = [{replicas}]\n")
    lines.append(f'[[groups]]\nnumber = 1\nregion = "{REGION}"\nreplicas = [{replicas}]\n')
    return "\n".join(lines)


class Nodes:
    """A cluster of processes. Everything is killed at the end, however the test ends."""

    def __init__(self, folder: Path, count: int, server: str = "", text: str = "") -> None:
        self.folder = folder
        self.file = folder / "cluster.toml"
        names = [f"n{number}" for number in range(1, count + 1)]
        self.file.write_text(text or config_text(names, server))
        self.config: Config = configs.load(self.file)
        self.names = [node.name for node in self.config.nodes]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)

    @property
    def url(self) -> str:
        """All addresses."""
        return "veritydb://" + ",".join(node.client for node in self.config.nodes)

    def url_of(self, name: str) -> str:
        """One address."""
        return f"veritydb://{self.config.node(name).client}"

    def data(self, name: str) -> Path:
        """A node's directory."""
        return self.folder / name

    def make(self) -> None:
        """Stamp all directories and start all nodes."""
        for name in self.names:
            init(self.config, name, self.data(name))
            self.start(name)

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Start one node; it may not be ready yet."""
        with open(self.folder / f"{name}.log", "ab") as log:
            # Killed with us, should we be.
            self.processes[name] = leash.start(
                *("veritydb.cli", "server", "--config", str(self.file), "--node", name),
                *("--data-dir", str(self.data(name)), *more),
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a node."""
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End a node without warning."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(PATIENCE)

    def stop(self, name: str) -> int:
        """End a node in order; its exit status."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def log(self, name: str) -> str:
        """What a node has logged so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def client(self, timeout: float = PATIENCE) -> Client:
        """A client of the whole cluster."""
        return Client(self.url, timeout=timeout)

    def status(self) -> dict[str, NodeStatus]:
        """How the nodes that answer are."""
        try:
            with self.client(5) as db:
                return {one.name: one for one in db.status(timeout=2.0) if one.reachable}
        except Unavailable:
            return {}

    def until(self, holds: Callable[[dict[str, NodeStatus]], bool]) -> dict[str, NodeStatus]:
        """Wait until something holds of the nodes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = self.status()
            if holds(seen):
                return seen
            if time.monotonic() > deadline:
                logs = "\n".join(self.log(name) for name in self.names)
                raise AssertionError(f"it never came to that: {seen}\n{logs}")

    def ready(self, *names: str) -> dict[str, NodeStatus]:
        """Wait until nodes (all, if none is named) do their part."""
        wanted = names or tuple(self.names)
        return self.until(lambda seen: all(n in seen and seen[n].ready for n in wanted))

    def level(self) -> None:
        """Wait until all nodes have applied the same."""

        def same(seen: dict[str, NodeStatus]) -> bool:
            if set(seen) != set(self.names) or not all(one.ready for one in seen.values()):
                return False
            return all(
                len({group_of(one, number).applied for one in seen.values()}) == 1
                for number in GROUPS
            )

        self.until(same)

    def primary(self, group: int = 1) -> str:
        """The name of the node that leads a group."""
        seen = self.until(
            lambda seen: any(group_of(s, group).role == "primary" for s in seen.values())
        )
        leads = [name for name, one in seen.items() if group_of(one, group).role == "primary"]
        return leads[0]


def group_of(status: NodeStatus, number: int) -> GroupStatus:
    """One group of a node's status."""
    return next(one for one in status.groups if one.group == number)
