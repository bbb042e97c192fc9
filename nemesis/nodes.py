"""A cluster of real processes: started, killed, frozen, emptied and brought back."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import create_server
from types import TracebackType

from veritydb.cli import processes
from veritydb.cli.connection import ask_status
from veritydb.cli.processes import Process
from veritydb.cli.supervisor import Cluster
from veritydb.client.sync import Client
from veritydb.client.values import GroupStatus, NodeStatus, Token
from veritydb.server import config as configs
from veritydb.server.datadir import init

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
STATUS_SECONDS = 1.0
HOST = "127.0.0.1"


class Stuck(Exception):
    """Something that had to happen did not, in all the time that it was given."""


class Nodes:
    """The nodes of one configuration, with data in one directory. Leaving it kills them all."""

    def __init__(self, folder: Path, text: str) -> None:
        """`text` is the configuration; nothing is started yet."""
        self.file = folder / "cluster.toml"
        self.file.write_text(text)
        self.cluster = Cluster(configs.load(self.file), self.file, folder / "data")
        self.config = self.cluster.config
        self.names = self.cluster.names
        self.url = self.cluster.url
        self._started: dict[str, Process] = {}

    def __enter__(self) -> "Nodes":
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs."""
        for name in list(self._started):
            self.kill(name)

    def data(self, name: str) -> Path:
        """A node's directory."""
        return self.cluster.node_dir(name)

    def log(self, name: str) -> str:
        """What a node has printed into its present directory."""
        path = self.data(name) / processes.LOG_FILE
        return path.read_text(errors="replace") if path.exists() else ""

    def url_of(self, *names: str) -> str:
        """How a client reaches some of the nodes."""
        return "veritydb://" + ",".join(self.config.node(name).client for name in names)

    def client(self, *names: str, timeout: float = PATIENCE_SECONDS) -> Client:
        """A client that knows some nodes' addresses, or those of all."""
        return Client(self.url_of(*(names or self.names)), timeout=timeout)

    # -- their life

    def up(self) -> None:
        """Stamp what is not stamped, start all that do not run, and wait until they are ready."""
        self._started |= self.cluster.start()
        self.ready()

    def start(self, name: str) -> None:
        """Start one node; it is not ready yet."""
        self._started[name] = self.cluster.start_node(name)

    def pid(self, name: str) -> int:
        """A node's process id."""
        return self._started[name].pid

    def runs(self, name: str) -> bool:
        """Whether a node that was started has not ended."""
        return name in self._started and processes.is_running(self._started[name])

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal."""
        processes.send(self._started[name], number)

    def kill(self, name: str) -> None:
        """End a node with SIGKILL."""
        process = self._started.pop(name)
        processes.send(process, signal.SIGKILL)
        self._gone(name, process)

    def stop(self, *names: str) -> None:
        """End nodes (all, if none is named) in order. Raises Stuck unless each ends well."""
        ending = {name: self._started.pop(name) for name in names or list(self._started)}
        for process in ending.values():
            processes.send(process, signal.SIGTERM)
        for name, process in ending.items():
            if code := self._gone(name, process):
                raise Stuck(f"{name} was told to stop and ended with {code}: {self.last(name)}")

    def ended(self, name: str) -> int:
        """Wait until a node has ended by itself; return its exit code."""
        return self._gone(name, self._started.pop(name))

    def _gone(self, name: str, process: Process) -> int:
        if processes.wait([process], time.monotonic() + PATIENCE_SECONDS):
            self._started[name] = process
            raise Stuck(f"{name} did not end: {self.last(name)}")
        code = processes.exit_code(process)
        assert code is not None
        return code

    def last(self, name: str) -> str:
        """The end of what a node has printed."""
        return " | ".join(processes.tail(self.data(name)))

    def empty(self, name: str) -> None:
        """Empty the disk of a node that does not run."""
        assert name not in self._started
        shutil.rmtree(self.data(name))

    def replace(self, name: str) -> dict[int, int]:
        """Give a node with an emptied disk new incarnations, by group, and stamp it with them."""
        with self.client(*(one for one in self.names if one != name)) as db:
            given = {
                group.number: db.replace(group.number, group.replicas.index(name))
                for group in self.config.groups_of(name)
            }
        init(self.config, name, self.data(name), given)
        return given

    # -- how they are

    def status(self) -> dict[str, NodeStatus]:
        """The nodes that answer, by name."""
        said = ask_status(self.url, STATUS_SECONDS).values()
        return {one.name: one for one in said if one.reachable}

    def until(self, what: str, holds: Callable[[Mapping[str, NodeStatus]], bool]) -> None:
        """Wait until something holds of the nodes. Raises Stuck."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(seen := self.status()):
            if time.monotonic() > deadline:
                raise Stuck(f"{what}: {[brief(one) for one in seen.values()]}; {self.endings()}")
            time.sleep(POLL_SECONDS)

    def endings(self) -> str:
        """The last words of nodes that ended although nobody ended them."""
        dead = [name for name in self._started if not self.runs(name)]
        return "; ".join(f"{name} has ended: {self.last(name)}" for name in dead)

    def ready(self, *names: str) -> None:
        """Wait until nodes (all, if none is named) do their part."""
        wanted = names or tuple(self.names)

        def holds(seen: Mapping[str, NodeStatus]) -> bool:
            for name in wanted:
                if name in self._started and not self.runs(name):
                    raise Stuck(f"{name} has ended: {self.last(name)}")
            return all(name in seen and seen[name].ready for name in wanted)

        self.until(f"{', '.join(wanted)} never became ready", holds)

    def level(self, token: Token | None = None) -> None:
        """Wait until all have applied the same, and at least what a token says."""
        marks = dict((token or Token()).marks)

        def holds(seen: Mapping[str, NodeStatus]) -> bool:
            if set(seen) != set(self.names) or not all(one.ready for one in seen.values()):
                return False
            for group in self.config.groups:
                applied = {replica(seen[n], group.number).applied for n in group.replicas}
                if len(applied) != 1 or min(applied) < marks.get(group.number, 0):
                    return False
            return True

        self.until("the nodes never came to the same point", holds)

    def primary(self, group: int) -> str:
        """The node that leads a group, by its own word."""
        leads: list[tuple[int, str]] = []

        def holds(seen: Mapping[str, NodeStatus]) -> bool:
            for name in self.config.group(group).replicas:
                if name in seen and (one := replica(seen[name], group)).role == "primary":
                    leads.append((one.view, name))
            return bool(leads)

        self.until(f"nobody leads group {group}", holds)
        return max(leads)[1]


def replica(status: NodeStatus, number: int) -> GroupStatus:
    """One group of a node's status."""
    return next(one for one in status.groups if one.group == number)


def brief(status: NodeStatus) -> str:
    """A node's status in a few words."""
    groups = [f"{g.group}:{g.role}/v{g.view}/{g.applied}of{g.op}" for g in status.groups]
    return f"{status.name} {'ready' if status.ready else 'not ready'} {' '.join(groups)}"


def veritydb(
    *arguments: str, stdin: bytes = b"", timeout: float = PATIENCE_SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "veritydb.cli", *arguments],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on just now."""
    with ExitStack() as stack:
        made = [stack.enter_context(create_server((HOST, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in made]


def three_nodes(name: str = "nemesis", region: str = "au-syd", server: str = "") -> str:
    """The configuration of three nodes in one region that hold both groups."""
    names = ("node-1", "node-2", "node-3")
    regions = dict.fromkeys(names, region)
    return configuration(name, regions, {0: ("", names), 1: (region, names)}, server)


def configuration(
    name: str,
    regions: Mapping[str, str],
    groups: Mapping[int, tuple[str, Sequence[str]]],
    server: str = "",
) -> str:
    """A configuration of nodes (name: region) and groups (number: region, replicas)."""
    ports = free_ports(2 * len(regions))
    lines = [f'[cluster]\nname = "{name}"\n\n[server]\ndrain_ms = 1000\n{server}\n']
    for node, region in regions.items():
        lines.append(
            f'[[nodes]]\nname = "{node}"\nregion = "{region}"\n'
            f'client = "{HOST}:{ports.pop()}"\npeer = "{HOST}:{ports.pop()}"\n'
        )
    for number, (region, replicas) in groups.items():
        named = ", ".join(f'"{one}"' for one in replicas)
        where = f'region = "{region}"\n' if region else ""
        lines.append(f"[[groups]]\nnumber = {number}\n{where}replicas = [{named}]\n")
    return "\n".join(lines)
