"""Three nodes on loopback: real processes with free ports and fresh data."""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import view
from benchmarks.processes import Child, ChildFailed, Family
from veritydb.client.values import NodeStatus

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


class Cluster:
    """A cluster at default settings. `nodes` are its processes by name."""

    def __init__(self, directory: Path, family: Family) -> None:
        """Stamp three data directories and start their nodes."""
        self.directory = directory
        self.addresses: dict[str, str] = {}
        self.nodes: dict[str, Child] = {}
        self._family = family
        ports = free_ports(2 * NODES)
        texts = []
        for number in range(NODES):
            name = f"node-{number + 1}"
            client, peer = (f"{HOST}:{port}" for port in ports[2 * number : 2 * number + 2])
            self.addresses[name] = client
            texts.append(NODE.format(name=name, client=client, peer=peer))
        self._config = directory / "cluster.toml"
        self._config.write_text(CONFIG.format(nodes="".join(texts)))
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

    def _node(self, command: str, name: str) -> Child:
        options = ["--config", str(self._config), "--node", name]
        arguments = [
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

    def _stamp(self, name: str) -> None:
        stamping = self._family.add(self._node("init", name))
        wait_until(lambda: not stamping.alive, f"{name} to be stamped", INIT_SECONDS)
        if not (self.data(name) / "node.toml").exists():
            raise ChildFailed(stamping.last_words())

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
        groups = [group for status in statuses for group in status.groups if group.group == GROUP]
        return (
            all(status.reachable and status.ready for status in statuses)
            and len(groups) == NODES
            and len({group.view for group in groups}) == 1
            and any(group.role == "primary" for group in groups)
        )

    def wait_caught_up(self, seconds: float = READY_SECONDS) -> None:
        """Wait until all are ready and hold the same prefix of the log."""

        def caught_up() -> bool:
            commits = {
                group.commit
                for status in self.statuses()
                for group in status.groups
                if group.group == GROUP
            }
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
def fresh_cluster(parent: Path | None) -> Iterator[Cluster]:
    """A cluster that leaves nothing behind, neither processes nor files."""
    directory = Path(tempfile.mkdtemp(prefix="veritydb-bench-", dir=parent))
    try:
        with Family() as family:
            yield Cluster(directory, family)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
