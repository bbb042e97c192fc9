"""A disk in memory that forgets, when power fails, what was not synced."""

from collections.abc import Sequence

from veritydb.storage.disk import Buffer, NoSuchFile


class _File:
    """Contents up to the last byte that was written, and how to undo what was not synced."""

    __slots__ = ("data", "durable_size", "size", "undo")

    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0
        self.durable_size = 0
        self.undo: list[tuple[int, bytes]] = []

    def put(self, at: int, data: Buffer) -> None:
        end = at + len(data)
        known = self.data
        if at >= len(known):
            # Zeros until now: the common case, since a log grows at its end.
            known.extend(bytes(at - len(known)))
            self.undo.append((at, bytes(len(data))))
        else:
            self.undo.append((at, bytes(known[at:end]).ljust(len(data), b"\0")))
        known[at:end] = data
        if end > self.size:
            self.size = end

    def sync(self) -> None:
        self.undo.clear()
        self.durable_size = self.size

    def revert(self) -> None:
        for at, old in reversed(self.undo):
            self.data[at : at + len(old)] = old
        self.undo.clear()
        self.size = self.durable_size
        del self.data[self.size :]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


class MemoryDisk:
    """The files of one replica. Behaves as `storage.disk.Disk` says, and never fails."""

    def __init__(self) -> None:
        """Empty."""
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}

    def crash(self) -> None:
        """Power fails: what was not synced is lost, names included."""
        self._files = dict(self._durable)
        for file in self._files.values():
            file.revert()

    def _file(self, name: str) -> _File:
        file = self._files.get(name)
        if file is None:
            raise NoSuchFile(name)
        return file

    def read(self, name: str, at: int, size: int) -> bytes:
        """See Disk."""
        file = self._file(name)
        size = max(0, min(size, file.size - at))
        found = bytes(file.data[at : at + size])
        return found + bytes(size - len(found))

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See Disk."""
        file = self._files.setdefault(name, _File())
        for data in buffers:
            file.put(at, data)
            at += len(data)

    def sync(self, name: str) -> None:
        """See Disk."""
        self._file(name).sync()

    def allocate(self, name: str, size: int) -> None:
        """See Disk."""
        file = self._files.setdefault(name, _File())
        file.size = max(file.size, size)

    def size(self, name: str) -> int | None:
        """See Disk."""
        file = self._files.get(name)
        return None if file is None else file.size

    def names(self, prefix: str) -> list[str]:
        """See Disk."""
        return sorted(name for name in self._files if name.startswith(prefix))

    def rename(self, old: str, new: str) -> None:
        """See Disk."""
        file = self._file(old)
        del self._files[old]
        self._files[new] = file

    def remove(self, name: str) -> None:
        """See Disk."""
        self._file(name)
        del self._files[name]

    def sync_directory(self, name: str) -> None:
        """See Disk."""
        folder = _folder(name)
        kept = {key: file for key, file in self._durable.items() if _folder(key) != folder}
        here = {key: file for key, file in self._files.items() if _folder(key) == folder}
        self._durable = kept | here

    def punch(self, name: str, at: int, size: int) -> None:
        """See Disk."""
        file = self._file(name)
        end = min(at + size, len(file.data))
        if end > at:
            file.put(at, bytes(end - at))

    def next_data(self, name: str, at: int) -> int | None:
        """See Disk."""
        file = self._file(name)
        return at if at < len(file.data) else None
