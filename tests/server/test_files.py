"""The real disk, in a temporary directory."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulation.disk import SimDisk
from tests.storage.logs import chain, identity
from veritydb.server import files
from veritydb.server.files import (
    LOCK,
    RWF_DONTCACHE,
    UNCACHED_BYTES,
    AlreadyRunning,
    FileDisk,
    UnsafeName,
)
from veritydb.storage.disk import DiskError, DiskFull, NoSuchFile, first_nonzero
from veritydb.storage.store import Store
from veritydb.types.ids import Op
from veritydb.types.limits import MIB


def test_what_was_written_is_read(tmp_path: Path) -> None:
    disk = FileDisk(tmp_path / "new" / "directory")
    disk.allocate("segments/a", 10_000)
    assert disk.size("segments/a") == 10_000
    assert disk.read("segments/a", 9_990, 100) == bytes(10)
    disk.write("segments/a", 9_998, (b"ab", memoryview(b"cd"), b""))
    disk.sync("segments/a")
    disk.sync_directory("segments/a")
    assert disk.read("segments/a", 9_996, 100) == b"\0\0abcd"
    assert disk.size("segments/a") == 10_002
    assert disk.read("segments/a", 20_000, 5) == b""
    disk.close()


def test_more_buffers_than_the_kernel_takes_at_once(tmp_path: Path) -> None:
    disk = FileDisk(tmp_path)
    disk.allocate("a", 1)
    pieces = [b"%04d" % number for number in range(3000)]
    disk.write("a", 1, pieces)
    assert disk.read("a", 1, 12_000) == b"".join(pieces)
    disk.close()


def test_a_write_that_the_kernel_cuts_short_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def a_little(file: int, buffers: Sequence[memoryview], at: int, flags: int) -> int:
        return real(file, [buffers[0][:3]], at, flags)

    monkeypatch.setattr(os, "pwritev", a_little)
    disk = FileDisk(tmp_path)
    disk.allocate("a", 1)
    disk.write("a", 0, (b"0123456789", b"abcdefg"))
    assert disk.read("a", 0, 100) == b"0123456789abcdefg"
    disk.close()


def test_a_large_write_is_whole_whether_the_kernel_may_forget_it_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev
    asked: list[int] = []

    def refusing(file: int, buffers: Sequence[memoryview], at: int, flags: int) -> int:
        asked.append(flags)
        if flags:
            raise OSError(errno.EOPNOTSUPP, "not by this file system")
        return real(file, buffers, at, flags)

    monkeypatch.setattr(files, "UNCACHED_SINCE", (0, 0))
    pieces = [os.urandom(size) for size in (5_000, UNCACHED_BYTES, 1, 70_000)]
    for given in ("kernel", "refused"):
        disk = FileDisk(tmp_path / given)
        disk.allocate("a", 1)
        disk.write("a", 1_000, pieces)
        disk.write("a", 1_000 + sum(map(len, pieces)), pieces)
        disk.sync("a")
        assert disk.read("a", 1_000, 1 << 20) == b"".join(pieces) * 2
        disk.close()
        monkeypatch.setattr(os, "pwritev", refusing)
    assert asked.count(RWF_DONTCACHE) == 1, "asked for once, then no more"


def test_names_are_sorted_and_leave_out_the_lock(tmp_path: Path) -> None:
    disk = FileDisk(tmp_path)
    disk.lock()
    for name in ("b", "segments/2", "segments/1", "a"):
        disk.allocate(name, 1)
    assert disk.names("") == ["a", "b", "segments/1", "segments/2"]
    assert disk.names("segments/") == ["segments/1", "segments/2"]
    disk.rename("segments/1", "segments/3")
    disk.remove("segments/2")
    assert disk.names("segments/") == ["segments/3"]
    assert disk.size("segments/1") is None
    disk.close()


@pytest.mark.parametrize("name", ["", "..", "../a", "/etc/passwd", "a/../../b", "a/b/c", "a//b"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    disk = FileDisk(tmp_path)
    with pytest.raises(UnsafeName):
        disk.allocate(name, 1)
    with pytest.raises(UnsafeName):
        disk.read(name, 0, 1)
    assert disk.names("") == []


def test_what_is_missing_has_a_type_of_its_own(tmp_path: Path) -> None:
    disk = FileDisk(tmp_path)
    with pytest.raises(NoSuchFile):
        disk.read("a", 0, 1)
    with pytest.raises(NoSuchFile):
        disk.write("a", 0, (b"x",))
    with pytest.raises(NoSuchFile):
        disk.remove("a")
    assert disk.size("a") is None


@pytest.mark.parametrize(
    ("code", "call", "expected"),
    [
        (errno.EIO, "fdatasync", DiskError),
        (errno.ENOSPC, "pwritev", DiskError),
        (errno.EIO, "pread", DiskError),
        (errno.ENOSPC, "posix_fallocate", DiskFull),
        (errno.EDQUOT, "posix_fallocate", DiskFull),
        (errno.EIO, "posix_fallocate", DiskError),
    ],
)
def test_errors_of_the_system_are_told_apart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    call: str,
    expected: type[Exception],
) -> None:
    disk = FileDisk(tmp_path)
    disk.allocate("a", 10)

    def fail(*arguments: object) -> None:
        raise OSError(code, "failed")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(expected, match=" a"):
        {
            "fdatasync": lambda: disk.sync("a"),
            "pwritev": lambda: disk.write("a", 0, (b"x",)),
            "pread": lambda: disk.read("a", 0, 1),
            "posix_fallocate": lambda: disk.allocate("a", 20),
        }[call]()
    disk.close()


def test_a_directory_is_used_by_one_process(tmp_path: Path) -> None:
    first, second = FileDisk(tmp_path), FileDisk(tmp_path)
    first.lock()
    with pytest.raises(AlreadyRunning, match="in use"):
        second.lock()
    first.close()
    second.lock()
    second.close()
    assert (tmp_path / LOCK).exists()


def test_punched_bytes_are_zero_and_their_blocks_are_given_back(tmp_path: Path) -> None:
    disk = FileDisk(tmp_path)
    disk.allocate("a", MIB)
    disk.write("a", 0, (b"x" * MIB,))
    disk.sync("a")
    before = (tmp_path / "a").stat().st_blocks
    disk.punch("a", 4096, MIB - 8192)
    disk.sync("a")
    assert disk.size("a") == MIB
    assert disk.read("a", 0, MIB) == b"x" * 4096 + bytes(MIB - 8192) + b"x" * 4096
    assert (tmp_path / "a").stat().st_blocks < before
    assert first_nonzero(disk, "a", 4096, MIB) == MIB - 4096
    disk.close()


def test_next_data_passes_over_what_was_never_written(tmp_path: Path) -> None:
    disk = FileDisk(tmp_path)
    disk.allocate("a", 8 * MIB)
    assert first_nonzero(disk, "a", 0, 8 * MIB) is None
    disk.write("a", 5 * MIB + 7, (b"x",))
    assert first_nonzero(disk, "a", 0, 8 * MIB) == 5 * MIB + 7
    assert first_nonzero(disk, "a", 5 * MIB + 8, 8 * MIB) is None
    assert disk.next_data("a", 8 * MIB) is None
    disk.close()


def test_a_replica_writes_the_same_bytes_as_on_the_simulated_disk(tmp_path: Path) -> None:
    real, simulated = FileDisk(tmp_path), SimDisk()
    frames = chain(7, size=700)
    for disk in (real, simulated):
        Store.format(disk, identity())
        store, _ = Store.open(disk)
        store.append(frames)
        assert store.erase_many([(Op(2), 0)]) == []
        store.cut(Op(5))
        store, recovered = Store.open(disk)
        assert recovered.head == 5
        assert store.read_frames(Op(3), Op(9), MIB) == frames[2:5]
    assert real.names("") == simulated.names("")
    for name in real.names(""):
        size = real.size(name)
        assert size == simulated.size(name)
        assert real.read(name, 0, size or 0) == simulated.read(name, 0, size or 0), name
    real.close()
