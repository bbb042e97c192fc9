"""The simulated disk does what it says, or no test over it means anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.disk import (
    SECTOR,
    PowerCut,
    SimDisk,
    keep_everything,
    lose_everything,
)
from veritydb.storage.disk import DiskError, DiskFull, NoSuchFile, clear, create, first_nonzero

SIZE = 8 * SECTOR


def disk_with(name: str = "a", size: int = SIZE) -> SimDisk:
    """A disk with one durable file."""
    disk = SimDisk()
    create(disk, name, size)
    return disk


@given(
    st.lists(
        st.tuples(
            st.integers(0, SIZE - 1),
            st.binary(min_size=1, max_size=3 * SECTOR),
            st.booleans(),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_it_holds_what_was_written(
    writes: list[tuple[int, bytes, bool, bool]],
) -> None:
    disk = disk_with()
    model = bytearray(SIZE)
    for at, data, sync, punch in writes:
        data = data[: SIZE - at]
        if punch:
            disk.punch("a", at, len(data))
            data = bytes(len(data))
        else:
            disk.write("a", at, (data[:3], memoryview(data)[3:]))
        model[at : at + len(data)] = data
        if sync:
            disk.sync("a")
        assert disk.read("a", 0, SIZE + 9) == bytes(model)
        assert disk.read("a", at, 700) == bytes(model[at : at + 700])
        stripped = bytes(model[at:]).lstrip(b"\0")
        expected = SIZE - len(stripped) if stripped else None
        assert first_nonzero(disk, "a", at, SIZE) == expected
    disk.crash(keep_everything)
    assert disk.read("a", 0, SIZE) == bytes(model)
    clear(disk, "a", SECTOR, SIZE)
    assert disk.read("a", SECTOR, SIZE) == bytes(SIZE - SECTOR)
    assert disk.read("a", 0, SECTOR) == bytes(model[:SECTOR])


def test_a_power_cut_takes_back_what_was_not_synced() -> None:
    disk = disk_with()
    disk.write("a", 0, (b"x" * SIZE,))
    disk.sync("a")
    disk.write("a", SECTOR, (b"y" * 2 * SECTOR,))
    disk.write("a", SECTOR, (b"z" * SECTOR,))
    assert disk.dirty() == 2
    ends = set()
    for first in range(3):
        for second in range(2):
            left = disk.clone()
            answers = iter((first, second))
            left.crash(lambda n, answers=answers: next(answers))  # type: ignore[misc]
            ends.add(left.read("a", SECTOR, 2 * SECTOR)[::SECTOR])
            assert left.dirty() == 0
    assert ends == {b"xx", b"yx", b"zx", b"xy", b"yy", b"zy"}


def test_names_are_durable_only_with_their_folder() -> None:
    disk = disk_with()
    disk.allocate("s/b", 10)
    disk.sync("s/b")
    disk.rename("a", "c")
    lost, kept = disk.clone(), disk.clone()
    lost.crash(lose_everything)
    assert lost.names("") == ["a"]
    kept.crash(keep_everything)
    assert kept.names("") == ["c", "s/b"]
    disk.sync_directory("c")
    disk.remove("c")
    disk.crash(lose_everything)
    assert disk.names("") == ["c"]


def test_power_fails_before_the_operation_that_was_named() -> None:
    disk = disk_with()
    disk.fail_after(1)
    disk.write("a", 0, (b"x",))
    for _ in range(2):
        with pytest.raises(PowerCut):
            disk.sync("a")
    disk.crash(lose_everything)
    assert disk.read("a", 0, 1) == b"\0"
    disk.sync("a")


def test_after_a_failed_sync_the_page_cache_lies() -> None:
    disk = disk_with()
    disk.write("a", 0, (b"x",))
    disk.errors[disk.operations] = DiskError("EIO")
    with pytest.raises(DiskError):
        disk.sync("a")
    disk.sync("a")
    assert disk.read("a", 0, 1) == b"x"
    disk.crash(keep_everything)
    assert disk.read("a", 0, 1) == b"\0"


def test_a_lying_sync_a_lost_and_a_misdirected_write() -> None:
    disk = disk_with()
    disk.lying = True
    disk.write("a", 0, (b"x",))
    disk.sync("a")
    disk.crash(lose_everything)
    assert disk.read("a", 0, 1) == b"\0"
    disk.lying = False
    disk.lose = 1
    disk.write("a", 0, (b"x",))
    assert disk.read("a", 0, 1) == b"\0"
    disk.misdirect = ("a", 700)
    disk.write("a", 0, (b"x",))
    disk.write("a", 1, (b"y",))
    assert disk.read("a", 0, 2) == b"\0y"
    assert disk.read("a", 700, 1) == b"x"


def test_rot_stays_and_unreadable_sectors_fail() -> None:
    disk = disk_with()
    disk.write("a", 5, (b"\x01",))
    disk.write("a", SIZE + 5, ())
    assert disk.size("a") == SIZE
    disk.rot("a", 5, 0x80)
    disk.crash(keep_everything)
    assert disk.read("a", 5, 1) == b"\x81"
    disk.unreadable.add(("a", 1))
    disk.read("a", 0, SECTOR)
    with pytest.raises(DiskError):
        disk.read("a", 0, SECTOR + 1)
    with pytest.raises(NoSuchFile):
        disk.read("b", 0, 1)


def test_a_full_disk() -> None:
    disk = disk_with()
    disk.capacity = disk.used() + 10
    with pytest.raises(DiskFull):
        disk.allocate("b", 11)
    assert disk.size("b") is None
    disk.allocate("b", 10)
    disk.write("a", 0, (b"x" * SIZE,))


def test_zeros_cost_nothing() -> None:
    disk = disk_with("a", 1 << 40)
    disk.write("a", 1 << 30, (bytes(1 << 20),))
    assert disk.stored() == 0
    assert disk.read("a", 1 << 39, 3) == b"\0\0\0"
    assert disk.next_data("a", 0) is None
