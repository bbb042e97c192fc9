"""A disk in memory that does to a replica what real disks do.

A write is visible at once and durable after `sync`; a power cut keeps, sector by sector, any of the
contents that a sector had since. Names likewise: a created, renamed or removed file is so for
certain only after `sync_directory`, and a power cut keeps a prefix of what a folder went through.
Zeros cost nothing, so files of 64 MiB are cheap. Everything that chance decides comes in through a
function.
"""

from collections.abc import Callable, Iterator, Sequence

from veritydb.storage.disk import Buffer, DiskError, DiskFull, NoSuchFile

SECTOR = 512
ZERO = bytes(SECTOR)
EIO = "input/output error"
Choose = Callable[[int], int]
"""Returns one of 0 .. n-1."""


class PowerCut(Exception):
    """Power failed before the operation. What happens to unsynced sectors, `SimDisk.crash` says."""


def lose_everything(n: int) -> int:
    """Choose what was durable before."""
    return 0


def keep_everything(n: int) -> int:
    """Choose what was written last."""
    return n - 1


class _File:
    """Contents as a reader sees them, and what else a power cut may make of them."""

    __slots__ = ("doomed", "durable_size", "ghosts", "lies", "pending", "sectors", "size")

    def __init__(self) -> None:
        self.sectors: dict[int, bytes] = {}
        # Every content since the last sync of a sector that was written, the durable one first.
        self.pending: dict[int, list[bytes]] = {}
        # After a failed sync the page cache calls these clean, but the disk has the content here.
        self.ghosts: dict[int, bytes] = {}
        # Sectors that a sync said were durable with the content here, and are not.
        self.lies: dict[int, bytes] = {}
        # Sectors whose last write will never reach the disk, whatever is synced.
        self.doomed: set[int] = set()
        self.size = 0
        self.durable_size = 0

    def clone(self) -> "_File":
        other = _File()
        other.sectors = dict(self.sectors)
        other.pending = {at: list(versions) for at, versions in self.pending.items()}
        other.ghosts, other.lies = dict(self.ghosts), dict(self.lies)
        other.doomed = set(self.doomed)
        other.size, other.durable_size = self.size, self.durable_size
        return other

    def put(self, sector: int, content: bytes) -> None:
        old = self.sectors.get(sector, ZERO)
        if self.doomed:
            self.doomed.discard(sector)
        if content == old and sector not in self.ghosts:
            return
        versions = self.pending.get(sector)
        if versions is None:
            versions = self.pending[sector] = [self.ghosts.pop(sector, old)]
        versions.append(content)
        self.set(sector, content)

    def set(self, sector: int, content: bytes) -> None:
        if content == ZERO:
            self.sectors.pop(sector, None)
        else:
            self.sectors[sector] = content

    def write(self, at: int, data: bytes) -> None:
        if not data:
            return
        self.size = max(self.size, at + len(data))
        first, skip = divmod(at, SECTOR)
        end = at + len(data)
        if skip or end % SECTOR:
            last = (end - 1) // SECTOR
            head = self.sectors.get(first, ZERO)[:skip]
            tail = self.sectors.get(last, ZERO)[end - last * SECTOR :]
            data = head + data + tail
        sectors, plain = self.sectors, not (self.ghosts or self.doomed)
        for number, start in enumerate(range(0, len(data), SECTOR), start=first):
            content = data[start : start + SECTOR]
            if not plain or content != sectors.get(number, ZERO):
                self.put(number, content)

    def read(self, at: int, size: int) -> bytes:
        end = min(at + size, self.size)
        if end <= at:
            return b""
        first, last = at // SECTOR, (end - 1) // SECTOR
        if first == last:
            return self.sectors.get(first, ZERO)[at - first * SECTOR : end - first * SECTOR]
        if last - first < 64:
            data = b"".join([self.sectors.get(n, ZERO) for n in range(first, last + 1)])
            return data[at - first * SECTOR : end - first * SECTOR]
        out = bytearray((last - first + 1) * SECTOR)
        for number in self.between(first, last):
            start = (number - first) * SECTOR
            out[start : start + SECTOR] = self.sectors[number]
        return bytes(memoryview(out)[at - first * SECTOR : end - first * SECTOR])

    def between(self, first: int, last: int) -> Iterator[int]:
        if last - first < len(self.sectors):
            return (number for number in range(first, last + 1) if number in self.sectors)
        return (number for number in self.sectors if first <= number <= last)

    def sync(self, lying: bool) -> None:
        if not lying and not self.lies and not self.doomed:
            self.pending = {}
        else:
            for sector in list(self.pending):
                if lying or sector in self.doomed:
                    self.lies[sector] = self.sectors.get(sector, ZERO)
                else:
                    del self.pending[sector]
                    self.lies.pop(sector, None)
        self.durable_size = self.size

    def crash(self, choose: Choose) -> tuple[bool, bool]:
        """Return whether a lost write, and whether a lying sync, took back what was promised."""
        for sector in sorted(self.pending):
            versions = self.pending[sector]
            doomed = sector in self.doomed
            self.set(sector, versions[0 if doomed else choose(len(versions))])
        broken = {at for at, said in self.lies.items() if self.sectors.get(at, ZERO) != said}
        lost = bool(broken & self.doomed), bool(broken - self.doomed)
        self.lies, self.doomed = {}, set()
        for sector, content in self.ghosts.items():
            self.set(sector, content)
        if self.size != self.durable_size and choose(2) == 0:
            self.size = self.durable_size
            limit = -(-self.size // SECTOR)
            self.sectors = {at: data for at, data in self.sectors.items() if at < limit}
        self.pending, self.ghosts, self.durable_size = {}, {}, self.size
        return lost


class _Change:
    """One change of a folder that is not durable yet: `name` becomes `file`, or nobody."""

    __slots__ = ("file", "gone", "name")

    def __init__(self, name: str, file: _File | None, gone: str | None = None) -> None:
        self.name = name
        self.file = file
        # A rename takes the old name away in the same moment.
        self.gone = gone

    def apply(self, names: dict[str, _File]) -> None:
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.file is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.file


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


class SimDisk:
    """Implements `veritydb.storage.disk.Disk`.

    `operations` counts what changes something. `errors` are raised instead of the operation of
    that number; a write may be done in part before, if `short`. After `sync_error_in` more syncs,
    one fails. `capacity` bounds the bytes of all files together; None is endless. `lying` makes
    `sync` say that it did what it did not do. `lose` so many next writes; `misdirect` the next one
    to another (name, position). A read that touches one of `unreadable` (name, sector) fails.
    `reading` gets what the next read found, once, and returns what the reader sees. The `doom` next
    writes (to `doomed_name`, if that is set) are seen by readers until the power is cut and never
    reach the disk; `stray` is a (name, sector) that the next of them hits instead.
    """

    def __init__(self) -> None:
        """An empty directory."""
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._changes: dict[str, list[_Change]] = {}
        self._cut_before: int | None = None
        self.operations = 0
        self.errors: dict[int, Exception] = {}
        self.capacity: int | None = None
        self.lying = False
        self.lose = 0
        self.misdirect: tuple[str, int] | None = None
        self.unreadable: set[tuple[str, int]] = set()
        self.short = False
        self.sync_error_in: int | None = None
        self.reading: Callable[[bytes], bytes] | None = None
        self.doom = 0
        self.doomed_name = ""
        self.stray: tuple[str, int] | None = None
        self.on_fault: Callable[[str], None] = lambda name: None
        """Called when a fault of this class has happened."""

    # -- faults

    def fail_after(self, n: int) -> None:
        """Let `n` more operations happen and cut the power before the one after them."""
        self._cut_before = self.operations + n

    def crash(self, choose: Choose) -> None:
        """Cut the power: decide what is left of all that was not synced, and go on from there."""
        names = self._durable
        for folder in sorted(self._changes):
            changes = self._changes[folder]
            for change in changes[: choose(len(changes) + 1)]:
                change.apply(names)
        lost = [names[name].crash(choose) for name in sorted(names)]
        if any(doomed for doomed, _ in lost):
            self.on_fault("lost-write")
        if any(lied for _, lied in lost):
            self.on_fault("lying-sync")
        self._files, self._durable, self._changes = dict(names), names, {}
        self.kill()

    @property
    def honest(self) -> bool:
        """Whether nothing stands here that the disk does not know it has to store."""
        files = self._files.values()
        return not self.lying and not any(f.lies or f.ghosts or f.doomed for f in files)

    def kill(self) -> None:
        """End the process that used it: what it wrote is seen by the next one, durable or not."""
        self._cut_before = self.sync_error_in = self.stray = None
        self.errors, self.short, self.doom, self.doomed_name = {}, False, 0, ""

    def dirty(self) -> int:
        """How many sectors a power cut could take back."""
        return sum(len(file.pending) for file in self._files.values())

    def owes(self) -> bool:
        """Whether a power cut would take back something that a sync called durable."""
        return any(file.lies for file in self._files.values())

    def rot(self, name: str, at: int, mask: int = 1) -> None:
        """Flip bits of one byte for good."""
        assert 0 < mask < 256
        file = self._file(name)
        sector, inside = divmod(at, SECTOR)

        def flipped(content: bytes) -> bytes:
            changed = bytes((content[inside] ^ mask,))
            return content[:inside] + changed + content[inside + 1 :]

        file.set(sector, flipped(file.sectors.get(sector, ZERO)))
        if sector in file.pending:
            file.pending[sector] = [flipped(content) for content in file.pending[sector]]

    def rot_sector(self, name: str, sector: int, content: bytes = ZERO) -> None:
        """Put something else into a sector for good."""
        assert len(content) == SECTOR
        file = self._file(name)
        file.set(sector, content)
        file.pending.pop(sector, None)
        file.lies.pop(sector, None)

    def truncate(self, name: str, size: int) -> None:
        """Cut a file short for good."""
        file = self._file(name)
        file.size = file.durable_size = min(file.size, size)
        limit = -(-size // SECTOR)
        for part in (file.sectors, file.pending, file.ghosts, file.lies):
            for sector in [sector for sector in part if sector >= limit]:
                del part[sector]

    def vanish(self, name: str) -> None:
        """Take a file away for good."""
        self._file(name)
        self._files.pop(name)
        self._durable.pop(name, None)

    def clone(self) -> "SimDisk":
        """An independent copy, without the faults that are still to come."""
        copies: dict[int, _File] = {}

        def copy(file: _File) -> _File:
            return copies.setdefault(id(file), file.clone())

        other = SimDisk()
        other._files = {name: copy(file) for name, file in self._files.items()}
        other._durable = {name: copy(file) for name, file in self._durable.items()}
        other._changes = {
            folder: [
                _Change(each.name, copy(each.file) if each.file else None, each.gone)
                for each in changes
            ]
            for folder, changes in self._changes.items()
        }
        other.operations = self.operations
        return other

    def used(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self._files.values())

    def stored(self) -> int:
        """The bytes that are other than zero, by sectors."""
        return sum(len(file.sectors) * SECTOR for file in self._files.values())

    def surviving(self, name: str, at: int, size: int) -> bytes:
        """What a power cut that takes all it can would leave of a stretch of a file."""
        file = self._durable.get(name)
        if file is None:
            return b""
        if not (file.pending or file.lies or file.ghosts):
            return file.read(at, size)
        pieces = []
        for number in range(at // SECTOR, (at + size - 1) // SECTOR + 1):
            versions = file.pending.get(number)
            content = versions[0] if versions else file.sectors.get(number, ZERO)
            pieces.append(file.lies.get(number) or file.ghosts.get(number, content))
        skip = at % SECTOR
        return b"".join(pieces)[skip : skip + size]

    def contents(self) -> Iterator[tuple[str, int, bytes]]:
        """Every stretch of sectors that is not zero: (file, position, bytes)."""
        for name in sorted(self._files):
            sectors = self._files[name].sectors
            start, pieces = 0, list[bytes]()
            for number in sorted(sectors):
                if pieces and number != start + len(pieces):
                    yield name, start * SECTOR, b"".join(pieces)
                    pieces = []
                if not pieces:
                    start = number
                pieces.append(sectors[number])
            if pieces:
                yield name, start * SECTOR, b"".join(pieces)

    # -- what storage calls

    def read(self, name: str, at: int, size: int) -> bytes:
        """See `Disk`."""
        file = self._file(name)
        if self.unreadable:
            last = (at + max(size, 1) - 1) // SECTOR
            if any(n == name and at // SECTOR <= s <= last for n, s in self.unreadable):
                raise DiskError(f"cannot read {name} at {at}")
        data = file.read(at, size)
        if self.reading is not None and data:
            seen, self.reading = self.reading, None
            return seen(data)
        return data

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        file = self._file(name)
        data = b"".join(buffers)
        try:
            self._operation()
        except DiskError:
            if self.short:
                file.write(at, data[: len(data) // 2 // SECTOR * SECTOR])
            self.on_fault("eio-write")
            raise
        if self.lose:
            self.lose -= 1
            return
        if self.misdirect is not None:
            (name, at), self.misdirect = self.misdirect, None
            file = self._file(name)
        file.write(at, data)
        if self.doom and self.doomed_name in ("", name):
            self.doom -= 1
            self._lose(file, at, len(data))

    def _lose(self, file: _File, at: int, size: int) -> None:
        """Let a write that was just made never reach its place, but perhaps another one."""
        sectors = range(at // SECTOR, (at + size - 1) // SECTOR + 1)
        file.doomed.update(sector for sector in sectors if sector in file.pending)
        if self.stray is not None:
            (name, first), self.stray = self.stray, None
            if name in self._files:
                for to, sector in enumerate(sectors, start=first):
                    self.rot_sector(name, to, file.sectors.get(sector, ZERO))
                self.on_fault("misdirected-write")

    def sync(self, name: str) -> None:
        """See `Disk`."""
        file = self._file(name)
        try:
            self._operation()
            if self.sync_error_in is not None:
                self.sync_error_in -= 1
                if self.sync_error_in < 0:
                    raise DiskError(f"{EIO} on a sync")
        except DiskError:
            for sector, versions in file.pending.items():
                file.ghosts[sector] = versions[0]
            file.pending = {}
            self.on_fault("fsync-error")
            raise
        file.sync(self.lying)

    def allocate(self, name: str, size: int) -> None:
        """See `Disk`."""
        self._operation()
        file = self._files.get(name)
        grown = size - (file.size if file is not None else 0)
        if self.capacity is not None and grown > 0 and self.used() + grown > self.capacity:
            self.on_fault("disk-full")
            raise DiskFull(f"no space for {grown} bytes of {name}")
        if file is None:
            file = _File()
            self._change(_Change(name, file))
        file.size = max(file.size, size)

    def size(self, name: str) -> int | None:
        """See `Disk`."""
        file = self._files.get(name)
        return None if file is None else file.size

    def names(self, prefix: str) -> list[str]:
        """See `Disk`."""
        return sorted(name for name in self._files if name.startswith(prefix))

    def rename(self, old: str, new: str) -> None:
        """See `Disk`."""
        self._operation()
        assert _folder(old) == _folder(new), "a rename stays in its folder"
        self._change(_Change(new, self._file(old), old))

    def remove(self, name: str) -> None:
        """See `Disk`."""
        self._operation()
        self._file(name)
        self._change(_Change(name, None))

    def sync_directory(self, name: str) -> None:
        """See `Disk`."""
        self._operation()
        for change in self._changes.pop(_folder(name), ()):
            change.apply(self._durable)

    def punch(self, name: str, at: int, size: int) -> None:
        """See `Disk`."""
        self._operation()
        file = self._file(name)
        end = min(at + size, file.size)
        inside = sorted(file.between(at // SECTOR, (end - 1) // SECTOR))
        for number in inside:
            start, stop = max(at, number * SECTOR), min(end, (number + 1) * SECTOR)
            file.write(start, bytes(stop - start))

    def next_data(self, name: str, at: int) -> int | None:
        """See `Disk`."""
        file = self._file(name)
        sector = at // SECTOR
        first = min((number for number in file.sectors if number >= sector), default=None)
        return None if first is None else max(at, first * SECTOR)

    def _file(self, name: str) -> _File:
        file = self._files.get(name)
        if file is None:
            raise NoSuchFile(f"no file {name}")
        return file

    def _change(self, change: _Change) -> None:
        change.apply(self._files)
        self._changes.setdefault(_folder(change.name), []).append(change)

    def _operation(self) -> None:
        number, self.operations = self.operations, self.operations + 1
        if self._cut_before is not None and number >= self._cut_before:
            raise PowerCut
        if number in self.errors:
            raise self.errors.pop(number)
