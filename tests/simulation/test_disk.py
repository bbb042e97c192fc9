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


def test_a_lie_is_counted_once_it_is_found_out_and_what_was_said_survives_on_paper() -> None:
    disk, seen = disk_with(), list[str]()
    disk.on_fault = seen.append
    disk.lying = True
    disk.write("a", 0, (b"x" * SECTOR,))
    disk.sync("a")
    assert disk.surviving("a", 0, 1) == b"x" and not seen
    disk.lying = False
    disk.write("a", SECTOR, (b"y" * SECTOR,))
    disk.sync("a")
    assert disk.surviving("a", 0, 1) == b"x", "a later sync that is honest writes it after all"
    disk.lying = True
    disk.write("a", 0, (b"z" * SECTOR,))
    disk.sync("a")
    disk.crash(lose_everything)
    assert seen == ["lying-sync"]
    assert disk.read("a", 0, SECTOR + 1) == b"x" * SECTOR + b"y"


def test_a_doomed_write_is_seen_until_the_power_is_cut() -> None:
    disk, seen = disk_with(), list[str]()
    disk.on_fault = seen.append
    disk.doom = 1
    disk.write("a", 0, (b"x" * SECTOR,))
    disk.sync("a")
    assert disk.read("a", 0, 1) == disk.surviving("a", 0, 1) == b"x"
    disk.crash(keep_everything)
    assert disk.read("a", 0, 1) == b"\0" and seen == ["lost-write"]
    disk.doom = 1
    disk.write("a", 0, (b"x",))
    disk.write("a", 1, (b"y",))
    disk.sync("a")
    disk.crash(lose_everything)
    assert disk.read("a", 0, 2) == b"xy", "the page was written again, as a whole"


def test_a_stray_write_hits_another_place() -> None:
    disk, seen = disk_with(), list[str]()
    disk.on_fault = seen.append
    create(disk, "b", SIZE)
    disk.doom, disk.stray = 1, ("b", 3)
    disk.write("a", 0, (b"x" * SECTOR,))
    disk.sync("a")
    assert disk.read("b", 3 * SECTOR, 1) == b"x" and seen == ["misdirected-write"]
    disk.crash(keep_everything)
    assert disk.read("a", 0, 1) == b"\0" and disk.read("b", 3 * SECTOR, 1) == b"x"


def test_a_write_that_fails_may_be_done_in_part() -> None:
    disk, seen = disk_with(), list[str]()
    disk.on_fault = seen.append
    disk.short, disk.errors[disk.operations] = True, DiskError("planned")
    with pytest.raises(DiskError):
        disk.write("a", 0, (b"x" * 4 * SECTOR,))
    assert disk.read("a", 0, 4 * SECTOR) == b"x" * 2 * SECTOR + bytes(2 * SECTOR)
    assert seen == ["eio-write"]


def test_a_sync_fails_when_it_was_told_to_and_only_then() -> None:
    disk = disk_with()
    disk.sync_error_in = 1
    disk.sync("a")
    disk.write("a", 0, (b"x",))
    with pytest.raises(DiskError):
        disk.sync("a")
    disk.crash(keep_everything)
    assert disk.read("a", 0, 1) == b"\0", "the page was clean, and the disk had nothing"
    disk.sync("a")


def test_one_read_comes_out_wrong() -> None:
    disk = disk_with()
    disk.write("a", 0, (b"abc",))
    disk.reading = bytes.swapcase
    assert [disk.read("a", 0, 3), disk.read("a", 0, 3)] == [b"ABC", b"abc"]


def test_files_that_are_cut_short_or_gone() -> None:
    disk = disk_with()
    disk.write("a", 0, (b"x" * SIZE,))
    disk.truncate("a", SECTOR)
    assert disk.size("a") == SECTOR
    disk.allocate("a", SIZE)
    assert disk.read("a", 0, SIZE) == b"x" * SECTOR + bytes(SIZE - SECTOR)
    disk.vanish("a")
    disk.crash(keep_everything)
    assert disk.size("a") is None
