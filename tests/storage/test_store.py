"""The facade: what was appended is there, what was cut is not, what rotted is never served."""

import contextlib

import pytest

from simulation.disk import PowerCut, SimDisk, keep_everything, lose_everything
from tests.storage.logs import append_entry, chain, fresh, identity, next_frame, ops, reopen
from veritydb.storage import names
from veritydb.storage.disk import DiskFull
from veritydb.storage.errors import Damaged, NotEmpty, NotFormatted, WrongIdentity
from veritydb.storage.store import Store
from veritydb.types.durable import ViewState
from veritydb.types.ids import Op, View
from veritydb.types.limits import MIB

VIEW = ViewState(
    view=View(3), log_view=View(0), commit=Op(2), epoch=0, members=(0, 0, 0), headers=()
)


@pytest.mark.parametrize("choose", [lose_everything, keep_everything])
def test_what_append_returned_survives_a_power_cut(choose: object) -> None:
    disk, store = fresh()
    frames = chain(5)
    store.append(frames[:2])
    store.append(frames[2:])
    disk.crash(choose)  # type: ignore[arg-type]
    store, recovered = reopen(disk)
    assert ops(recovered) == [1, 2, 3, 4, 5]
    assert recovered.headers == tuple(frame.header for frame in frames)
    assert recovered.faulty == ()
    assert recovered.head_certain
    assert store.read_frames(Op(1), Op(9), MIB) == frames
    assert store.read_headers(Op(2), Op(9)) == [frame.header for frame in frames[1:]]


@pytest.mark.parametrize("operations", range(12))
def test_what_a_killed_process_left_is_durable_before_it_is_believed(operations: int) -> None:
    """The system keeps what was written and not synced: it can be read, until power is cut."""
    disk, store = fresh()
    frames = chain(4)
    store.append(frames[:2])
    disk.fail_after(operations)
    with contextlib.suppress(PowerCut):
        store.append(frames[2:])
        store.write_superblock(VIEW, None)
    # Killed, and started again at once.
    disk.fail_after(1_000)
    store, before = reopen(disk)
    disk.crash(lose_everything)
    _, after = reopen(disk)
    assert after.headers == before.headers
    assert after.faulty == before.faulty == ()
    assert after.superblock.view_state == before.superblock.view_state


def test_reads_are_bounded_in_bytes_but_never_empty() -> None:
    _, store = fresh()
    frames = chain(6, size=1000)
    store.append(frames)
    one = frames[0].header.frame_bytes()
    assert store.read_frames(Op(1), Op(6), 0) == frames[:1]
    assert store.read_frames(Op(2), Op(6), 2 * one) == frames[1:3]
    assert store.read_frames(Op(3), Op(4), MIB) == frames[2:4]
    assert store.read_frames(Op(7), Op(9), MIB) == []


def test_cut_forgets_and_leaves_nothing_behind() -> None:
    disk, store = fresh()
    frames = chain(6, size=3000)
    store.append(frames)
    store.cut(Op(3))
    assert store.head == 3
    assert store.read_frames(Op(1), Op(6), MIB) == frames[:3]
    disk.crash(keep_everything)
    store, recovered = reopen(disk)
    assert ops(recovered) == [1, 2, 3]
    other = chain(2, frames[2].header, view=1)
    store.append(other)
    assert store.read_frames(Op(3), Op(6), MIB) == [frames[2], *other]


def test_segments_follow_each_other() -> None:
    disk, store = fresh()
    frames = chain(14, size=9 * MIB)
    for frame in frames:
        store.append([frame])
        store.prepare()
    firsts = sorted({frame.header.segment for frame in frames})
    assert len(firsts) == 2
    assert disk.names("segments/") == [*map(names.segment, firsts), names.SPARE]
    _, recovered = reopen(disk)
    assert len(recovered.headers) == 14
    store.cut(Op(5))
    assert disk.names("segments/") == [names.segment(1), names.SPARE]


def test_a_rotten_frame_is_never_served_and_can_be_repaired() -> None:
    disk, store = fresh()
    frames = chain(4)
    store.append(frames)
    disk.rot(names.segment(1), frames[1].header.position + 300)
    assert store.read_frames(Op(1), Op(4), MIB) == [frames[0], None, *frames[2:]]
    store, recovered = reopen(disk)
    assert recovered.faulty == (2,)
    store.repair([frames[1]])
    assert store.read_frames(Op(1), Op(4), MIB) == frames
    assert reopen(disk)[1].faulty == ()


def test_a_misdirected_frame_is_never_served() -> None:
    disk, store = fresh()
    frames = chain(3)
    store.append(frames[:2])
    disk.misdirect = (names.segment(1), frames[0].header.position)
    store.append(frames[2:])
    assert store.read_frames(Op(1), Op(3), MIB) == [None, frames[1], None]
    assert reopen(disk)[1].faulty == (1, 3)


def test_a_group_of_one_refuses_to_start_on_rot() -> None:
    disk, store = fresh(replicas=1)
    frames = chain(3)
    store.append(frames)
    disk.rot(names.segment(1), frames[1].header.position + 300)
    with pytest.raises(Damaged) as caught:
        reopen(disk)
    assert caught.value.op == 2
    assert caught.value.file == names.segment(1)
    assert caught.value.at == frames[1].header.position


def test_full_is_said_before_anything_is_lost() -> None:
    disk, store = fresh()
    store.append(chain(2))
    disk.capacity = disk.used()
    with pytest.raises(DiskFull):
        store.prepare()
    disk.capacity = None
    store.prepare()
    assert ops(reopen(disk)[1]) == [1, 2]


def test_format_refuses_what_is_not_empty() -> None:
    disk, _ = fresh()
    with pytest.raises(NotEmpty, match="superblock"):
        Store.format(disk, identity())
    disk = SimDisk()
    with pytest.raises(NotFormatted):
        Store.open(disk)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("index", identity(index=1)),
        ("region", identity(region="eu-fra")),
        ("replicas", identity(replicas=5)),
    ],
)
def test_a_foreign_directory_is_refused_by_name(field: str, expected: object) -> None:
    disk, _ = fresh()
    with pytest.raises(WrongIdentity, match=field) as caught:
        Store.open(disk, expected)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_outcomes_are_kept_by_entry() -> None:
    disk, store = fresh()
    record = bytes(8) + (7).to_bytes(8, "little") + bytes(48)
    store.append_outcomes(0, record * 3)
    store.append_outcomes(2, record * 2)
    assert store.read_outcomes(1, 100) == record * 3
    assert store.read_outcomes(4, 100) == b""
    disk.crash(lose_everything)
    store, _ = reopen(disk)
    assert store.read_outcomes(0, 100) == b""


def test_a_snapshot_bounds_what_is_read_at_start() -> None:
    disk, store = fresh()
    frames = chain(5)
    store.append(frames)
    snapshot = store.begin_snapshot(frames[2].header, bytes(32))
    for chunk in (b"one", b"two" * 1000):
        snapshot.add(chunk)
    store.write_superblock(snapshot=snapshot.finish())
    disk.crash(lose_everything)
    store, recovered = reopen(disk)
    assert recovered.base == frames[2].header
    assert ops(recovered) == [4, 5]
    assert list(store.read_snapshot()) == [b"one", b"two" * 1000]
    assert disk.names("snapshots/") == [names.snapshot(3)]
    assert store.read_frames(Op(1), Op(5), MIB) == frames


def test_a_snapshot_from_elsewhere_is_a_new_beginning() -> None:
    _, source = fresh()
    frames = chain(8)
    source.append(frames)
    made = source.begin_snapshot(frames[5].header, bytes(32))
    made.add(b"state")
    ref = made.finish()

    disk, store = fresh()
    store.append(frames[:2])
    store.append(chain(2, frames[1].header, view=1))
    receiver = store.receive_snapshot()
    for at in range(0, ref.size, 100):
        receiver.write_raw(source.read_snapshot_raw(ref, at, 100))
    assert receiver.finish_raw() == ref
    store.install_snapshot(ref, Op(2))
    assert store.head == 6
    store.append(frames[6:])
    disk.crash(lose_everything)
    store, recovered = reopen(disk)
    assert ops(recovered) == [7, 8]
    read = store.read_frames(Op(1), Op(8), MIB)
    assert read == [*frames[:2], None, None, None, None, *frames[6:]]
    for op in (6, 5, 4, 3):
        store.repair([frames[op - 1]])
    assert store.read_frames(Op(1), Op(8), MIB) == frames


def test_erased_events_are_gone_and_the_rest_is_proved() -> None:
    disk, store = fresh()
    secret = append_entry([b"S" * 10_000, b"T" * 50])
    other = append_entry([b"U" * 500])
    first = next_frame(None, [other, secret])
    second = next_frame(first.header)
    store.append([first, second])
    assert store.erase_many([(Op(1), 1)]) == []
    for each in (store, reopen(disk)[0]):
        (read, after) = each.read_frames(Op(1), Op(2), MIB)
        assert read is not None
        assert [(hole.entry, hole.part) for hole in read.holes] == [(1, 0), (1, 1)]
        assert b"U" * 500 in read.body
        assert b"S" not in read.body
        assert after == second
    assert not any(b"SSS" in data or b"TTT" in data for _, _, data in disk.contents())
    # A peer that has not erased yet cannot bring it back.
    store.repair([first])
    assert store.read_frames(Op(1), Op(1), MIB) == [read]
