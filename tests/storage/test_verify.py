"""The offline check: nothing to say of what is whole, and something of every flipped byte."""

from random import Random

import pytest

from simulation.disk import SECTOR, PowerCut, SimDisk, keep_everything
from tests.storage.logs import chain, fresh, full_directory, reopen
from veritydb.storage import names, superblock
from veritydb.storage.findings import DAMAGE, NOTE, Finding
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.segments import BODY_AT
from veritydb.storage.store import Store
from veritydb.storage.verify import Tally, verify
from veritydb.types.ids import Op


def findings(disk: SimDisk) -> list[Finding]:
    """What is wrong."""
    return list(verify(disk))


def test_nothing_is_wrong_with_what_is_whole() -> None:
    disk, _, frames = full_directory()
    tally = Tally()
    assert list(verify(disk, tally)) == []
    assert tally == Tally(
        ops=7,
        entries=11,
        events=7 * 2 + 4,
        bytes=sum(frame.header.frame_bytes() for frame in frames),
        erased=3,
    )
    disk.crash(keep_everything)
    reopen(disk)
    assert findings(disk) == []


def test_an_empty_log_is_whole() -> None:
    disk, _ = fresh()
    tally = Tally()
    assert list(verify(disk, tally)) == []
    assert tally == Tally()


def test_a_directory_that_was_never_stamped() -> None:
    (found,) = findings(SimDisk())
    assert found.file == names.SUPERBLOCK


def positions(disk: SimDisk) -> list[tuple[str, int]]:
    """Some bytes of every file: all places where something begins, and a sample of the rest."""
    chosen: list[tuple[str, int]] = []
    dice = Random(5)
    for name, at, data in disk.contents():
        step = 61 if name != names.SUPERBLOCK else 4099
        chosen += [(name, at + inside) for inside in range(0, len(data), step)]
    for name in disk.names(""):
        size = disk.size(name) or 0
        chosen += [(name, dice.randrange(size)) for _ in range(12)]
        chosen += [(name, 0), (name, size - 1), (name, size // 2)]
    # The last sector of a file may be longer than the file.
    return [(name, at) for name, at in chosen if at < (disk.size(name) or 0)]


def test_every_flipped_byte_is_found() -> None:
    whole, _, _ = full_directory()
    places = positions(whole)
    assert {name for name, _ in places} == set(whole.names(""))
    assert len(places) > 400
    for name, at in places:
        disk = whole.clone()
        disk.rot(name, at, 0x21)
        assert findings(disk), (name, at)


def test_a_flipped_byte_is_named_with_its_file_and_op() -> None:
    whole, _, frames = full_directory()
    second = frames[1].header
    place = second.position + BODY_AT + 100
    for name, at, op, found_at in [
        (names.JOURNAL, 2 * RECORD_BYTES + 9, 2, 2 * RECORD_BYTES),
        (names.segment(1), second.position + 20, 2, second.position + 20),
        (names.segment(1), place + 200, 2, second.position + BODY_AT),
        (names.OUTCOMES, 64 * 3 + 32, 3, 64 * 3),
        (names.snapshot(5), 310, 5, 299),
    ]:
        disk = whole.clone()
        disk.rot(name, at)
        found = next(each for each in findings(disk) if each.file == name)
        assert (found.op, found.at, found.severity) == (op, found_at, DAMAGE), found
        assert name in str(found)


def test_files_that_nothing_names() -> None:
    disk, _, _ = full_directory()
    for name in ("stray", "segments/stray.log", names.segment(99), names.snapshot(2)):
        disk.allocate(name, 10)
    disk.allocate("index.db-wal", 10)
    found = {each.file: each.severity for each in findings(disk)}
    assert found == dict.fromkeys(
        ["stray", "segments/stray.log", names.segment(99), names.snapshot(2)], NOTE
    )


@pytest.mark.parametrize(
    "name", [names.JOURNAL, names.OUTCOMES, names.segment(1), names.snapshot(5)]
)
def test_a_missing_file_is_found(name: str) -> None:
    disk, _, _ = full_directory()
    disk.remove(name)
    assert name in {each.file for each in findings(disk)}


def test_a_lost_map_of_holes_shows_as_bad_frames() -> None:
    disk, _, _ = full_directory()
    disk.remove(names.holes(1))
    assert [each.op for each in findings(disk) if each.file == names.segment(1)] == [3, 4]


def test_a_frame_that_was_not_acknowledged_is_a_note_until_the_next_start() -> None:
    disk, store = fresh()
    frames = chain(3)
    store.append(frames[:2])
    disk.fail_after(1)
    with pytest.raises(PowerCut):
        store.append(frames[2:])
    disk.crash(keep_everything)
    found = [each for each in findings(disk) if each.file == names.segment(1)]
    assert [(each.at, each.severity) for each in found] == [(frames[2].header.position, NOTE)]
    Store.open(disk)
    assert [each for each in findings(disk) if each.file == names.segment(1)] == []


def test_a_wrong_outcome_is_found_at_its_op() -> None:
    disk, store, _ = full_directory()
    data = store.read_outcomes(0, 100)
    wrong = data[:64] + data[64:128].replace(b"\x01", b"\x02", 1) + data[128:]
    store.append_outcomes(0, wrong)
    assert [each.file for each in findings(disk)][:1] == [names.OUTCOMES]


def test_a_log_that_begins_in_the_middle_is_whole() -> None:
    _, source, frames = full_directory()
    ref = source.superblock.snapshot
    disk, store = fresh()
    receiver = store.receive_snapshot()
    receiver.write_raw(source.read_snapshot_raw(ref, 0, ref.size))
    store.install_snapshot(receiver.finish_raw(), Op(0))
    store.append([frames[5], frames[6]])
    tally = Tally()
    found = [each for each in verify(disk, tally) if each.file != names.OUTCOMES]
    assert found == []
    assert tally.missing == 5
    assert superblock.load(disk).block.gap_end == 5


def test_sectors_of_other_files_are_found() -> None:
    whole, _, _ = full_directory()
    stray = whole.read(names.segment(1), 0, SECTOR)
    for name in whole.names(""):
        disk = whole.clone()
        disk.rot_sector(name, 3, stray)
        # The snapshot ends before that sector.
        assert findings(disk) or name == names.snapshot(5), name
