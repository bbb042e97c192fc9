"""A directory that is filled from another replica's: its snapshot first, then what is behind it."""

from random import Random

import msgspec
import pytest

from simulation.disk import PowerCut, SimDisk, keep_everything, lose_everything
from tests.marks import reaches
from tests.storage.logs import chain, fresh, full_directory
from veritydb.storage import names
from veritydb.storage.errors import Damaged
from veritydb.storage.findings import NOTE
from veritydb.storage.store import Store
from veritydb.storage.verify import verify
from veritydb.types import frame
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Frame
from veritydb.types.history import NOTHING, History, Proof, before, proved
from veritydb.types.ids import Op
from veritydb.types.outcome import RECORD_BYTES

PART = 300
OWN = 2
SMALL = 1_000


def source() -> tuple[SimDisk, Store, list[Frame], SnapshotRef]:
    """Seven ops, a snapshot of the fifth, some events erased."""
    disk, store, frames = full_directory()
    return disk, store, frames, store.superblock.snapshot


def target(frames: list[Frame], giver: Store) -> tuple[SimDisk, Store]:
    """A replica that has the first ops and their outcomes."""
    disk, store = fresh()
    store.append(frames[:OWN])
    entries = sum(each.header.entry_count for each in frames[:OWN])
    store.append_outcomes(0, giver.read_outcomes(0, entries))
    return disk, store


def take_snapshot(store: Store, giver: Store, ref: SnapshotRef) -> None:
    """All parts, the check, and the installation."""
    for at in range(0, ref.size, PART):
        size = min(PART, ref.size - at)
        assert store.save_snapshot(at, giver.read_snapshot_raw(ref, at, size)) == at + size
    base, chunks = store.received(ref)
    assert base.hash == ref.header_hash and list(chunks) == list(giver.read_snapshot())
    store.install_snapshot(ref, Op(OWN))


def fill(store: Store, giver: Store, proof: Proof) -> None:
    """Everything below, in small stretches."""
    while proof.op > OWN:
        history, _ = giver.read_history(Op(OWN + 1), proof.op, SMALL)
        assert store.write_history(history, proof)
        proof = before(history)
    assert store.close_gap(Op(OWN))


def top(ref: SnapshotRef) -> Proof:
    """What a snapshot proves of its own op."""
    return Proof(ref.op, ref.header_hash, ref.outcomes)


def problems(disk: SimDisk) -> list[str]:
    return [f"{each.file} {each.at} {each.problem}" for each in verify(disk)]


def test_in_the_end_it_is_as_if_it_had_always_been_there() -> None:
    _, giver, frames, ref = source()
    disk, store = target(frames, giver)
    take_snapshot(store, giver, ref)
    assert store.head == ref.op and store.superblock.gap_end == ref.op
    store.append(frames[ref.op :])
    fill(store, giver, top(ref))
    assert (store.superblock.gap_after, store.superblock.gap_end) == (0, 0)
    for op in range(1, len(frames) + 1):
        (mine,) = store.read_frames(Op(op), Op(op), 0)
        (theirs,) = giver.read_frames(Op(op), Op(op), 0)
        assert mine == theirs or op <= OWN
    entries = frames[ref.op - 1].header.entry_base + frames[ref.op - 1].header.entry_count
    assert store.read_outcomes(0, entries) == giver.read_outcomes(0, entries)
    store, _ = Store.open(disk)
    store.append_outcomes(0, giver.read_outcomes(0, 100))
    assert problems(disk) == []


def test_bytes_of_a_log_that_was_given_up_are_no_rot() -> None:
    _, giver, frames, ref = source()
    disk, store = target(frames, giver)
    # They stand where the frames behind the head will stand, the one of the snapshot's op too.
    store.append(chain(2, frames[OWN - 1].header, view=9, size=9000))
    take_snapshot(store, giver, ref)
    assert [finding.severity for finding in verify(disk)] == [NOTE]
    Store.open(disk)
    assert problems(disk) == []


def test_what_is_not_what_was_offered_is_refused() -> None:
    _, giver, frames, ref = source()
    disk, store = target(frames, giver)
    raw = giver.read_snapshot_raw(ref, 0, ref.size)
    for bad in (raw[:-1], raw[:310] + b"?" + raw[311:], raw[:60] + b"?" + raw[61:]):
        store.save_snapshot(0, bad)
        with pytest.raises(Damaged):
            list(store.received(ref)[1])
    store.save_snapshot(0, raw)
    other = msgspec.structs.replace(ref, outcomes=bytes(32))
    with pytest.raises(Damaged):
        store.received(other)
    store.abandon_snapshot()
    assert disk.names(names.SNAPSHOTS) == [] and store.head == OWN


def test_only_what_is_proved_is_written() -> None:
    _, giver, frames, ref = source()
    disk, store = target(frames, giver)
    take_snapshot(store, giver, ref)
    good, _ = giver.read_history(Op(3), ref.op, 1 << 20)
    assert proved(good, top(ref))
    body = bytearray(good.frames[-1].body)
    body[-1] ^= 1
    rotten = Frame(good.frames[-1].header, bytes(body), good.frames[-1].holes)
    for bad in (
        NOTHING,
        History(good.frames[:-1], good.records[:-RECORD_BYTES], good.before),
        History((*good.frames[:-1], rotten), good.records, good.before),
        History(good.frames, bytes(RECORD_BYTES) + good.records[RECORD_BYTES:], good.before),
        History(good.frames, good.records, bytes(32)),
    ):
        with reaches("storage.history_not_proved"):
            assert not store.write_history(bad, top(ref))
    assert store.read_frames(Op(3), Op(5), 1 << 20) == [None, None, None]
    assert problems(disk) == []


def test_whoever_has_a_gap_gives_only_what_it_can_prove() -> None:
    _, giver, frames, ref = source()
    _, store = target(frames, giver)
    take_snapshot(store, giver, ref)
    assert store.read_history(Op(1), ref.op, 1 << 20)[0] == NOTHING
    history, _ = giver.read_history(ref.op, ref.op, SMALL)
    assert store.write_history(history, top(ref))
    again, _ = store.read_history(Op(1), ref.op, 1 << 20)
    assert [each.header.op for each in again.frames] == [ref.op]
    assert proved(again, top(ref))
    assert store.read_history(Op(1), ref.op, 1 << 20, top(ref)) == (again, 0)
    wrong = Proof(ref.op, ref.header_hash, bytes(32))
    assert store.read_history(Op(1), ref.op, 1 << 20, wrong) == (NOTHING, 0)


def test_a_rotten_frame_is_named_and_not_given() -> None:
    disk, giver, frames, _ = source()
    header = frames[3].header
    disk.rot(names.segment(header.segment), header.position + 100)
    history, rotten = giver.read_history(Op(1), Op(4), 1 << 20)
    assert (history, rotten) == (NOTHING, 4)
    history, rotten = giver.read_history(Op(1), Op(5), 1 << 20)
    assert [each.header.op for each in history.frames] == [5] and rotten == 0


def test_a_snapshot_of_ones_own_leaves_the_gap_open_up_to_it() -> None:
    _, giver, frames, ref = source()
    disk, store = target(frames, giver)
    take_snapshot(store, giver, ref)
    store.append(frames[ref.op :])
    composer = store.begin_snapshot(frames[6].header, bytes(32))
    composer.add(b"own")
    store.write_superblock(snapshot=composer.finish())
    assert (store.superblock.gap_after, store.superblock.gap_end) == (OWN, 7)
    _, recovered = Store.open(disk)
    assert recovered.superblock.gap_end == 7 and recovered.head == 7


def test_history_of_another_log_does_not_close_the_gap() -> None:
    _, giver, frames, ref = source()
    _, store = target(frames, giver)
    take_snapshot(store, giver, ref)
    history, _ = giver.read_history(Op(3), ref.op, 1 << 20)
    assert store.write_history(history, top(ref))
    # As if what was here before had been of a log that was given up.
    store._journal.write((frame.seal(msgspec.structs.replace(frames[1].header, epoch=9)),))
    with reaches("storage.gap_does_not_fit"):
        assert not store.close_gap(Op(OWN))
    assert store.superblock.gap_end == ref.op


def steps(store: Store, giver: Store, frames: list[Frame], ref: SnapshotRef) -> None:
    """Everything from the first part to the last op behind the snapshot."""
    take_snapshot(store, giver, ref)
    store.append(frames[ref.op :])
    fill(store, giver, top(ref))


@pytest.mark.parametrize("seed", [None, -1, 1, 2])
def test_a_power_cut_before_any_operation(seed: int | None) -> None:
    """Whatever is lost: it starts, it is before or behind the snapshot, and it can be finished."""
    _, giver, frames, ref = source()
    at = 0
    while True:
        disk, store = target(frames, giver)
        disk.fail_after(at)
        try:
            steps(store, giver, frames, ref)
        except PowerCut:
            pass
        else:
            break
        prng = Random(seed)
        keep = {None: lose_everything, -1: keep_everything}.get(seed, prng.randrange)
        disk.crash(keep)
        again, recovered = Store.open(disk)
        assert recovered.head == OWN or recovered.head >= ref.op
        assert recovered.head_certain and not recovered.faulty
        if recovered.head == OWN:
            again.append_outcomes(0, giver.read_outcomes(0, 10)[: 64 * 3])
            steps(again, giver, frames, ref)
        else:
            again.append(frames[recovered.head :])
            if recovered.superblock.gap_end:
                assert recovered.superblock.gap_after == OWN
                fill(again, giver, top(ref))
        Store.open(disk)
        again.append_outcomes(0, giver.read_outcomes(0, 100))
        assert problems(disk) == []
        at += 1
    assert at > 40
