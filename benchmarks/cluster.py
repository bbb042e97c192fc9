"""Three nodes on loopback: real processes with free ports and fresh data."""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks import view
from benchmarks.processes import Child, ChildFailed, Family
from veritydb.client.sync import Client
from veritydb.client.values import GroupStatus, NodeStatus

HOST = "127.0.0.1"
NODES = 3
REGION = "au-syd"
GROUP = 1
INIT_SECONDS = 20.0
READY_SECONDS = 30.0
POLL_SECONDS = 0.02

CONFIG = """\
[cluster]
name = "benchmark"
{settings}
{nodes}
[[groups]]
number = 0
replicas = ["node-1", "node-2", "node-3"]

[[groups]]
number = 1
region = "au-syd"
replicas = ["node-1", "node-2", "node-3"]
"""

NODE = """
[[nodes]]
name = "{name}"
client = "{client}"
peer = "{peer}"
region = "au-syd"
"""


class Places(Protocol):
    """Where nodes are to run."""

    def addresses(self) -> list[tuple[str, str]]:
        """Where each node is found by clients and by its peers."""

    def command(self, number: int) -> list[str]:
        """What comes before the arguments of Python to have a node run there."""


class Loopback:
    """All of them as they are started, with ports of 127.0.0.1."""

    def addresses(self) -> list[tuple[str, str]]:
        """Two free ports for each."""
        ports = [f"{HOST}:{port}" for port in free_ports(2 * NODES)]
        return list(zip(ports[::2], ports[1::2], strict=True))

    def command(self, number: int) -> list[str]:
        """Nothing more to do."""
        return []


class Cluster:
    """A cluster, by default at default settings. `nodes` are its processes by name."""

    def __init__(
        self,
        directory: Path,
        family: Family,
        *,
        settings: str = "",
        places: Places | None = None,
    ) -> None:
        """Stamp three data directories and start their nodes. `settings` is TOML."""
        self.directory = directory
        self.addresses: dict[str, str] = {}
        self.nodes: dict[str, Child] = {}
        self._family = family
        self._places = places or Loopback()
        texts = []
        for number, (client, peer) in enumerate(self._places.addresses(), 1):
            name = f"node-{number}"
            self.addresses[name] = client
            texts.append(NODE.format(name=name, client=client, peer=peer))
        self._config = directory / "cluster.toml"
        self._config.write_text(CONFIG.format(settings=settings, nodes="".join(texts)))
        for name in self.addresses:
            self._stamp(name)
        for name in self.addresses:
            self.start(name)
        self.wait_ready()

    @property
    def url(self) -> str:
        """How clients reach it."""
        return "veritydb://" + ",".join(self.addresses.values())

    @property
    def pids(self) -> list[int]:
        """The processes of the nodes."""
        return [node.pid for node in self.nodes.values()]

    def _node(self, command: str, name: str, more: Sequence[str] = ()) -> Child:
        options = ["--config", str(self._config), "--node", name, *more]
        arguments = [
            *self._places.command(list(self.addresses).index(name)),
            "-m",
            "veritydb.cli",
            "--debug",
            command,
            *options,
            "--data-dir",
            str(self.data(name)),
        ]
        return Child(name, arguments, self.directory / f"{name}.log")

    def data(self, name: str) -> Path:
        """A node's data directory."""
        return self.directory / name

    def log(self, name: str) -> str:
        """What a node has printed in all of its lives."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def _stamp(self, name: str, more: Sequence[str] = ()) -> None:
        stamping = self._family.add(self._node("init", name, more))
        wait_until(lambda: not stamping.alive, f"{name} to be stamped", INIT_SECONDS)
        if not (self.data(name) / "node.toml").exists():
            raise ChildFailed(stamping.last_words())

    def replace(self, name: str) -> None:
        """Give a node that does not run an empty disk, and new incarnations for it."""
        assert not self.nodes[name].alive
        shutil.rmtree(self.data(name))
        others = ",".join(self.addresses[one] for one in self.addresses if one != name)
        index = list(self.addresses).index(name)
        with Client(f"veritydb://{others}") as db:
            given = [f"{group}={db.replace(group, index)}" for group in (0, GROUP)]
        self._stamp(name, [part for one in given for part in ("--incarnation", one)])

    def start(self, name: str) -> None:
        """Start a node, the first time or again."""
        self.nodes[name] = self._family.add(self._node("server", name))

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every node that runs is ready and the replicas have what was committed."""
        wait_until(self._is_ready, "the cluster to be ready", seconds)

    def statuses(self) -> list[NodeStatus]:
        """How the nodes are, by their own word."""
        return view.statuses(list(self.addresses.values()))

    def _is_ready(self) -> bool:
        for node in self.nodes.values():
            if not node.alive:
                raise ChildFailed(node.last_words())
        statuses = self.statuses()
        groups = regional(statuses)
        return (
            all(status.reachable and status.ready for status in statuses)
            and len(groups) == NODES
            and len({group.view for group in groups}) == 1
            and any(group.role == "primary" for group in groups)
        )

    def wait_caught_up(self, seconds: float = READY_SECONDS) -> None:
        """Wait until all are ready and hold the same prefix of the log."""

        def caught_up() -> bool:
            commits = {group.commit for group in regional(self.statuses())}
            return self._is_ready() and len(commits) == 1

        wait_until(caught_up, "the nodes to catch up", seconds)

    def primary(self) -> str:
        """The node that leads the region's group, by its own word."""
        best: tuple[int, str] | None = None
        for status in self.statuses():
            for group in status.groups:
                if group.group == GROUP and group.role == "primary":
                    best = max(best or (-1, ""), (group.view, status.name))
        if best is None:
            words = "; ".join(node.last_words() for node in self.nodes.values())
            raise ChildFailed(f"no node says that it is the primary: {words}")
        return best[1]


def regional(statuses: Iterable[NodeStatus]) -> list[GroupStatus]:
    """What the nodes that answer say of the region's group."""
    return [group for status in statuses for group in status.groups if group.group == GROUP]


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait for something. Raises ChildFailed, saying what did not come about."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            raise ChildFailed(f"waited {seconds:.0f} s for {what}")
        time.sleep(POLL_SECONDS)


def free_ports(count: int) -> list[int]:
    """That many different free ports, found by binding all of them together."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def fresh_cluster(
    parent: Path | None, *, settings: str = "", places: Places | None = None
) -> Iterator[Cluster]:
    """A cluster that leaves nothing behind, neither processes nor files."""
    directory = Path(tempfile.mkdtemp(prefix="veritydb-bench-", dir=parent))
    try:
        with Family() as family:
            yield Cluster(directory, family, settings=settings, places=places)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
