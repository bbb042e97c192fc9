"""etcd: every event a key STREAM/OFFSET, every batch a transaction."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.appends import Workload
from benchmarks.cluster import NODES, free_ports
from benchmarks.peers import servers
from benchmarks.peers.failover import Failing
from benchmarks.peers.servers import Servers
from benchmarks.peers.system import Access, Measure
from benchmarks.peers.tools import Tools, ask_version, dotted
from benchmarks.peers.works import Work
from benchmarks.processes import Child, Family

# By default a transaction holds 128 operations and the store 2 GiB.
OPERATIONS_IN_TRANSACTION = 1024
REQUEST_BYTES = 8 << 20
STORE_BYTES = 8 << 30


class Etcd:
    """etcd as it is: its log is synced by a quorum before anything is acknowledged."""

    name = "etcd"
    title = "etcd"
    durable = True

    def __init__(self, tools: Tools, driver: Path | None) -> None:
        """Use what was found."""
        self._tools = tools
        self._driver = driver

    @property
    def version(self) -> str:
        """Which etcd."""
        assert self._tools.etcd is not None
        return dotted(ask_version(self._tools.etcd))

    def missing(self) -> list[str]:
        """What it takes."""
        tools = self._tools
        needed = {"etcd": tools.etcd, "go": tools.go, "Python clients": tools.clients}
        return [name for name, there in needed.items() if not there]

    def start(self, directory: Path, family: Family) -> "Running":
        """Start three members."""
        return Running(directory, family, self._tools, self._driver)


def arguments(number: int, data: Path, clients: list[str], peers: list[str]) -> list[str]:
    """The command line of one member."""
    members = ",".join(f"node-{index + 1}=http://{peer}" for index, peer in enumerate(peers))
    return [
        *("--name", f"node-{number + 1}"),
        *("--data-dir", str(data)),
        *("--listen-client-urls", f"http://{clients[number]}"),
        *("--advertise-client-urls", f"http://{clients[number]}"),
        *("--listen-peer-urls", f"http://{peers[number]}"),
        *("--initial-advertise-peer-urls", f"http://{peers[number]}"),
        *("--initial-cluster", members),
        *("--initial-cluster-state", "new"),
        *("--max-txn-ops", str(OPERATIONS_IN_TRANSACTION)),
        *("--max-request-bytes", str(REQUEST_BYTES)),
        *("--quota-backend-bytes", str(STORE_BYTES)),
        *("--logger", "zap"),
        *("--log-level", "error"),
    ]


class Running(Servers):
    """Three members and their clients."""

    def __init__(self, directory: Path, family: Family, tools: Tools, driver: Path | None) -> None:
        """Start them and wait until one leads."""
        super().__init__(directory, family, tools, driver)
        addresses = servers.hosts(free_ports(2 * NODES))
        self.addresses, peers = addresses[:NODES], addresses[NODES:]
        for number in range(NODES):
            name = f"node-{number + 1}"
            command = arguments(number, directory / name, self.addresses, peers)
            log = directory / f"{name}.log"
            self.serve(Child(name, command, log, program=str(tools.etcd)))
        servers.wait_ready(lambda: self.leader() is not None, "etcd to elect a leader")

    def leader(self) -> int | None:
        """Which member leads, by its own word."""
        for number, address in enumerate(self.addresses):
            status = servers.ask(f"http://{address}/v3/maintenance/status", {})
            if status.get("leader") == status["header"]["member_id"]:
                return number
        return None

    def _url(self) -> str:
        # Only the leader: a client given all would have two requests of three forwarded.
        leader = self.leader()
        assert leader is not None
        return f"etcd://{self.addresses[leader]}"

    def writer(self) -> Access:
        """The compiled client."""
        return Access(self.compiled, self._url())

    def append_ways(self, workload: Workload) -> Mapping[str, Measure]:
        """There is one."""
        return {"Go": self.appending(self.writer(), workload)}

    def readers(self) -> Mapping[str, Access]:
        """Page by page."""
        return {"Python": Access(self.python, self._url()), "Go": self.writer()}

    def mix_ways(self, work: Work, stream: str) -> Mapping[str, Measure]:
        """There is one."""
        return {"Go": self.mixing(self.writer(), work, stream)}

    def followers(self) -> Mapping[str, Access]:
        """By a watch."""
        return {"Go": self.writer()}

    def failing(self) -> Failing:
        """Members elect a leader by themselves."""
        leader = self.leader()
        assert leader is not None
        every = servers.leader_first(self.addresses, leader)
        return Failing(self.compiled, f"etcd://{every}", self.children[leader].kill)
