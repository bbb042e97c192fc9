"""Three nodes: each has one process after another, until the run is over."""

from pathlib import Path

import trio

from shell_simulation.client import GROUP
from shell_simulation.home import Home
from shell_simulation.network import Network
from shell_simulation.process import Process
from shell_simulation.world import World
from simulation.topology import CLUSTER, REGION_A
from simulation.world import MS
from veritydb.server.config import ClusterPart, Config, GroupPart, NodePart, ServerPart

NODES = ("n1", "n2", "n3")
RESTART_MEAN = 300 * MS


def config() -> Config:
    """Three nodes with one group of three, and a global one on the first of them."""
    return Config(
        cluster=ClusterPart(name="simulated", id=CLUSTER.hex()),
        server=ServerPart(drain_ms=1_000, snapshot_entries=50, transfer_ops=20),
        nodes=tuple(
            NodePart(
                name=name,
                client=f"127.0.0.1:710{at}",
                peer=f"127.0.0.1:720{at}",
                region=REGION_A.name,
            )
            for at, name in enumerate(NODES)
        ),
        groups=(
            GroupPart(number=0, replicas=("n1",)),
            GroupPart(number=GROUP.number, region=REGION_A.name, replicas=NODES),
        ),
    )


class Cluster:
    """The nodes' homes, and the process that lives in each just now."""

    def __init__(self, world: World, network: Network, folder: Path, skew: int) -> None:
        """Nothing runs yet."""
        self.world = world
        self.network = network
        self.homes = {name: Home(world, config(), name, folder / name, skew) for name in NODES}
        self.processes: dict[str, Process] = {}
        self.ending = False
        self._lives = 0

    async def keep(self, name: str) -> None:
        """Start a process on a node, and another one whenever it has ended."""
        choices, home = self.world.choices, self.homes[name]
        while not self.ending:
            self._lives += 1
            process = self.processes[name] = Process(home, self.network, self._lives)
            await process.live()
            if process.lost_power:
                for part in sorted(home.disks):
                    home.disks[part].crash(lambda n: choices.choose(f"crash.{name}", n))
            if not self.ending:
                await trio.sleep(choices.exponential(f"restart.{name}", RESTART_MEAN) / 1e9)

    def up(self) -> list[Process]:
        """The processes that are not about to end."""
        return [one for one in self.processes.values() if not (one.dead or one.stopping)]

    def leader(self) -> str | None:
        """The node that leads, if one says so."""
        for process in self.up():
            if process.server is not None and process.server.hosted[GROUP.number].group.leads:
                return process.name
        return None

    def converged(self) -> int | None:
        """The op that all replicas have applied and hold, when nothing is left to be done."""
        applied = set()
        for process in self.processes.values():
            if process.dead or process.server is None:
                return None
            one = process.server.hosted[GROUP.number]
            replica = one.group.node.replica
            idle = one.group.node.applied == replica.op and not replica.missing[1]
            if not (one.started and one.group.serves and idle):
                return None
            applied.add(int(one.group.node.applied))
        return applied.pop() if len(applied) == 1 else None
