"""The nodes of one cluster on this machine: born once, started, watched and stopped.

    DATA_DIR/cluster.json         which cluster this is and which of its nodes have been born
    DATA_DIR/<node>/              a node's data, stamped once by `init`
    DATA_DIR/<node>/node.log      what it prints
    DATA_DIR/<node>/node.pid      its process, while it runs

A node whose directory was emptied after its birth is never stamped again by itself: it has
forgotten what it promised. `veritydb replica replace` brings it back under a new identity.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from veritydb.cli import processes
from veritydb.cli.connection import ask_status
from veritydb.cli.exits import Exit, Failure
from veritydb.cli.processes import Process
from veritydb.cli.status import NodeView, views_of
from veritydb.server import config as configs
from veritydb.server.config import Config
from veritydb.server.datadir import init
from veritydb.server.failures import AlreadyInitialised

MARKER = "cluster.json"
FORMAT = 1
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1


class Birth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `cluster.json` says."""

    format: int
    cluster: str
    config: str
    born: tuple[str, ...]


class Cluster:
    """A cluster in a data directory."""

    def __init__(self, config: Config, path: Path, directory: Path) -> None:
        """`path` is where the configuration was read from."""
        self.config = config
        self.path = path.resolve()
        self.directory = directory.resolve()

    @property
    def names(self) -> list[str]:
        """Its nodes, in the order of the configuration."""
        return [node.name for node in self.config.nodes]

    @property
    def url(self) -> str:
        """How clients reach it."""
        return "veritydb://" + ",".join(node.client for node in self.config.nodes)

    def node_dir(self, name: str) -> Path:
        """Where a node keeps its data."""
        return self.directory / name

    def running(self) -> dict[str, Process]:
        """The nodes that run, with their processes."""
        found = {name: processes.find(self.node_dir(name)) for name in self.names}
        return {name: process for name, process in found.items() if process is not None}

    def start_node(self, name: str) -> Process:
        """Start one node that does not run."""
        directory = self.node_dir(name)
        options = ("--config", str(self.path), "--node", name, "--data-dir", str(directory))
        return processes.start(("server", *options), directory)

    def start(self) -> dict[str, Process]:
        """Start every node that does not run; return them. Stamps new nodes first."""
        with self._alone():
            self._bear()
            running = self.running()
            return {name: self.start_node(name) for name in self.names if name not in running}

    def stop(self, grace: float = STOP_SECONDS) -> tuple[list[str], list[str]]:
        """Stop every node that runs; return the names of all, and of those that were killed."""
        running = self.running()
        killed = processes.stop(list(running.values()), grace=grace)
        for name in running:
            (self.node_dir(name) / processes.PID_FILE).unlink(missing_ok=True)
        return list(running), [name for name in running if running[name] in killed]

    def look(self, timeout: float = 1.0) -> list[NodeView]:
        """How the nodes are, each by its own word."""
        pids = {name: process.pid for name, process in self.running().items()}
        nodes = [(node.name, node.client) for node in self.config.nodes]
        said = ask_status(self.url, timeout) if pids else {}
        # Another cluster may have the addresses, so that our nodes could not start.
        ours = {address: one for address, one in said.items() if one.pid in pids.values()}
        return views_of(nodes, ours, pids)

    def wait_ready(self, seconds: float = READY_SECONDS) -> list[NodeView]:
        """Wait until every node is ready, has ended, or the time is over; return how they are."""
        deadline = time.monotonic() + seconds
        while True:
            views = self.look()
            if all(view.ready or view.pid is None for view in views):
                return views
            if time.monotonic() >= deadline:
                return views
            time.sleep(POLL_SECONDS)

    def _bear(self) -> None:
        """Stamp the directories of nodes that have never been born. Each is stamped only once."""
        birth = read_marker(self.directory)
        if birth is None:
            birth = Birth(FORMAT, self.config.cluster_id.hex(), str(self.path), ())
            write_marker(self.directory, birth)
        elif birth.cluster != self.config.cluster_id.hex():
            raise Failure(
                Exit.USAGE,
                f"{self.directory} holds another cluster than {self.path} describes",
                hint=f"it was born from {birth.config}",
            )
        for name in self.names:
            if name not in birth.born:
                # A former start may have ended between the stamp and its note. The node itself
                # checks that the stamp is its own.
                with suppress(AlreadyInitialised):
                    init(self.config, name, self.node_dir(name))
                birth = msgspec.structs.replace(birth, born=(*birth.born, name))
                write_marker(self.directory, birth)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep a second `cluster up` out while nodes are born and started."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def find(directory: Path) -> Cluster:
    """The cluster of a data directory. Raises Failure if there is none."""
    birth = read_marker(directory)
    if birth is None:
        raise Failure(
            Exit.NOT_FOUND,
            f"{directory} holds no cluster that `veritydb cluster up` started",
            name="NO_CLUSTER",
        )
    path = Path(birth.config)
    return Cluster(configs.load(path), path, directory)


def read_marker(directory: Path) -> Birth | None:
    """Read `cluster.json`, if it is there. Raises Failure if it is not one of ours."""
    file = directory / MARKER
    try:
        birth = msgspec.json.decode(file.read_bytes(), type=Birth)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise Failure(Exit.DAMAGED, f"{file} is not the note that `cluster up` wrote") from None
    if birth.format != FORMAT:
        raise Failure(Exit.USAGE, f"{file} has format {birth.format}, this version knows {FORMAT}")
    return birth


def write_marker(directory: Path, birth: Birth) -> None:
    """Write `cluster.json` durably, whole or not at all."""
    fresh = directory / f"{MARKER}.new"
    with fresh.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(birth)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / MARKER)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
