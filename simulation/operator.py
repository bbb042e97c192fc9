"""The people who run the cluster: they replace a replica, often one whose disk is gone."""

from collections.abc import Callable

from simulation.calls import Answered, Call, Refused
from simulation.cluster import Cluster
from simulation.network import CLIENTS, Packet
from simulation.topology import Group
from simulation.world import MS, SECOND
from veritydb.types import entry as entries
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.outcome import Code
from veritydb.vsr.config import Status

OPERATOR = CLIENTS + 500
PATIENCE = 500 * MS
REFUSED = 20 * MS
"""So long after a refusal the next replica is asked, or the one that was named instead."""
HELD_BACK = 3 * SECOND
"""After so long a replica is replaced that may not start before others hold what it forgot."""


class Operator:
    """Replaces one replica at a time: the logged command first, the empty replica then."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is to be replaced."""
        self._cluster = cluster
        self._world = cluster.world
        self._job: tuple[Group, int, int] | None = None
        self._attempts = self._before = self._target = 0
        self._held: dict[tuple[int, int, int], int] = {}
        self.replaced: Callable[[Group, int], None] = lambda group, index: None
        """Called when a replacement is about to start."""

    def busy(self, group: int) -> bool:
        """Whether a replica of the group is being replaced, or has not caught up yet."""
        if self._job is not None and self._job[0].number == group:
            return True
        return any(key[0] == group for key in self.joining())

    def joining(self) -> list[tuple[int, int]]:
        """Replicas that were replaced and have no voice yet, or not all of the history."""
        return [key for key in sorted(self._cluster.replaced) if not self._joined(key)]

    def _joined(self, key: tuple[int, int]) -> bool:
        group = self._cluster.group(key[0])
        host = self._cluster.boxes[group.nodes[key[1]]].hosts.get(key[0])
        if host is None or host.node.replica.status is not Status.NORMAL:
            return False
        joined = key not in self._cluster.gaps
        if joined:
            self._cluster.replaced.discard(key)
        return joined

    def replace(self, group: Group, index: int) -> None:
        """Take a replica's disk away and see to it that it gets a successor."""
        if self._job is not None:
            self._world.after(SECOND, self.replace, group, index)
            return
        cluster = self._cluster
        box = cluster.boxes[group.nodes[index]]
        key = (group.number, index)
        self._world.note(f"g{group.number}r{index}", (), "to be replaced")
        if self._world.choices.choose("replace.first", 2) or key in cluster.ruined:
            box.crash("disk lost")
            box.lost.add(group.number)
            self._world.after(cluster.downtime(), box.start)
        cluster.retiring.add(key)
        self._job = (group, index, cluster.incarnations[key] + 1)
        self._before = self._attempts
        self._target = self._attempts
        self._ask()

    def held_back(self, group: Group, index: int) -> None:
        """Replace a replica whose disk has forgotten, once nobody can be waited for any more.

        It may have been the only one to go on to a view: in the one before, all is well without it.
        """
        now, box = self._world.now, self._cluster.boxes[group.nodes[index]]
        since = self._held.setdefault((group.number, index, box.life), now)
        if self._job is None and now - since >= HELD_BACK:
            self._world.count("held-back.replaced")
            self.replace(group, index)

    def _ask(self) -> None:
        """Ask one replica after the other until the command is in the log."""
        if self._job is None:
            return
        group, index, incarnation = self._job
        self._attempts += 1
        header = EntryHeader(kind=Kind.REPLACE_REPLICA, events=index, expected=incarnation)
        entry = entries.with_body(header, b"")
        target = self._target % len(group.nodes)
        call = Call(self._attempts, group.number, target)
        self._cluster.network.send(Packet(OPERATOR, group.nodes[target], call, entry.data))
        self._world.after(PATIENCE, self._retry, self._attempts)

    def _retry(self, attempts: int) -> None:
        if attempts == self._attempts:
            self._target += 1
            self._ask()

    def _refused(self, tag: Refused) -> None:
        """Whoever cannot do it may know who can."""
        if tag.key != self._attempts or self._job is None:
            return
        # Nothing else comes of this attempt.
        self._attempts += 1
        self._target = self._target + 1 if tag.redirect is None else tag.redirect
        self._world.after(REFUSED, self._again, self._attempts)

    def _again(self, attempts: int) -> None:
        if attempts == self._attempts:
            self._ask()

    def receive(self, tag: object) -> None:
        """An answer: done, or done before, or not yet."""
        if isinstance(tag, Refused):
            self._refused(tag)
        if self._job is None or not isinstance(tag, Answered):
            return
        if tag.key <= self._before:
            # Late, and about another replacement.
            return
        if tag.outcome.code not in (Code.OK, Code.BAD_COMMAND):
            return
        # A refusal means that an earlier attempt, whose answer was lost, has done it.
        group, index, incarnation = self._job
        self._job = None
        cluster = self._cluster
        key = (group.number, index)
        self._world.note(f"g{group.number}r{index}", (), "replaced by incarnation", incarnation)
        box = cluster.boxes[group.nodes[index]]
        box.crash("replaced")
        cluster.rotten = {at: what for at, what in cluster.rotten.items() if at[0] != key}
        cluster.ruined.discard(key)
        cluster.retiring.discard(key)
        cluster.replaced.add(key)
        cluster.format(group, index, incarnation)
        box.lost.discard(group.number)
        self._world.after(SECOND // 10, box.start)
        self.replaced(group, index)
