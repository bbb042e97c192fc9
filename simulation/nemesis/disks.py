"""Disks that fail, fill up, or lie once. What fails ends the process: nothing is tried twice."""

from collections.abc import Mapping

from simulation.cluster import Box
from simulation.disk import EIO, SECTOR, SimDisk
from simulation.nemesis.stage import Family, Strike
from simulation.segments import SMALL
from simulation.world import MS, SECOND
from veritydb.storage.disk import DiskError


class Disks(Family):
    """Faults that the disk itself reports, and reads that come out wrong once."""

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {
            "eio-read": self._eio_read,
            "eio-write": self._eio_write,
            "fsync-error": self._fsync_error,
            "disk-full": self._disk_full,
            "misread": self._misread,
        }

    def stop(self) -> None:
        """Disks have space, and do what they say."""
        for disk in self.cluster.disks.values():
            disk.capacity = None
            disk.errors = {}
            disk.sync_error_in = None
            disk.reading = None

    def _disk(self, label: str) -> SimDisk | None:
        host = self.stage.host(label)
        return self.cluster.disks[host.key] if host is not None else None

    def _eio_read(self) -> None:
        """The next read fails; the same read would succeed later."""
        host = self.stage.host("eio.who")
        if host is None:
            return
        disk = self.cluster.disks[host.key]
        self._read_soon(self.cluster.boxes[host.machine.index])

        def fail(data: bytes) -> bytes:
            self.stage.fired("eio-read")
            raise DiskError(f"{EIO} on a read")

        disk.reading = fail

    def _read_soon(self, box: Box) -> None:
        """Half of the time the next read is to be one of a start."""
        if box.up and self.choices.choose("read.start", 2):
            self.stage.killed(box)

    def _eio_write(self) -> None:
        """Some operation soon fails, a write possibly after a part of it was done."""
        disk = self._disk("eio.who")
        if disk is not None:
            at = disk.operations + self.choices.choose("eio.when", 12)
            disk.short = self.choices.choose("eio.short", 2) == 1
            disk.errors[at] = DiskError(f"{EIO} on a write")

    def _fsync_error(self) -> None:
        """A sync fails, and the page cache calls clean what never reached the disk."""
        disk = self._disk("sync.who")
        if disk is not None and disk.sync_error_in is None:
            disk.sync_error_in = self.choices.choose("sync.when", 6)

    def _disk_full(self) -> None:
        """Nothing can be allocated for a while, in the middle of whatever goes on."""
        box = self.stage.box("full.who")
        struck = self.world.counts.get("fault.disk-full", 0)
        for group in self.cluster.groups:
            if box.index in group.nodes:
                disk = self.cluster.disks[(group.number, group.nodes.index(box.index))]
                left = self.choices.choose("full.left", 2) * SMALL if struck else 0
                disk.capacity = disk.used() + left
                long = self.choices.log_uniform("full.long", 100 * MS, 3 * SECOND)
                self.world.after(long, self._space, disk)

    def _space(self, disk: SimDisk) -> None:
        disk.capacity = None

    def _misread(self) -> None:
        """One read comes back with some bits wrong; the disk itself is sound."""
        keys = self.stage.victims()
        if not keys:
            return
        key = self.choices.pick("misread.who", keys)
        disk = self.cluster.disks[key]
        self.cluster.ruined.add(key)
        self._read_soon(self.cluster.boxes[self.stage.victim])
        where = self.choices.choose("misread.where", 1 << 30)
        bit = 1 << self.choices.choose("misread.bit", 8)
        whole = self.choices.choose("misread.sector", 3) == 2

        def wrong(data: bytes) -> bytes:
            self.stage.fired("misread")
            at = where % len(data)
            if whole:
                start = at - at % SECTOR
                noise = bytes(byte ^ 0x5A for byte in data[start : start + SECTOR])
                return data[:start] + noise + data[start + SECTOR :]
            return data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]

        disk.reading = wrong
