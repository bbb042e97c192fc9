"""Disks that take back what they called durable, all on one machine.

No replica can notice by itself that it has forgotten. Before such a machine comes up again, enough
others must hold what it had promised (`simulation.ledger`); then nothing may be lost, and whoever
remembers its word has to confront it.
"""

from collections.abc import Callable, Mapping

from simulation.checkers.base import Replica
from simulation.disk import SECTOR, SimDisk, lose_everything
from simulation.nemesis.stage import Family, Stage, Strike
from simulation.world import MS, SECOND
from veritydb.storage import names

WAITS, WAITS_MAX = 20 * MS, 1 * SECOND
"""How long the power holds at a time, and altogether, while nothing was written to be lost."""


class Promises(Family):
    """What is durable, says the disk, and is not."""

    def __init__(self, stage: Stage) -> None:
        """Nothing is lost yet."""
        super().__init__(stage)
        self._put_back_at = -1
        """When disks were put back; copies from before that are not used any more."""
        self._at_cut = False
        """Whether what is written to the journal is lost from the next cut of a log on."""
        self.cluster.before_cut = self._lose_cut

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {
            "lying-sync": self._lying_sync,
            "lost-write": self._lost_write,
            "misdirected-write": self._misdirected_write,
            "rollback": self._rollback,
        }

    def stop(self) -> None:
        """Disks are honest from now on. What they owe is still lost with the next power cut."""
        for disk in self.cluster.disks.values():
            disk.lying = False
            disk.doom = 0
        self._at_cut = False

    def _lying_sync(self) -> None:
        """For a while nothing reaches the disk, then the power fails."""
        keys = self._writing()
        for key in keys:
            self._suspect(key)
            self.cluster.disks[key].lying = True
        if not keys:
            return
        long = self.choices.log_uniform("lying.long", 5 * MS, 1 * SECOND)
        self._fell_in_time(long, "lying disk", self._honest)

    def _honest(self) -> None:
        for disk in self.cluster.disks.values():
            disk.lying = False

    def _lost_write(self) -> None:
        """Some writes are seen until the power is cut, and then were never made."""
        # What a log held before it was cut, and holds again, may fit nothing else.
        self._at_cut = True
        keys = self._writing()
        for key in keys:
            self._suspect(key)
            self.cluster.disks[key].doom = self.choices.between("lost.writes", 1, 3)
        if keys:
            self._fell_soon()

    def _lose_cut(self, key: Replica, ops: int) -> None:
        disk = self.cluster.disks[key]
        if self._at_cut and not disk.doom and key in self.stage.victims():
            self._at_cut = False
            self._suspect(key)
            # Of several ops the blanks alone: what comes next takes the first one's place, and the
            # others no longer follow. Of one also the record that takes its place.
            disk.doom = self.choices.pick("lost.cut", (1, 1, 5) if ops > 1 else (2, 2, 5))
            disk.doomed_name = names.JOURNAL
            long = self.choices.log_uniform("lost.soon", 1 * MS, 80 * MS)
            self.world.after(long, self._fell, "power cut")

    def _misdirected_write(self) -> None:
        """A write hits another place, of the same file or another one."""
        keys = self._writing()
        for key in keys:
            disk = self.cluster.disks[key]
            there = list(disk.contents())
            if there:
                name, at, data = self.choices.pick("stray.file", there)
                self._suspect(key)
                disk.doom = 1
                where = self.choices.choose("stray.at", len(data) // SECTOR)
                disk.stray = (name, at // SECTOR + where)
        if keys:
            self._fell_soon()

    def _rollback(self) -> None:
        """The disks of a machine are put back as they were a while ago."""
        copies, now = [], self.world.now
        for key in self.stage.victims():
            copy = self.cluster.disks[key].clone()
            copy.crash(lose_everything)
            copies.append((key, self.cluster.incarnations[key], copy))
        long = self.choices.log_uniform("rollback.after", 20 * MS, 2 * SECOND)
        self.world.after(long, self._put_back, copies, now)

    def _put_back(self, copies: list[tuple[Replica, int, SimDisk]], taken: int) -> None:
        able = self.stage.victims()
        if self.stage.stopped or not able or taken <= self._put_back_at:
            return
        self._put_back_at = self.world.now
        self._fell("rolled back")
        for key, incarnation, copy in copies:
            if key in able and self.cluster.incarnations[key] == incarnation:
                self._suspect(key)
                self.stage.fired("rollback")
                self.cluster.put_disk(key, copy)

    def _suspect(self, key: Replica) -> None:
        self.cluster.ruined.add(key)
        self.cluster.suspects.add(key)

    def _writing(self) -> list[Replica]:
        """The victim's replicas, if they write just now and their disks do not lie already."""
        keys, box = self.stage.victims(), self.cluster.boxes[self.stage.victim]
        able = box.up and not box.paused and all(key[0] in box.hosts for key in keys)
        disks = [self.cluster.disks[key] for key in keys]
        return keys if able and not any(disk.lying or disk.doom for disk in disks) else []

    def _fell_soon(self) -> None:
        long = self.choices.log_uniform("lost.fall", 1 * MS, 500 * MS)
        self._fell_in_time(long, "power cut", lambda: None)

    def _fell_in_time(self, long: int, why: str, then: Callable[[], None]) -> None:
        """The power fails after so long, or (within limits) once there is something to lose."""
        box = self.cluster.boxes[self.stage.victim]
        life, last = box.life, self.world.now + max(long, WAITS_MAX)

        def fell() -> None:
            alive = box.up and box.life == life and not self.stage.stopped
            owes = any(self.cluster.disks[key].owes() for key in self.stage.victims())
            if alive and not owes and self.world.now < last:
                self.world.after(WAITS, fell)
                return
            if alive:
                self._fell(why)
            then()

        self.world.after(long, fell)

    def _fell(self, why: str) -> None:
        box = self.cluster.boxes[self.stage.victim]
        self.stage.fell(box, why)
