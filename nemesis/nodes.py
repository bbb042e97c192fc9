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

import msgspec

from nemesis import leash
from nemesis.disks import SmallDisk
from nemesis.machine import Ailments
from nemesis.proxy import CLIENTS, HOST, Network
from veritydb.cli.connection import ask_status
from veritydb.client.sync import Client
from veritydb.client.values import GroupStatus, NodeStatus, Token
from veritydb.server import config as configs
from veritydb.server.config import Config, split_address
from veritydb.server.datadir import init
from veritydb.server.print_config import describe

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
STATUS_SECONDS = 1.0
# Roles of replicas that lack nothing.
WHOLE = ("primary", "backup")
LAST_LINES = 5
LAST_BYTES = 16_384


class Stuck(Exception):
    """Something that had to happen did not, in all the time that it was given."""


class Nodes:
    """The nodes of one configuration, with data in one directory. Leaving it kills them all.

    With a `network` they, and the clients of `url`, reach one another over its links only. With a
    `canary` each of them has that bug.
    """

    def __init__(
        self, folder: Path, text: str, network: Network | None = None, canary: str = ""
    ) -> None:
        """`text` is the configuration; nothing is started yet."""
        self.file = folder / "cluster.toml"
        self.file.write_text(text)
        self.folder = folder
        self.config = configs.load(self.file)
        self.names = [node.name for node in self.config.nodes]
        self.url = self.url_of(*self.names)
        self.disks: dict[str, SmallDisk] = {}
        self.keep = False
        """Whether limited disks, which are gone with this process, are copied to the folder."""
        self.ailments = {name: Ailments(folder / f"{name}.ailments") for name in self.names}
        self._canary = [canary] if canary else []
        self._files = dict.fromkeys(self.names, self.file)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        if network is not None:
            self._join(network)

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
        for disk in self.disks.values():
            disk.close(keep=self.keep or isinstance(error, Exception))

    def _join(self, network: Network) -> None:
        """Give each node a file of its own, in which the others are where its links begin."""
        self.url = "veritydb://" + ",".join(network.address(CLIENTS, one) for one in self.names)
        for part in self.config.nodes:
            seen = tuple(
                msgspec.structs.replace(
                    other,
                    client=network.address(CLIENTS, other.name),
                    client_listen=other.client,
                    peer=other.peer if other is part else network.address(part.name, other.name),
                )
                for other in self.config.nodes
            )
            own: Config = msgspec.structs.replace(self.config, nodes=seen)
            self._files[part.name] = self.file.with_name(f"{part.name}.toml")
            self._files[part.name].write_text(describe(own))
            network.lead(part.name, split_address(part.client), split_address(part.peer))

    def limit_disks(self) -> None:
        """Give each node a file system of limited size. Raises NoMounts."""
        for name in self.names:
            self.disks[name] = SmallDisk(self.data(name).parent)

    def data(self, name: str) -> Path:
        """A node's directory."""
        return self.folder / "disks" / name / "data"

    def log_file(self, name: str) -> Path:
        """Where a node prints to, in all of its lives."""
        return self.folder / f"{name}.log"

    def log(self, name: str) -> str:
        """What a node has printed in all of its lives."""
        path = self.log_file(name)
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
        for name in self.names:
            if not self.data(name).exists():
                init(self.config, name, self.data(name))
            if name not in self._started:
                self.start(name)
        self.ready()

    def start(self, name: str) -> None:
        """Start one node; it is not ready yet."""
        file, ailments = self._files[name], self.folder / f"{name}.ailments"
        with self.log_file(name).open("ab") as log:
            self._started[name] = leash.start(
                "nemesis.machine",
                *map(str, (file, name, self.data(name), ailments, *self._canary)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C at the terminal is for us alone.
                start_new_session=True,
            )

    def pid(self, name: str) -> int:
        """A node's process id."""
        return self._started[name].pid

    def runs(self, name: str) -> bool:
        """Whether a node that was started has not ended."""
        return name in self._started and self._started[name].poll() is None

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal."""
        self._started[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End a node with SIGKILL."""
        process = self._started.pop(name)
        process.kill()
        self._gone(name, process)

    def stop(self, *names: str) -> None:
        """End nodes (all, if none is named) in order. Raises Stuck unless each ends well."""
        ending = {name: self._started.pop(name) for name in names or list(self._started)}
        for process in ending.values():
            process.terminate()
        for name, process in ending.items():
            if code := self._gone(name, process):
                raise Stuck(f"{name} was told to stop and ended with {code}: {self.last(name)}")

    def ended(self, name: str) -> int:
        """Wait until a node has ended by itself; return its exit code."""
        return self._gone(name, self._started.pop(name))

    def _gone(self, name: str, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._started[name] = process
            raise Stuck(f"{name} did not end: {self.last(name)}") from None

    def last(self, name: str) -> str:
        """The end of what a node has printed."""
        lines = self.log(name)[-LAST_BYTES:].splitlines()
        return " | ".join(lines[-LAST_LINES:])

    def empty(self, name: str) -> None:
        """Empty the disk of a node that does not run."""
        assert name not in self._started
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
        said = ask_status(self.url_of(*self.names), STATUS_SECONDS).values()
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

    def whole(self) -> None:
        """Wait until all do their part, and hold all of the log with nothing to be mended."""

        def holds(seen: Mapping[str, NodeStatus]) -> bool:
            return set(seen) == set(self.names) and all(
                one.ready and all(g.role in WHOLE and not g.rotten for g in one.groups)
                for one in seen.values()
            )

        self.until("the cluster never was whole again", holds)

    def scrubbed(self) -> None:
        """Wait until each node has read through its logs since it was started, and mended them."""

        def holds(_: Mapping[str, NodeStatus]) -> bool:
            lives = {name: self.log(name).rpartition(" starting ")[2] for name in self.names}
            return all(
                f" scrubbed node={name} group={group.number} " in life
                for name, life in lives.items()
                for group in self.config.groups_of(name)
            )

        self.until("the logs were not read through", holds)
        self.whole()

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
