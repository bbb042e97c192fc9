"""What storage needs from a disk: the files of one directory, by name."""

from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | memoryview


class DiskError(Exception):
    """The disk failed (EIO, or no space where space was reserved). Stop; never try a sync again."""


class DiskFull(Exception):
    """No space for a file to be created or to grow. Nothing is lost; try again later."""


class NoSuchFile(Exception):
    """There is no file of this name."""


class Disk(Protocol):
    """Files of one directory. Names are relative; `segments/1.log` lies in the folder `segments`.

    A write is visible to reads at once and durable after `sync(name)`, if the file's name is: that
    takes `sync_directory` after the file was created or renamed. A power cut keeps any subset of
    the 512-byte sectors that were written and not synced. One thread writes; any may read.
    """

    def read(self, name: str, at: int, size: int) -> bytes:
        """Return `size` bytes, fewer at the end of the file. Raises DiskError, NoSuchFile."""

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """Write all buffers one behind the other, beyond the end too. Raises DiskError."""

    def sync(self, name: str) -> None:
        """Make all writes to the file, and its size, durable. Raises DiskError."""

    def allocate(self, name: str, size: int) -> None:
        """Create the file or extend it to `size`; what is new reads as zeros. Raises DiskFull."""

    def size(self, name: str) -> int | None:
        """Return the file's size, None if there is none."""

    def names(self, prefix: str) -> list[str]:
        """Return the names of the files that begin with `prefix`, sorted."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name in the same folder, replacing what had it."""

    def remove(self, name: str) -> None:
        """Remove a file. Raises NoSuchFile."""

    def sync_directory(self, name: str) -> None:
        """Make the names in the folder that holds `name` durable."""

    def punch(self, name: str, at: int, size: int) -> None:
        """Make these bytes zero and give their blocks back where the file system can."""

    def next_data(self, name: str, at: int) -> int | None:
        """Return the first position from `at` on that may be other than zero, None if none is."""


def create(disk: Disk, name: str, size: int) -> None:
    """Create a file of zeros so that it is still there after a power cut. Raises DiskFull."""
    assert size > 0
    disk.allocate(name, size)
    disk.sync(name)
    disk.sync_directory(name)


SCAN_BYTES = 64 << 10
ZEROS = bytes(SCAN_BYTES)


def first_nonzero(disk: Disk, name: str, at: int, end: int) -> int | None:
    """Return the position of the first byte in [at, end) that is not zero."""
    assert at >= 0
    while at < end:
        found = disk.next_data(name, at)
        if found is None or found >= end:
            return None
        assert found >= at
        data = disk.read(name, found, min(SCAN_BYTES, end - found))
        if not data:
            return None
        # Comparing is many times faster than looking at each byte, and most are zero.
        if data != ZEROS[: len(data)]:
            return found + len(data) - len(data.lstrip(b"\0"))
        at = found + len(data)
    return None


def clear(disk: Disk, name: str, at: int, end: int) -> bool:
    """Overwrite with zeros what is not zero in [at, end), by sectors. Returns whether any was."""
    assert at % 512 == 0 and end % 512 == 0, "sectors are cleared whole"
    cleared = False
    while (found := first_nonzero(disk, name, at, end)) is not None:
        start = found - found % 512
        data = disk.read(name, start, min(SCAN_BYTES, end - start)).rstrip(b"\0")
        at = start + -(-len(data) // 512) * 512
        disk.write(name, start, (bytes(at - start),))
        cleared = True
    return cleared
