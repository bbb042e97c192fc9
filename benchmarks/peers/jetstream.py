"""NATS JetStream: one stream of three replicas, a subject for each of our streams."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks import reads
from benchmarks.appends import Workload
from benchmarks.cluster import NODES, free_ports
from benchmarks.peers import servers
from benchmarks.peers.failover import Failing
from benchmarks.peers.servers import Servers
from benchmarks.peers.system import Access, Measure
from benchmarks.peers.tools import ATOMIC_BATCHES, SYNCS_ALWAYS, Tools, dotted
from benchmarks.peers.works import Work
from benchmarks.processes import Child, Family

STORE = "40G"

CONFIG = """\
server_name: "{name}"
listen: "{client}"
http: "{monitor}"
jetstream {{
  store_dir: "{data}"
  max_file_store: {store}
{sync}}}
cluster {{
  name: "benchmark"
  listen: "{peer}"
  routes: [{routes}]
  no_advertise: true
}}
"""


class JetStream:
    """With all that is acknowledged synced, or as it comes: synced every two minutes."""

    def __init__(self, tools: Tools, driver: Path | None, *, durable: bool) -> None:
        """Use what was found."""
        self._tools = tools
        self._driver = driver
        self.durable = durable
        self.name = "jetstream" if durable else "jetstream-unsafe"
        self.title = "JetStream, sync always" if durable else "JetStream, default (unsafe)"

    @property
    def version(self) -> str:
        """Which server."""
        return dotted(self._tools.nats_version)

    def missing(self) -> list[str]:
        """What it takes; syncing takes a newer server."""
        tools = self._tools
        server = tools.nats is not None
        if self.durable:
            server = server and tools.nats_version >= SYNCS_ALWAYS
        needed = {"nats-server": server, "go": tools.go, "Python clients": tools.clients}
        return [name for name, there in needed.items() if not there]

    def start(self, directory: Path, family: Family) -> "Running":
        """Start three servers."""
        return Running(directory, family, self._tools, self._driver, durable=self.durable)


def config(number: int, data: Path, addresses: list[str], *, durable: bool) -> str:
    """The configuration of one server; each has three addresses."""
    peers = addresses[NODES : 2 * NODES]
    return CONFIG.format(
        name=f"node-{number + 1}",
        client=addresses[number],
        peer=peers[number],
        monitor=addresses[2 * NODES + number],
        routes=", ".join(f'"nats-route://{peer}"' for peer in peers),
        data=data,
        store=STORE,
        sync="  sync_interval: always\n" if durable else "",
    )


class Running(Servers):
    """Three servers and their clients."""

    def __init__(
        self, directory: Path, family: Family, tools: Tools, driver: Path | None, *, durable: bool
    ) -> None:
        """Start them, make the stream, and find out who leads it."""
        super().__init__(directory, family, tools, driver)
        addresses = servers.hosts(free_ports(3 * NODES))
        self._clients, self._monitors = addresses[:NODES], addresses[2 * NODES :]
        self._atomic = tools.nats_version >= ATOMIC_BATCHES
        for number in range(NODES):
            name = f"node-{number + 1}"
            file = directory / f"{name}.conf"
            file.write_text(config(number, directory / name, addresses, durable=durable))
            log = directory / f"{name}.log"
            self.serve(Child(name, ["-c", str(file)], log, program=str(tools.nats)))
        servers.wait_ready(self._has_met, "the servers of JetStream to meet")
        self._leader = 0
        # The compiled client makes the stream when it first comes by.
        reads.fill(self.target(self._url("atomic")), self.compiled, 1, 1)
        servers.wait_ready(self._find_leader, "the stream to have a leader")

    def _has_met(self) -> bool:
        sizes = [servers.ask(f"http://{one}/jsz")["meta_cluster"] for one in self._monitors]
        return all(one.get("leader") and one.get("cluster_size") == NODES for one in sizes)

    def _find_leader(self) -> bool:
        state = servers.ask(f"http://{self._monitors[0]}/jsz?accounts=1&streams=1")
        name = state["account_details"][0]["stream_detail"][0]["cluster"]["leader"]
        self._leader = int(name.removeprefix("node-")) - 1
        return True

    def _url(self, way: str) -> str:
        return f"jetstream://{servers.leader_first(self._clients, self._leader)}?{way}"

    def _access(self, way: str) -> Access:
        return Access(self.compiled, self._url(way))

    def writer(self) -> Access:
        """Bare messages: those of an atomic batch have headers, which are slower to read."""
        return self._access("window")

    def append_ways(self, workload: Workload) -> Mapping[str, Measure]:
        """A batch is so many messages in flight, or atomic where the server knows how."""
        if workload.batch == 1:
            return {"Go": self.appending(self.writer(), workload)}
        ways = {"Go, in a window": self.appending(self.writer(), workload)}
        if self._atomic:
            ways["Go, atomic"] = self.appending(self._access("atomic"), workload)
        return ways

    def readers(self) -> Mapping[str, Access]:
        """By an ordered consumer, which has the messages pushed."""
        return {"Python": Access(self.python, self._url("")), "Go": self.writer()}

    def mix_ways(self, work: Work, stream: str) -> Mapping[str, Measure]:
        """By direct gets, where the server knows them."""
        if not self._atomic:
            return {}
        return {"Go": self.mixing(self.writer(), work, stream)}

    def followers(self) -> Mapping[str, Access]:
        """By an ordered consumer."""
        return {"Go": self.writer()}

    def failing(self) -> Failing:
        """Replicas of a stream elect a leader by themselves."""
        servers.wait_ready(self._find_leader, "the stream to have a leader")
        return Failing(self.compiled, self._url("window"), self.children[self._leader].kill)
