"""What the people do who run the cluster, well or badly."""

from collections.abc import Mapping

from simulation.host import Host
from simulation.nemesis.squeeze import Squeeze
from simulation.nemesis.stage import Family, Stage, Strike
from simulation.reclaim import erase
from simulation.topology import Group
from simulation.world import Failure
from veritydb.storage.errors import Damaged, NotFormatted, WrongIdentity
from veritydb.storage.store import Store
from veritydb.vsr.events import StepDown

WIPES_MAX = 1


class Operations(Family):
    """Replacing a replica, mixing versions, mixing up files."""

    def __init__(self, stage: Stage, squeeze: Squeeze) -> None:
        """`squeeze` finds the worst moment."""
        super().__init__(stage)
        self._squeeze = squeeze
        self._wipes = 0
        self._late: list[int] | None = None
        stage.operator.replaced = self._replaced

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {
            "wipe": self._wipe,
            "foreign-files": self._foreign_files,
            "kernel": self._kernel,
            "erase": self._erase,
        }

    def _wipe(self) -> None:
        """A disk is lost and replaced by an empty one."""
        group = self.choices.pick("wipe.group", self.cluster.groups)
        index = self.choices.choose("wipe.index", len(group.nodes))
        broken = {key for key, _ in self.cluster.rotten} | self.cluster.ruined
        hurt = {key[1] for key in broken if key[0] == group.number}
        if len(hurt) == 1:
            index = min(hurt)
        unable = len(hurt) > 1 or self.stage.gaps(group) or self.stage.operator.busy(group.number)
        if len(group.nodes) < 3 or self._wipes >= WIPES_MAX or unable:
            return
        self._wipes += 1
        self.stage.fired("wipe")
        self.stage.operator.replace(group, index)
        if self.cluster.boxes[group.nodes[index]].up and self.choices.choose("wipe.moment", 2):
            # The one that is to go and the rest are a quorum, so that the command gets through.
            others = [node for at, node in enumerate(group.nodes) if at != index]
            self._late = self.choices.sample("wipe.late", others, len(group.nodes) // 2)
            for node in self._late:
                self.cluster.boxes[node].pause()

    def _replaced(self, group: Group, index: int) -> None:
        """A replacement is about to start, with an empty disk."""
        late, self._late = self._late, None
        if late is not None and not self.stage.stopped:
            self._squeeze.end(group, index, late, lambda group, index: None)

    def _foreign_files(self) -> None:
        """A node is started with the files of another one: refused, and nothing is touched."""
        mine = self.choices.pick("foreign.mine", sorted(self.cluster.disks))
        others = [key for key in sorted(self.cluster.disks) if key != mine]
        if not others:
            return
        theirs = self.choices.pick("foreign.theirs", others)
        disk = self.cluster.disks[theirs].clone()
        before = disk.operations
        group = self.cluster.group(mine[0])
        try:
            Store.open(disk, self.cluster.identity(group, mine[1]))
        except WrongIdentity:
            self.stage.fired("foreign-files")
        except (Damaged, NotFormatted):
            # Those files tell nothing about whose they are.
            return
        else:
            raise Failure("foreign-files", f"{mine} starts with the files of {theirs}")
        if disk.operations != before:
            raise Failure("foreign-files", f"{mine} changes the files of {theirs}")

    def _erase(self) -> None:
        """Everybody gives back the space of what retention gave up."""
        for box in self.cluster.boxes:
            for host in list(box.hosts.values()):
                box.run(box.life, self._erase_at, host)

    def _erase_at(self, host: Host) -> None:
        wanted = erase(host, self.cluster.indexes[host.key])
        if wanted:
            self.stage.fired("erase")
            number = host.group.number
            self.cluster.given_up.update((number, op, entry) for op, entry in wanted)

    def _kernel(self) -> None:
        """One node gets a newer program; once it leads, the others cannot follow before they do."""
        newer = [box for box in self.cluster.boxes if box.newest]
        if not newer:
            box = self.stage.up("kernel.who")
            if box is not None:
                box.newest = True
                self.world.note(box.name, (), "newer program")
                self.stage.fell(box, "upgraded")
            return
        for box in self.cluster.boxes:
            if not box.newest and box.leads:
                for host in list(box.hosts.values()):
                    box.run(box.life, host.step, StepDown())
