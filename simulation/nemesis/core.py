"""The end of a run in which not everything heals: a core of replicas must do without the rest.

The core holds a quorum of every group. What is outside of it stays broken for good, each node in
its own way. If the core comes to no end, there has to be a reason that can be checked.
"""

from collections.abc import Callable, Iterator

from simulation.checkers.base import Replica
from simulation.cluster import Box
from simulation.host import Host
from simulation.nemesis.stage import Stage
from simulation.topology import Group
from simulation.world import MS
from veritydb.vsr.config import Status

FOR_EVER = 1 << 60
VOICES = (Status.NORMAL, Status.VIEW_CHANGE)


class Core:
    """Which nodes are outside, and what is the matter with them."""

    def __init__(self, stage: Stage) -> None:
        """Everybody is inside."""
        self._stage = stage
        self._cluster = stage.cluster
        self._world = stage.world
        self._choices = stage.choices
        self.outside: set[int] = set()
        self._ways: tuple[Callable[[Box], None], ...] = (
            self._down,
            self._mute,
            self._deaf,
            self._apart,
            self._bridged,
            self._frozen,
            self._flaps,
        )

    def leave(self) -> None:
        """Choose who is outside, and break them."""
        boxes = self._cluster.boxes
        hurt = self._hurt() if self._choices.choose("core.hurt", 3) else []
        rest = self._choices.sample("core.order", range(len(boxes)), len(boxes))
        for node in [*hurt, *(node for node in rest if node not in hurt)]:
            if all(self._quorum_without(group, node) for group in self._cluster.groups):
                self.outside.add(node)
        for group in self._cluster.groups:
            for index, node in enumerate(group.nodes):
                if node in self.outside:
                    self._cluster.outside.add((group.number, index))
        for node in sorted(self.outside):
            way = self._choices.pick("core.way", self._ways)
            self._world.count("core." + way.__name__.strip("_"))
            self._world.note(boxes[node].name, (), "outside of the core", way.__name__.strip("_"))
            way(boxes[node])

    def _hurt(self) -> list[int]:
        """Nodes whose disks are damaged, or that have just been replaced."""
        cluster, operator = self._cluster, self._stage.operator
        keys = cluster.ruined | cluster.suspects | cluster.retiring | cluster.gaps
        keys = keys | {key for key, _ in cluster.rotten} | set(operator.joining())
        return sorted({cluster.group(key[0]).nodes[key[1]] for key in keys})

    def _quorum_without(self, group: Group, node: int) -> bool:
        left = [each for each in group.nodes if each not in self.outside and each != node]
        return len(left) > len(group.nodes) // 2

    def _inside(self) -> list[int]:
        return [box.index for box in self._cluster.boxes if box.index not in self.outside]

    # -- how they are broken

    def _down(self, box: Box) -> None:
        box.crash("down for good")
        box.gone = True

    def _mute(self, box: Box) -> None:
        self._cluster.network.block({(box.index, node) for node in self._inside()})

    def _deaf(self, box: Box) -> None:
        self._cluster.network.block({(node, box.index) for node in self._inside()})

    def _apart(self, box: Box) -> None:
        """Clients still reach it."""
        self._mute(box)
        self._deaf(box)

    def _bridged(self, box: Box) -> None:
        """One of the core is all that it hears, and is heard by."""
        friend = self._choices.pick("core.friend", self._inside())
        others = [node for node in self._inside() if node != friend]
        links = {link for node in others for link in ((box.index, node), (node, box.index))}
        self._cluster.network.block(links)

    def _frozen(self, box: Box) -> None:
        """Its disk finishes nothing any more."""
        box.slow = FOR_EVER

    def _flaps(self, box: Box) -> None:
        """It comes and goes."""
        if box.up:
            box.crash("flaps")
        else:
            box.start()
        delay = self._choices.log_uniform("core.flap", 20 * MS, 800 * MS)
        self._world.after(delay, self._flaps, box)

    def unheard(self) -> set[Replica]:
        """Replicas of the core that a primary outside cannot reach, while it leads a quorum.

        It goes on without them, and rightly: whoever hears it does not leave its view.
        """
        found: set[Replica] = set()
        for key in sorted(self._cluster.outside):
            node = self._cluster.group(key[0]).nodes[key[1]]
            if self._leads(key):
                for index, other in enumerate(self._cluster.group(key[0]).nodes):
                    if self._cluster.network.is_blocked(node, other):
                        found.add((key[0], index))
        return found

    # -- why there is no end

    def excuse(self) -> str:
        """Why the core cannot come to an end: a fact about disks and voices, or nothing."""
        if not self.outside:
            return ""
        return next((why for group in self._cluster.groups for why in self._lacks(group)), "")

    def _lacks(self, group: Group) -> Iterator[str]:
        inside = [
            (group.number, index)
            for index, node in enumerate(group.nodes)
            if node not in self.outside
        ]
        running = [key for key in inside if self._host(key) is not None]
        voices = [key for key in running if self._status(key) in VOICES]
        minority = len(group.nodes) // 2
        if len(running) <= minority:
            yield f"group {group.number}: only {running} of the core can run"
        if len(voices) <= minority and not any(map(self._leads, running)):
            yield f"group {group.number}: only {voices} of the core have a voice"
        for new in running:
            if self._status(new) is Status.JOINING and len(self._tellers(group, new)) <= minority:
                yield f"group {group.number}: too few can say that they know of {new}, which is new"
        for what in self._cluster.watch.log.get(group.number, []):
            if not any(self._cluster.holds(key, what.header) for key in inside):
                yield f"group {group.number}: op {what.header.op} is nowhere in the core"
        for (key, op), digest in self._cluster.rotten.items():
            named = self._cluster.recorded(key, op) if key in inside else None
            if named is None or named.hash != digest:
                continue
            if not any(self._cluster.holds(each, named) for each in inside):
                yield f"group {group.number}: op {op} is rotten in the core"

    def _tellers(self, group: Group, key: Replica) -> list[Replica]:
        """Who may tell a primary of the core that it durably knows of a replacement.

        Nobody may let it in before a quorum of the others knows: its predecessor, should it live,
        could agree on something with those who do not.
        """
        others = [(group.number, index) for index in range(len(group.nodes)) if index != key[1]]
        return [other for other in others if self._may_tell(group.nodes[other[1]], other)]

    def _may_tell(self, node: int, key: Replica) -> bool:
        if node not in self.outside:
            return True
        box, host, network = self._cluster.boxes[node], self._host(key), self._cluster.network
        heard = any(
            not network.is_blocked(node, other) and not network.is_blocked(other, node)
            for other in self._inside()
        )
        if box.slow < FOR_EVER or host is None:
            return heard and not box.gone
        replaced = sum(inc for at, inc in self._cluster.incarnations.items() if at[0] == key[0])
        return heard and host.node.replica._s.replacements_durable >= replaced

    def _host(self, key: Replica) -> Host | None:
        node = self._cluster.group(key[0]).nodes[key[1]]
        return self._cluster.boxes[node].hosts.get(key[0])

    def _status(self, key: Replica) -> Status:
        host = self._host(key)
        return Status.HALTED if host is None else host.node.replica.status

    def _leads(self, key: Replica) -> bool:
        host = self._host(key)
        return host is not None and host.node.role == "primary"
