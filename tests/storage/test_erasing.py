"""Erasing: what is gone is gone at once and for ever, and everything else is still proved."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from simulation import segments
from simulation.disk import SimDisk, keep_everything, lose_everything
from tests.storage.logs import append_entry, chain, fresh, identity, next_frame, reopen
from veritydb.storage import holes, names
from veritydb.storage.disk import Buffer, DiskError, DiskFull
from veritydb.storage.erasing import new_holes
from veritydb.storage.findings import NOTE
from veritydb.storage.segments import BODY_AT, mask
from veritydb.storage.store import Store
from veritydb.storage.verify import verify
from veritydb.types import entry, frame
from veritydb.types.entry import EntryHeader, Kind, PartInfo
from veritydb.types.frame import BadFrame, Frame, Hole
from veritydb.types.ids import Op
from veritydb.types.limits import MIB

BIG = append_entry([b"A" * 20_000, b"B" * 9])
SMALL = append_entry([b"C" * 30])


def read(store: Store, op: int) -> Frame:
    """A frame that is there."""
    (found,) = store.read_frames(Op(op), Op(op), 0)
    assert found is not None
    return found


def test_whole_blocks_are_given_back_and_the_edges_are_zero() -> None:
    disk, store = fresh()
    whole = next_frame(None, [SMALL, BIG, SMALL])
    store.append([whole])
    before = disk.stored()
    assert store.erase_many([(Op(1), 1)]) == []
    assert disk.stored() < before - 16_000
    found = read(store, 1)
    assert found.body.count(b"A") == found.body.count(b"B") == 0
    assert found.body.count(b"C" * 30) == 2
    assert frame.verify_root(found)
    assert not frame.verify_root(msgspec.structs.replace(found, holes=found.holes[:1]))
    disk.crash(lose_everything)
    assert read(reopen(disk)[0], 1) == found
    assert [each for each in verify(disk) if each.file != names.OUTCOMES] == []


def test_many_at_once_take_one_map_write() -> None:
    disk, store = fresh()
    frames = chain(20, size=100)
    store.append(frames)
    store.erase_many([(Op(1), 0)])
    before = disk.operations
    assert store.erase_many([(Op(op), 0) for op in range(2, 21)]) == []
    # Map: write, sync. Bytes: a write each, sync. Count: write, sync.
    assert disk.operations - before == 2 + 19 + 1 + 2
    assert all(read(store, op).holes for op in range(1, 21))


def test_erasing_twice_is_erasing_once() -> None:
    disk, store = fresh()
    store.append([next_frame(None, [BIG])])
    store.erase_many([(Op(1), 0)])
    found = read(store, 1)
    store.erase_many([(Op(1), 0), (Op(1), 0)])
    assert read(store, 1) == found
    parsed = holes.decode(disk.read(names.holes(1), 0, 4096))
    assert (parsed.used, parsed.done, parsed.rotten) == (3, 2, ())


def test_a_part_that_counts_no_events_stays() -> None:
    table = entry.pack_part(PartInfo(0, 1, 0, 5)) + entry.pack_part(PartInfo(0, 0, 0, 4))
    header = EntryHeader(kind=Kind.APPEND_MANY, parts=2, events=1)
    many = entry.with_body(header, table + b"event" + b"rows")
    whole = next_frame(None, [many])
    assert [(hole.entry, hole.part) for hole in new_holes(whole, [0])] == [(0, 0)]


def test_a_rotten_frame_cannot_be_erased_until_it_is_repaired() -> None:
    disk, store = fresh()
    frames = chain(3, size=100)
    store.append(frames)
    disk.rot(names.segment(1), frames[1].header.position + 50)
    assert store.erase_many([(Op(1), 0), (Op(2), 0)]) == [(2, 0)]
    store.repair([frames[1]])
    assert store.erase_many([(Op(2), 0)]) == []
    assert read(store, 1).holes
    assert read(store, 2).holes


def test_a_frame_that_comes_erased_is_kept_erased() -> None:
    _, source = fresh()
    whole = [next_frame(None, [SMALL, BIG])]
    whole.append(next_frame(whole[0].header, [BIG]))
    source.append(whole)
    source.erase_many([(Op(1), 1), (Op(2), 0)])
    erased = [read(source, 1), read(source, 2)]
    disk, store = fresh()
    store.append(erased[:1])
    store.append(whole[1:])
    store.repair([erased[1]])
    for again in (store, reopen(disk)[0]):
        assert [read(again, 1), read(again, 2)] == erased


def test_what_was_erased_stays_erased_when_the_end_of_the_log_is_written_again() -> None:
    """A replica whose last records have rotted fetches those ops from peers that remember them."""
    disk, store = fresh()
    frames = chain(4, size=100)
    store.append(frames)
    store.erase_many([(Op(3), 0)])
    erased = read(store, 3)
    store.cut(Op(1))
    store.append(frames[1:])
    start = frames[2].header.position + BODY_AT
    body = disk.read(names.segment(1), start, frames[2].header.body_len)
    assert body == erased.body != frames[2].body
    assert [read(store, op) for op in (2, 3, 4)] == [frames[1], erased, frames[3]]
    assert [each for each in verify(disk) if each.file != names.OUTCOMES] == []


@pytest.mark.parametrize("came_erased", [False, True])
def test_without_its_map_a_frame_with_holes_is_rotten(came_erased: bool) -> None:
    """Its zeros must not pass for events, however they came to be there."""
    disk, store = fresh()
    store.append([next_frame(None, [SMALL, BIG])])
    store.erase_many([(Op(1), 1)])
    erased = read(store, 1)
    if came_erased:
        disk, store = fresh()
        store.append([erased])
    disk.remove(names.holes(1))
    store, recovered = reopen(disk)
    assert recovered.faulty == (1,)
    store.repair([erased])
    assert read(reopen(disk)[0], 1) == erased
    assert [each for each in verify(disk) if each.file != names.OUTCOMES] == []


def test_what_does_not_match_the_root_is_not_written() -> None:
    _, store = fresh()
    whole = next_frame(None, [SMALL])
    store.append([whole])
    body = whole.body.replace(b"C", b"D", 1)
    with pytest.raises(BadFrame, match="Merkle"):
        store.repair([Frame(whole.header, body)])
    with pytest.raises(BadFrame, match="Merkle"):
        store.repair([Frame(whole.header, whole.body, (Hole(0, 7, bytes(32)),))])
    assert mask(whole, (Hole(3, 0, bytes(32)),)) is None


@pytest.mark.parametrize("at", [0, 3])
def test_rot_in_the_map_is_repaired_from_a_peer(at: int) -> None:
    disk, store = fresh()
    store.append([next_frame(None, [BIG])])
    store.erase_many([(Op(1), 0)])
    erased = read(store, 1)
    disk.rot(names.holes(1), 64 + at)
    store, recovered = reopen(disk)
    assert recovered.faulty == (1,)
    assert store.read_frames(Op(1), Op(1), MIB) == [None]
    store.repair([erased])
    assert read(store, 1) == erased
    # Its record took the place of the one that had rotted, and nothing of that is left.
    parsed = holes.decode(disk.read(names.holes(1), 0, 4096))
    assert (parsed.used, parsed.rotten) == (3, ())


def test_a_map_that_was_cut_is_whole_again_after_the_repair() -> None:
    disk, store = fresh()
    store.append(chain(20, size=100))
    store.erase_many([(Op(op), 0) for op in range(1, 21)])
    erased = [read(store, op) for op in range(1, 21)]
    name = names.holes(1)
    kept = disk.read(name, 0, 10 * 64 + 30)
    disk.remove(name)
    disk.allocate(name, len(kept))
    disk.write(name, 0, [kept])
    store, recovered = reopen(disk)
    assert recovered.faulty == tuple(range(10, 21))
    for op in recovered.faulty:
        store.repair([erased[op - 1]])
    assert [read(store, op) for op in range(1, 21)] == erased
    assert [each for each in verify(disk) if each.file == name and each.severity != NOTE] == []


def test_what_takes_the_place_of_rot_counts_as_not_erased_yet() -> None:
    """Between the map and the bytes a crash may come, and a start has to go on from there."""
    disk, store = fresh()
    frames = chain(3, size=100)
    store.append(frames)
    store.erase_many([(Op(1), 0), (Op(2), 0)])
    disk.rot(names.holes(1), 64)
    maps = holes.HoleMaps(disk)
    assert maps.map_of(Op(1)).done == 2
    [hole] = new_holes(frames[2], [0])
    maps.add(Op(1), [(Op(3), hole)])
    parsed = maps.map_of(Op(1))
    assert (parsed.used, parsed.done, parsed.rotten) == (3, 0, ())
    assert Op(3) in maps.unfinished(Op(1))


def test_rot_beside_a_hole_is_found_by_the_proof() -> None:
    disk, store = fresh()
    whole = next_frame(None, [SMALL, BIG])
    store.append([whole])
    store.erase_many([(Op(1), 1)])
    disk.rot(names.segment(1), whole.header.position + BODY_AT + 200)
    assert store.read_frames(Op(1), Op(1), MIB) == [None]
    assert reopen(disk)[1].faulty == (1,)


def test_no_space_for_the_map_erases_nothing() -> None:
    disk, store = fresh()
    store.append([next_frame(None, [BIG])])
    disk.capacity = disk.used()
    with pytest.raises(DiskFull):
        store.erase_many([(Op(1), 0)])
    assert read(store, 1).holes == ()
    disk.capacity = None
    assert store.erase_many([(Op(1), 0)]) == []


@pytest.fixture
def small_segments() -> Iterator[None]:
    before = segments.use(segments.SMALL)
    yield
    segments.use(before)


@pytest.mark.usefixtures("small_segments")
def test_what_was_listed_when_space_ran_out_is_erased_with_what_comes_next() -> None:
    """It was taken for done: the map said that bytes are gone which were there."""
    disk, store = fresh()
    frames = chain(6, size=15_000)
    store.append(frames)
    assert frames[-1].header.segment > 1, "two segments"
    assert store.erase_many([(Op(1), 0)]) == []
    disk.capacity = disk.used()
    with pytest.raises(DiskFull):
        # The first of them has a map, for the other there is no space for one.
        store.erase_many([(Op(2), 0), (Op(6), 0)])
    disk.capacity = None
    assert store.erase_many([(Op(3), 0)]) == []
    for op in (1, 2, 3):
        assert bytes(15_000) in disk.read(
            names.segment(Op(1)), frames[op - 1].header.position, 16_000
        )


def failing(disk: SimDisk, at: int) -> None:
    """Let an operation fail."""
    disk.errors[disk.operations + at] = DiskError("EIO")


def test_a_disk_that_fails_is_believed() -> None:
    frames = chain(4)
    for at in range(4):
        disk, store = fresh()
        store.append(frames[:2])
        failing(disk, at)
        with pytest.raises(DiskError):
            store.append(frames[2:])
        assert store.head == 2
        disk.crash(keep_everything)
        store, recovered = reopen(disk)
        assert recovered.headers == tuple(each.header for each in frames[: store.head])
        assert store.head in (2, 4)
        disk.unreadable.add((names.segment(1), 0))
        with pytest.raises(DiskError):
            store.read_frames(Op(1), Op(1), MIB)


class Forgetful(SimDisk):
    """Says that it wrote to a map, and has not."""

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        if not name.endswith(".holes"):
            super().write(name, at, buffers)


def test_a_map_that_cannot_be_read_again_ends_it_before_any_byte_goes() -> None:
    disk = Forgetful()
    Store.format(disk, identity(3))
    store, _ = Store.open(disk)
    store.append([next_frame(None, [SMALL])])
    with pytest.raises(DiskError, match="just written"):
        store.erase_many([(Op(1), 0)])
    assert read(store, 1).body.count(b"C" * 30) == 1


class Counting(SimDisk):
    """Notes which files are written to."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: list[str] = []

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        self.changed.append(name)
        super().write(name, at, buffers)

    def punch(self, name: str, at: int, size: int) -> None:
        """See `Disk`."""
        self.changed.append(name)
        super().punch(name, at, size)


def test_a_start_writes_nothing_where_nothing_is_left_to_erase() -> None:
    """What a replacement is sent comes erased, and on a slow disk each write counts."""
    whole = next_frame(None, [SMALL, BIG])
    _, other = fresh()
    other.append([whole])
    other.erase_many([(Op(1), 0), (Op(1), 1)])
    disk = Counting()
    Store.format(disk, identity(3))
    store, _ = Store.open(disk)
    store.append([read(other, 1)])
    assert disk.changed.count(names.segment(Op(1))) == 1
    store, _ = reopen(disk)
    assert disk.changed.count(names.segment(Op(1))) == 1
    assert store.erase_many([(Op(1), 0)]) == []
    assert read(store, 1) == read(other, 1)


def test_a_start_without_the_file_of_an_unfinished_erasure_waits_for_its_repair() -> None:
    """There is nothing to make zero, and the map keeps what comes from a peer erased."""
    whole = next_frame(None, [SMALL, BIG])
    _, other = fresh()
    other.append([whole])
    other.erase_many([(Op(1), 1)])
    disk, store = fresh()
    store.append([read(other, 1)])
    disk.vanish(names.segment(Op(1)))
    store, recovered = reopen(disk)
    assert recovered.faulty == (1,)
    store.repair([whole])
    assert read(store, 1) == read(other, 1)
    assert read(reopen(disk)[0], 1) == read(other, 1)
