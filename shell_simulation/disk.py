"""The disk of one replica, as the threads of its process see it: slow, and sometimes broken."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from shell_simulation.threads import current
from simulation.disk import SimDisk
from simulation.world import US
from veritydb.storage.disk import Buffer, DiskError

READ_MEAN = 60 * US
WRITE_MEAN = 30 * US
SYNC_MEAN = 400 * US


class Owner(Protocol):
    """The process whose files these are."""

    def alive(self) -> None:
        """Raise Died if it is not."""

    def disk_delay(self, mean: int) -> int:
        """How long an operation takes."""

    def misread(self) -> bool:
        """Whether the next read is to fail."""

    def disk_failed(self) -> None:
        """An operation reported an error."""


class ThreadedDisk:
    """Implements `veritydb.server.machine.OpenDisk` over a `SimDisk`.

    Before each operation the thread that asks for it lets others run. On the main thread, where a
    start reads what there is, operations take no time.
    """

    def __init__(self, disk: SimDisk, owner: Owner) -> None:
        """`disk` outlives this: it is what the next process of the node finds."""
        self._disk = disk
        self._owner = owner

    def close(self) -> None:
        """Nothing is kept open."""

    def _before(self, mean: int) -> None:
        thread = current()
        if thread is not None:
            thread.park(self._owner.disk_delay(mean))
        self._owner.alive()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except DiskError:
            self._owner.disk_failed()
            raise

    def read(self, name: str, at: int, size: int) -> bytes:
        """See `Disk`."""
        self._before(READ_MEAN)
        if current() is not None and self._owner.misread():
            self._owner.disk_failed()
            raise DiskError(f"cannot read {name}: simulated EIO")
        return self._disk.read(name, at, size)

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        self._before(WRITE_MEAN)
        with self._failing():
            self._disk.write(name, at, buffers)

    def sync(self, name: str) -> None:
        """See `Disk`."""
        self._before(SYNC_MEAN)
        with self._failing():
            self._disk.sync(name)

    def allocate(self, name: str, size: int) -> None:
        """See `Disk`."""
        self._before(WRITE_MEAN)
        with self._failing():
            self._disk.allocate(name, size)

    def size(self, name: str) -> int | None:
        """See `Disk`."""
        return self._disk.size(name)

    def names(self, prefix: str) -> list[str]:
        """See `Disk`."""
        return self._disk.names(prefix)

    def rename(self, old: str, new: str) -> None:
        """See `Disk`."""
        self._before(WRITE_MEAN)
        with self._failing():
            self._disk.rename(old, new)

    def remove(self, name: str) -> None:
        """See `Disk`."""
        self._before(WRITE_MEAN)
        with self._failing():
            self._disk.remove(name)

    def sync_directory(self, name: str) -> None:
        """See `Disk`."""
        self._before(SYNC_MEAN)
        with self._failing():
            self._disk.sync_directory(name)

    def punch(self, name: str, at: int, size: int) -> None:
        """See `Disk`."""
        self._before(WRITE_MEAN)
        with self._failing():
            self._disk.punch(name, at, size)

    def next_data(self, name: str, at: int) -> int | None:
        """See `Disk`."""
        return self._disk.next_data(name, at)
