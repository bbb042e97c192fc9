"""What goes wrong: one thing after another, drawn from the kinds that the plan has."""

from collections.abc import Callable

import trio

from shell_simulation.cluster import NODES, Cluster
from shell_simulation.plan import Plan
from shell_simulation.process import Process
from simulation.world import MS, SECOND
from veritydb.storage.disk import DiskError

SHORT, LONG = 20 * MS, 3 * SECOND
EIO_WITHIN = 40
ALONE_MEAN = 100 * MS


class Nemesis:
    """Strikes now and then until it is stopped; most of what it does heals by itself."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        """Nothing has gone wrong yet."""
        self._cluster = cluster
        self._plan = plan
        self._world = cluster.world
        self._choices = cluster.world.choices
        self._calm = False
        self._strikes: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "power": self._power,
            "blackout": self._blackout,
            "moment": self._moment,
            "stop": self._stop,
            "stop-alone": self._stop_alone,
            "cut": self._cut,
            "reset": self._reset,
            "slow-net": self._slow_net,
            "flip": self._flip,
            "eio": self._eio,
            "eio-read": self._eio_read,
            "full": self._full,
            "slow-disk": self._slow_disk,
            "stall": self._stall,
        }

    async def work(self) -> None:
        """Strike as often as the plan says."""
        for _ in range(self._plan.strikes if self._plan.faults else 0):
            await trio.sleep(self._choices.exponential("nemesis.when", self._plan.every) / 1e9)
            kind = self._choices.pick("nemesis.kind", self._plan.faults)
            self._world.count(f"fault.{kind}")
            self._strikes[kind]()

    def calm(self) -> None:
        """Heal everything; from now on nothing goes wrong."""
        self._calm = True
        self._world.note("nemesis", "everything heals")
        self._cluster.network.slow = 1
        self._cluster.network.heal()
        for home in self._cluster.homes.values():
            home.heal()

    def _later(self, undo: Callable[[], None]) -> None:
        """Undo a fault after a while, unless all were undone before."""
        delay = self._choices.log_uniform("nemesis.length", SHORT, LONG)
        self._world.after(delay, lambda: None if self._calm else undo())

    def _one(self) -> Process | None:
        up = self._cluster.up()
        return self._choices.pick("nemesis.node", up) if up else None

    def _note(self, what: str, *detail: object) -> None:
        self._world.note("nemesis", what, *detail)

    # -- processes and machines

    def _kill(self) -> None:
        if (one := self._one()) is not None:
            one.die()

    def _power(self) -> None:
        if (one := self._one()) is not None:
            one.die(silently=True)

    def _blackout(self) -> None:
        for one in self._cluster.up():
            one.die(silently=True)

    def _moment(self) -> None:
        """A blackout in the very moment in which something is acknowledged."""
        self._world.acknowledging = self._at_the_moment

    def _at_the_moment(self) -> None:
        if not self._calm:
            self._world.count("moments")
            self._blackout()

    def _stop(self) -> None:
        if (one := self._one()) is not None:
            self._note("stop", one.name)
            one.stop()

    def _stop_alone(self) -> None:
        """Stop a primary that is cut off, so that some of its calls are open.

        Often it only hears nobody, and is heard: what it gave up is agreed on without it.
        """
        leader = self._cluster.leader()
        if leader is not None:
            way = self._choices.pick("nemesis.alone.way", ("in", "both"))
            self._isolate(leader, [name for name in NODES if name != leader], way)
            process = self._cluster.processes[leader]
            delay = self._choices.exponential("nemesis.alone", ALONE_MEAN)
            self._world.after(delay, lambda: None if self._calm else process.stop())

    def _stall(self) -> None:
        if (one := self._one()) is not None:
            length = self._choices.log_uniform("nemesis.stall", SHORT, LONG)
            self._note("stall", one.name, length)
            one.stall(length)

    # -- the network

    def _cut(self) -> None:
        node = self._choices.pick("nemesis.cut", NODES)
        if self._choices.chance("nemesis.leader", 500_000):
            node = self._cluster.leader() or node
        others = [name for name in NODES if name != node]
        if self._choices.chance("nemesis.pair", 500_000):
            others = [self._choices.pick("nemesis.other", others)]
        way = self._choices.pick("nemesis.way", ("in", "out", "both"))
        self._isolate(node, others, way)

    def _isolate(self, node: str, others: list[str], way: str) -> None:
        self._note("cut", node, way, *others)
        for other in others:
            if way in ("out", "both"):
                self._cluster.network.cut(node, other)
            if way in ("in", "both"):
                self._cluster.network.cut(other, node)
        self._later(self._cluster.network.heal)

    def _reset(self) -> None:
        one, other = self._choices.sample("nemesis.reset", NODES, 2)
        self._note("reset", one, other, self._cluster.network.reset(one, other))

    def _slow_net(self) -> None:
        network = self._cluster.network
        network.slow = self._choices.pick("nemesis.slow", (5, 20, 50))

        def undo() -> None:
            network.slow = 1

        self._later(undo)

    def _flip(self) -> None:
        if (one := self._one()) is not None:
            one.flips += 1

    # -- disks

    def _eio(self) -> None:
        home = self._cluster.homes[self._choices.pick("nemesis.eio", NODES)]
        disk = home.disks[self._choices.pick("nemesis.part", sorted(home.disks))]
        when = disk.operations + self._choices.choose("nemesis.operation", EIO_WITHIN)
        self._note("eio", home.name, when)
        disk.errors[when] = DiskError("simulated EIO")

    def _eio_read(self) -> None:
        home = self._cluster.homes[self._choices.pick("nemesis.eio-read", NODES)]
        self._note("eio of a read", home.name)
        home.misreads = 1

    def _full(self) -> None:
        home = self._cluster.homes[self._choices.pick("nemesis.full", NODES)]
        self._note("full", home.name)
        home.fill()
        self._later(home.make_room)

    def _slow_disk(self) -> None:
        home = self._cluster.homes[self._choices.pick("nemesis.slow-disk", NODES)]
        home.slow = self._choices.pick("nemesis.slowness", (5, 30, 200))
        self._note("slow disk", home.name, home.slow)

        def undo() -> None:
            home.slow = 1

        self._later(undo)
