"""What was written and synced is damaged later, at any moment or at the worst one.

The budget keeps a run recoverable. Either frames rot anywhere, but none on two replicas at a time;
or all kinds of things are damaged, but on one machine.
"""

from collections.abc import Mapping

from simulation.checkers.base import Replica
from simulation.disk import SECTOR, SimDisk
from simulation.nemesis.squeeze import Squeeze
from simulation.nemesis.stage import Family, Stage, Strike
from simulation.topology import Group
from veritydb.storage import names, superblock
from veritydb.storage.journal import RECORD_BYTES
from veritydb.types.frame import Header
from veritydb.types.ids import Op

ON_ONE_MACHINE = (
    *("superblock", "file-lost", "misread"),
    *("lying-sync", "lost-write", "misdirected-write", "rollback"),
)
"""Classes of damage that the victim alone suffers. Where there is one, frames rot only there."""
FATAL_MAX = 2


class Rot(Family):
    """Damage to files."""

    def __init__(self, stage: Stage, squeeze: Squeeze) -> None:
        """`squeeze` finds the worst moment."""
        super().__init__(stage)
        self.squeeze = squeeze
        alone = any(stage.plan.has(fault) for fault in ON_ONE_MACHINE)
        self._rot_all = alone or self.choices.choose("rot.all", 2) == 1

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {"rot": self._rot, "superblock": self._superblock, "file-lost": self._file_lost}

    def _rot(self) -> None:
        """Damage something, at any moment or at the worst one."""
        groups = [
            group
            for group in self.cluster.groups
            if not self._rot_all or self.stage.victim in group.nodes
        ]
        group = self.choices.pick("rot.group", groups)
        index = self.choices.choose("rot.index", len(group.nodes))
        if self._rot_all:
            index = group.nodes.index(self.stage.victim)
        if self.choices.choose("rot.moment", 2) or self.squeeze.under_way:
            self._damage(group, index)
        else:
            self.squeeze.begin(group, index, self._damage)

    def _damage(self, group: Group, index: int) -> None:
        """Rot in something that was synced: a frame, or on one machine a record too."""
        key: Replica = (group.number, index)
        what = self.choices.choose("rot.what", 4)
        if self.stage.operator.busy(group.number) or self.stage.gaps(group):
            return
        # What a frame has to be tells the next record, too, and is in memory for the last ones.
        both = self.choices.choose("rot.both", 3)
        header = self._rot_where(group, key, tail=both < 2)
        if header is None:
            return
        self.stage.fired("rot")
        if what or not self._rot_all:
            at = header.position + self.choices.choose("rot.at", 224 + header.body_len)
            self._rot_bit(key, header, names.segment(header.segment), at)
        else:
            at = header.op * RECORD_BYTES + self.choices.choose("rot.record", 200)
            self.cluster.ruined.add(key)
            self._rot_bit(key, header, names.JOURNAL, at)
            if both == 2:
                # What the frame before has to be, only this record told.
                before = self.cluster.recorded(key, Op(max(1, header.op - 1)))
                both = before is not None and self._may_rot(key, before)
                header = before or header
            if both:
                at = header.position + self.choices.choose("rot.at", 224 + header.body_len)
                self._rot_bit(key, header, names.segment(header.segment), at)

    def _rot_where(self, group: Group, key: Replica, tail: bool) -> Header | None:
        """Choose an op that is durable there and rotten nowhere else: mostly one of the last."""
        host = self.cluster.boxes[group.nodes[key[1]]].hosts.get(group.number)
        log = self.cluster.watch.log.get(group.number, [])
        header = None
        if host is not None and tail and self.choices.choose("rot.tail", 3):
            op = Op(max(1, host.store.head - self.choices.choose("rot.back", 3)))
            header = self.cluster.recorded(key, op)
        elif log:
            header = log[self.choices.choose("rot.op", len(log))].header
        return header if header is not None and self._may_rot(key, header) else None

    def _may_rot(self, key: Replica, header: Header) -> bool:
        """Whether an op is durable there and rotten nowhere."""
        rotten = any((at[0], op) == (key[0], header.op) for at, op in self.cluster.rotten)
        return self.cluster.holds(key, header) and not rotten

    def _rot_bit(self, key: Replica, header: Header, name: str, at: int) -> None:
        self.world.count("rot." + name.split("/")[0])
        self.world.note(f"g{key[0]}r{key[1]}", (), "rot at op", header.op, name, at)
        self.cluster.rotten[(key, header.op)] = header.hash
        mask = 1 << self.choices.choose("rot.bit", 8)
        self.cluster.disks[key].rot(name, at, mask)

    def _often_enough(self, fault: str) -> bool:
        """Whether more of it would only keep a replica from ever being whole again."""
        return self.world.counts.get("fault." + fault, 0) >= FATAL_MAX

    def _superblock(self) -> None:
        """Any of the four copies, up to all of them: it goes on, or says that it cannot."""
        keys = [] if self._often_enough("superblock") else self.stage.victims()
        for key in keys:
            many = self.choices.pick("superblock.many", (1, 2, 2, 2, 3, 4))
            hit = self.choices.sample("superblock.copies", range(superblock.COPIES), many)
            self.stage.fired("superblock")
            self.cluster.ruined.add(key)
            disk = self.cluster.disks[key]
            self.world.note(f"g{key[0]}r{key[1]}", (), "damaged copies", *sorted(hit))
            for copy in hit:
                at = copy * superblock.COPY_BYTES + self.choices.choose("superblock.at", 1024)
                if disk.size(names.SUPERBLOCK) is None:
                    continue
                if self.choices.choose("superblock.how", 2):
                    disk.rot_sector(names.SUPERBLOCK, at // SECTOR)
                else:
                    disk.rot(names.SUPERBLOCK, at, 1 << self.choices.choose("rot.bit", 8))
        if keys:
            self._fell()

    def _file_lost(self) -> None:
        """A file is gone, empty, cut short or full of wrong bits when the process comes back."""
        keys = [] if self._often_enough("file-lost") else self.stage.victims()
        if keys:
            self._fell()
        for key in keys:
            disk = self.cluster.disks[key]
            there = disk.names("")
            if there:
                name = self.choices.pick("lost.file", there)
                self.stage.fired("file-lost")
                self._lose(key, name)

    def _lose(self, key: Replica, name: str) -> None:
        disk = self.cluster.disks[key]
        # Single frames of segments are what `rot` is about; nobody looks at what pads them.
        how = self.choices.choose("lost.how", 3 if name.endswith(".log") else 4)
        self.world.note(f"g{key[0]}r{key[1]}", (), "file lost", name, how)
        self.cluster.ruined.add(key)
        for frame in list(self.cluster.frames.values()):
            header = frame.header
            holds = name in (names.JOURNAL, names.segment(header.segment))
            if header.group == key[0] and holds and self.cluster.survives(key, header):
                self.cluster.rotten[(key, header.op)] = header.hash
        if how == 0:
            disk.vanish(name)
        elif how == 3:
            self._rot_all_over(disk, name)
        else:
            size = disk.size(name) or 0
            disk.truncate(name, 0 if how == 1 else self.choices.choose("lost.size", size + 1))

    def _rot_all_over(self, disk: SimDisk, name: str) -> None:
        """Some bits where there is something."""
        stretches = [(at, len(data)) for each, at, data in disk.contents() if each == name]
        for _ in range(self.choices.between("rot.bits", 1, 8) if stretches else 0):
            start, long = self.choices.pick("rot.stretch", stretches)
            at = start + self.choices.choose("rot.at", long)
            disk.rot(name, at, 1 << self.choices.choose("rot.bit", 8))

    def _fell(self) -> None:
        box = self.cluster.boxes[self.stage.victim]
        self.stage.fell(box, "damaged")
