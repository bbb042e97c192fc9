"""The real disk: the files of one directory, for storage. Knows nothing of what is in them."""

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from veritydb.storage.disk import Buffer, DiskError, DiskFull, NoSuchFile

LOCK = "LOCK"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NOT_KNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
# The kernel takes so many buffers at once, and no more than 2 GiB.
BUFFERS_MAX = 1024
WRITE_BYTES_MAX = 1 << 30
OPEN_FILES_MAX = 8
# From this size on, what is written does not stay in the kernel's cache: readers of the log's end
# have it in memory already, and each page that the cache grows by costs more than its copy does.
UNCACHED_BYTES = 64 << 10
# Python has no name for it. Linux has it since 6.14, but first with races between dropping a page
# and writing it again; a log does not find out whether they could happen to it.
RWF_DONTCACHE = 0x80
UNCACHED_SINCE = (6, 16)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
KEEP_SIZE_AND_PUNCH = 0x01 | 0x02
ZEROS = bytes(1 << 20)

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class AlreadyRunning(Exception):
    """Another process uses the directory."""


class UnsafeName(ValueError):
    """A name that would lead out of the directory."""


class FileDisk:
    """Implements `veritydb.storage.disk.Disk` over a directory.

    One thread writes; any thread may read. Every error of the operating system becomes a
    DiskError, which is final, but for want of space in `allocate`.
    """

    def __init__(self, root: Path) -> None:
        """Use a directory, which is created if it is missing."""
        self._root = root
        self._writing: dict[str, int] = {}
        # Sizes of the files in `_writing`. Nobody else changes them: the directory is locked.
        self._sizes: dict[str, int] = {}
        self._uncached = RWF_DONTCACHE if kernel_version() >= UNCACHED_SINCE else 0
        self._lock: int | None = None
        with self._failing("create", str(root)):
            if not root.is_dir():
                root.mkdir(parents=True)
                _sync_folder(root.parent)

    @property
    def root(self) -> Path:
        """The directory."""
        return self._root

    def lock(self) -> None:
        """Keep every other process out until `close`. Raises AlreadyRunning."""
        assert self._lock is None
        with self._failing("lock", LOCK):
            held = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(held)
            raise AlreadyRunning(f"{self._root} is in use by another process") from None
        self._lock = held

    def close(self) -> None:
        """Close all files and let go of the lock."""
        while self._writing:
            self._forget(next(iter(self._writing)))
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- what storage calls

    def read(self, name: str, at: int, size: int) -> bytes:
        """See `Disk`."""
        path = self._place(name)
        with self._failing("read", name):
            # Not kept open: the writer may close its files while others read.
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(file, size, at)
                while len(data) < size and (
                    more := os.pread(file, size - len(data), at + len(data))
                ):
                    data += more
                return data
            finally:
                os.close(file)

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        # Here and in `sync` without a `with`: they are most of what is done per op.
        try:
            file = self._open(name)
            left = [memoryview(each) for each in buffers if len(each)]
            end = at + sum(map(len, left))
            if self._uncached and end - at >= UNCACHED_BYTES:
                # The last page is filled by the next write, which would have to read it again.
                whole, left = split(left, end - end % PAGE_BYTES - at)
                at = self._write(file, whole, at, self._uncached)
            self._write(file, left, at)
        except OSError as error:
            _fail("write", name, error)
        self._sizes[name] = max(self._sizes[name], end)

    def _write(self, file: int, left: list[memoryview], at: int, flags: int = 0) -> int:
        """Write all of the buffers and return where they end."""
        while left:
            count, size = 0, 0
            while count < min(len(left), BUFFERS_MAX) and size < WRITE_BYTES_MAX:
                size += len(left[count])
                count += 1
            try:
                written = os.pwritev(file, left[:count], at, flags)
            except OSError as error:
                if not flags or error.errno not in NOT_KNOWN:
                    raise
                # An older kernel, or a file system that has no such thing.
                self._uncached = flags = 0
                continue
            if written <= 0:
                raise OSError(errno.EIO, "nothing was written")
            at += written
            if written == size and count == len(left):
                break
            left = split(left, written)[1]
        return at

    def sync(self, name: str) -> None:
        """See `Disk`."""
        try:
            os.fdatasync(self._open(name))
        except OSError as error:
            _fail("sync", name, error)

    def allocate(self, name: str, size: int) -> None:
        """See `Disk`."""
        path = self._path(name)
        try:
            if not path.parent.is_dir():
                path.parent.mkdir()
                _sync_folder(self._root)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            file = os.open(path, flags, 0o600)
            try:
                if os.fstat(file).st_size < size:
                    os.posix_fallocate(file, 0, size)
                    if name in self._sizes:
                        self._sizes[name] = size
            finally:
                os.close(file)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise DiskFull(f"no space for {size} bytes of {name}") from error
            _fail("allocate", name, error)

    def size(self, name: str) -> int | None:
        """See `Disk`."""
        known = self._sizes.get(name)
        if known is not None:
            # Asked before every write: a system call would hand the interpreter to another thread.
            return known
        path = self._place(name)
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            _fail("look at", name, error)

    def names(self, prefix: str) -> list[str]:
        """See `Disk`. The lock is none of storage's files."""
        with self._failing("list", prefix):
            found = (
                path.relative_to(self._root).as_posix()
                for path in self._root.rglob("*")
                if path.is_file()
            )
            return sorted(name for name in found if name.startswith(prefix) and name != LOCK)

    def rename(self, old: str, new: str) -> None:
        """See `Disk`."""
        source, target = self._path(old), self._path(new)
        if source.parent != target.parent:
            raise UnsafeName("a rename stays in its folder")
        self._forget(old)
        self._forget(new)
        with self._failing("rename", old):
            os.rename(source, target)

    def remove(self, name: str) -> None:
        """See `Disk`."""
        path = self._path(name)
        self._forget(name)
        with self._failing("remove", name):
            path.unlink()

    def sync_directory(self, name: str) -> None:
        """See `Disk`."""
        folder = self._path(name).parent
        with self._failing("sync the folder of", name):
            _sync_folder(folder)

    def punch(self, name: str, at: int, size: int) -> None:
        """See `Disk`."""
        with self._failing("punch", name):
            file = self._open(name)
            size = min(size, os.fstat(file).st_size - at)
            if size <= 0 or _punch(file, at, size):
                return
        # The file system cannot; at least the bytes are gone.
        for start in range(at, at + size, len(ZEROS)):
            self.write(name, start, (ZEROS[: min(len(ZEROS), at + size - start)],))

    def next_data(self, name: str, at: int) -> int | None:
        """See `Disk`."""
        path = self._place(name)
        with self._failing("look into", name):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return None if at >= os.fstat(file).st_size else _next_data(file, at)
            finally:
                os.close(file)

    def _place(self, name: str) -> str:
        """Return where a file lies. Raises UnsafeName if that is not below the directory."""
        parts = name.split("/")
        if len(parts) > 2 or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise UnsafeName("not the name of a file in the directory")
        return f"{self._root}/{name}"

    def _path(self, name: str) -> Path:
        return Path(self._place(name))

    def _open(self, name: str) -> int:
        """Return the writer's descriptor of a file."""
        file = self._writing.pop(name, None)
        if file is None:
            file = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
            if len(self._writing) >= OPEN_FILES_MAX:
                self._forget(next(iter(self._writing)))
            self._sizes[name] = os.fstat(file).st_size
        # Put back at the end: the first is the one that was not used for longest.
        self._writing[name] = file
        return file

    def _forget(self, name: str) -> None:
        self._sizes.pop(name, None)
        file = self._writing.pop(name, None)
        if file is not None:
            os.close(file)

    @contextlib.contextmanager
    def _failing(self, verb: str, name: str) -> Iterator[None]:
        """Turn errors of the operating system into those that storage knows."""
        try:
            yield
        except OSError as error:
            _fail(verb, name, error)


def kernel_version() -> tuple[int, int]:
    """The version of the running Linux, (0, 0) where this is none."""
    system = os.uname()
    major, _, rest = system.release.partition(".")
    minor = rest.partition(".")[0]
    numbers = system.sysname == "Linux" and major.isdecimal() and minor.isdecimal()
    return (int(major), int(minor)) if numbers else (0, 0)


def _fail(verb: str, name: str, error: OSError) -> NoReturn:
    if error.errno == errno.ENOENT:
        raise NoSuchFile(f"cannot {verb} {name}: there is no such file") from error
    reason = errno.errorcode.get(error.errno or 0, "unknown error")
    raise DiskError(f"cannot {verb} {name}: {reason}") from error


def split(buffers: list[memoryview], size: int) -> tuple[list[memoryview], list[memoryview]]:
    """Return the first `size` bytes of buffers, and what is behind them."""
    for index, buffer in enumerate(buffers):
        if size < len(buffer):
            first = [*buffers[:index], buffer[:size]] if size else buffers[:index]
            return first, [buffer[size:], *buffers[index + 1 :]]
        size -= len(buffer)
    return buffers, []


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _next_data(file: int, at: int) -> int | None:
    """Return the first position from `at` on that was written, None if none was."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return at
        raise


def _punch(file: int, at: int, size: int) -> bool:
    """Give blocks back; False where the file system has no such thing."""
    if _fallocate is None:
        return False
    if _fallocate(file, KEEP_SIZE_AND_PUNCH, at, size) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
