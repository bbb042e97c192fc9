"""What all families of faults share: the cluster they work on, and what they may do to it."""

from collections.abc import Callable, Mapping

from simulation.checkers.base import Replica
from simulation.cluster import Box, Cluster
from simulation.host import Host
from simulation.operator import Operator
from simulation.topology import Group

Strike = Callable[[], None]


class Stage:
    """The cluster as its enemies see it."""

    def __init__(self, cluster: Cluster, operator: Operator, clients: int) -> None:
        """`clients` says how many there are."""
        self.cluster = cluster
        self.world = cluster.world
        self.choices = cluster.world.choices
        self.plan = cluster.plan
        self.network = cluster.network
        self.operator = operator
        self.clients = clients
        self.stopped = False
        """No more faults: those under way end."""
        self.victim = self.choices.choose("rot.victim", len(cluster.boxes))
        """The one machine that silent damage of all kinds is for."""

    def fired(self, fault: str) -> None:
        """A fault of this class has really happened."""
        self.world.count("fault." + fault)

    def box(self, label: str) -> Box:
        """Any machine."""
        return self.choices.pick(label, self.cluster.boxes)

    def up(self, label: str) -> Box | None:
        """One of the machines that run, if any does."""
        running = [box for box in self.cluster.boxes if box.up and not box.paused]
        return self.choices.pick(label, running) if running else None

    def host(self, label: str) -> Host | None:
        """A running replica, if there is one."""
        box = self.up(label)
        if box is None or not box.hosts:
            return None
        return self.choices.pick(label + ".host", list(box.hosts.values()))

    def gaps(self, group: Group) -> bool:
        """Whether a replica of the group lacks ops that a peer's snapshot stood for."""
        return any(key[0] == group.number for key in self.cluster.gaps)

    def waiting(self) -> bool:
        """Whether a replica is to be replaced, or may not start before others hold its promises."""
        cluster = self.cluster
        boxes = [self._box_of(key) for key in cluster.suspects]
        # Who is gone for good is waited for by nobody.
        return bool(cluster.retiring) or any(not (box.up or box.gone) for box in boxes)

    def _box_of(self, key: Replica) -> Box:
        return self.cluster.boxes[self.cluster.group(key[0]).nodes[key[1]]]

    def victims(self) -> list[Replica]:
        """The victim's replicas, as far as their groups can do without."""
        found: list[Replica] = []
        for group in self.cluster.groups:
            if self.victim in group.nodes and len(group.nodes) > 1:
                key = (group.number, group.nodes.index(self.victim))
                if not self.operator.busy(group.number) and key not in self.cluster.retiring:
                    found.append(key)
        return found

    def fell(self, box: Box, why: str) -> None:
        """The machine ends now and comes back after a while."""
        if box.up:
            box.crash(why)
            self.world.after(self.cluster.downtime(), box.start)
        else:
            # Its process had ended before; what that left in the cache goes now.
            self.cluster.lose_cache(box)

    def killed(self, box: Box) -> None:
        """The process ends now and comes back after a while."""
        box.die("killed")
        self.world.after(self.cluster.downtime(), box.start)


class Family:
    """Faults of one kind. `faults` names what can strike, `stop` ends what lasts."""

    def __init__(self, stage: Stage) -> None:
        """Nothing happens before a fault is called."""
        self.stage = stage
        self.cluster = stage.cluster
        self.world = stage.world
        self.choices = stage.choices

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class, what happens when it strikes. It may find nothing to do."""
        raise NotImplementedError

    def stop(self) -> None:
        """End what lasts."""
