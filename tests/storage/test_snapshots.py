"""Snapshots: whole, or refused; and no trace of one that was not finished."""

import pytest

from simulation.disk import SimDisk
from tests.storage.logs import chain, fresh, reopen
from veritydb.storage import names
from veritydb.storage.disk import DiskFull, NoSuchFile
from veritydb.storage.errors import Damaged
from veritydb.storage.store import Store
from veritydb.types.durable import SnapshotRef
from veritydb.types.ids import Op

FRAMES = chain(6)
CHUNKS = [b"first", b"second" * 1000, b"third"]


def with_snapshot(op: int = 4) -> tuple[SimDisk, Store, SnapshotRef]:
    """A log with a snapshot that the superblock names."""
    disk, store = fresh()
    store.append(FRAMES)
    return disk, store, snapshot(store, op)


def snapshot(store: Store, op: int) -> SnapshotRef:
    """Make one and name it."""
    composer = store.begin_snapshot(FRAMES[op - 1].header, bytes([op]) * 32)
    for chunk in CHUNKS:
        composer.add(chunk)
    ref = composer.finish()
    store.write_superblock(snapshot=ref)
    return ref


def test_it_says_what_it_is_of() -> None:
    disk, store, ref = with_snapshot()
    assert (ref.op, ref.header_hash, ref.outcomes) == (4, FRAMES[3].header.hash, b"\4" * 32)
    assert ref.size == disk.size(names.snapshot(4))
    assert list(store.read_snapshot()) == CHUNKS
    assert list(fresh()[1].read_snapshot()) == []


def test_the_one_before_is_removed_when_the_new_one_is_named() -> None:
    disk, store, ref = with_snapshot(2)
    composer = store.begin_snapshot(FRAMES[4].header, bytes(32))
    composer.add(b"x")
    composer.finish()
    assert disk.names("snapshots/") == [names.snapshot(2), names.snapshot(5)]
    # The superblock still names the old one, so a start goes by it.
    store, recovered = reopen(disk)
    assert recovered.superblock.snapshot == ref
    assert disk.names("snapshots/") == [names.snapshot(2)]
    snapshot(store, 6)
    assert disk.names("snapshots/") == [names.snapshot(6)]
    with pytest.raises(NoSuchFile):
        store.read_snapshot_raw(ref, 0, 10)


def test_every_flipped_byte_is_noticed() -> None:
    disk, _, ref = with_snapshot()
    for at in [*range(330), *range(330, ref.size, 97), *range(ref.size - 60, ref.size)]:
        left = disk.clone()
        left.rot(names.snapshot(4), at)
        with pytest.raises(Damaged) as caught:
            list(Store.open(left)[0].read_snapshot())
        assert caught.value.file == names.snapshot(4)


def test_a_missing_one_can_only_be_replaced() -> None:
    disk, _, _ = with_snapshot()
    disk.remove(names.snapshot(4))
    with pytest.raises(Damaged, match="replace this replica"):
        reopen(disk)


def test_one_that_arrives_damaged_is_not_taken() -> None:
    _, source, ref = with_snapshot()
    disk, store = fresh()
    raw = source.read_snapshot_raw(ref, 0, ref.size)
    for bad in (raw[:-1], raw[:400], raw[:310] + b"?" + raw[311:], raw + b"\0"):
        receiver = store.receive_snapshot()
        receiver.write_raw(bad)
        with pytest.raises(Damaged):
            receiver.finish_raw()
        receiver.abandon()
    assert disk.names("snapshots/") == []
    receiver = store.receive_snapshot()
    receiver.write_raw(raw[:100], raw[100:])
    assert receiver.size == ref.size
    assert receiver.finish_raw() == ref


def test_one_is_made_while_another_arrives() -> None:
    _, source, ref = with_snapshot(6)
    disk, store = fresh()
    store.append(FRAMES[:3])
    receiver = store.receive_snapshot()
    receiver.write_raw(source.read_snapshot_raw(ref, 0, 200))
    snapshot(store, 2)
    receiver.write_raw(source.read_snapshot_raw(ref, 200, ref.size))
    assert receiver.finish_raw() == ref
    store.install_snapshot(ref, Op(3))
    assert disk.names("snapshots/") == [names.snapshot(6)]
    assert list(store.read_snapshot()) == CHUNKS


def test_no_space_is_no_harm() -> None:
    disk, store, ref = with_snapshot(2)
    disk.capacity = disk.used() + 1000
    composer = store.begin_snapshot(FRAMES[4].header, bytes(32))
    with pytest.raises(DiskFull):
        composer.add(bytes(range(256)) * 8)
    composer.abandon()
    disk.capacity = None
    store, recovered = reopen(disk)
    assert recovered.superblock.snapshot == ref
    assert store.read_headers(Op(5), Op(6)) == [each.header for each in FRAMES[4:]]


@pytest.mark.parametrize("left", [None, 0, 4 * 64 - 1])
def test_outcomes_that_a_snapshot_stands_for_are_not_done_without(left: int | None) -> None:
    """A start derives those behind it; these would be missing for ever."""
    disk, store, _ = with_snapshot(4)
    store.append_outcomes(0, bytes(64) * 5)
    kept = disk.read(names.OUTCOMES, 0, left) if left else b""
    disk.remove(names.OUTCOMES)
    if left is not None:
        disk.allocate(names.OUTCOMES, max(left, 1))
        disk.write(names.OUTCOMES, 0, [kept])
    with pytest.raises(Damaged, match="outcomes"):
        reopen(disk)
