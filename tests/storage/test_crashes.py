"""Power cuts before every operation of small histories, with any of the unsynced sectors kept.

The rule: a log that was recovered holds everything that was acknowledged (its call had returned)
and nothing that was never written, and so does the superblock. Then the log goes on.
"""

from collections.abc import Callable, Iterator
from itertools import count
from random import Random

import msgspec
import pytest

from simulation.disk import (
    Choose,
    PowerCut,
    SimDisk,
    keep_everything,
    lose_everything,
)
from tests.storage.logs import append_entry, chain, fresh, identity, next_frame
from veritydb.storage import names
from veritydb.storage.store import Store
from veritydb.storage.verify import verify
from veritydb.types.durable import Recovered, SnapshotRef, Superblock, ViewState
from veritydb.types.frame import Frame
from veritydb.types.ids import Op, View
from veritydb.types.limits import MIB

RANDOM_CRASHES = 6


class Model(msgspec.Struct):
    """What the calls that returned have promised."""

    log: list[Frame]
    state: ViewState
    snapshot: SnapshotRef = SnapshotRef()
    erased: tuple[tuple[int, int], ...] = ()


Step = Callable[[Store, Model], None]


def append(*frames: Frame) -> Step:
    """Append frames."""

    def step(store: Store, model: Model) -> None:
        store.append(frames)
        model.log = [*model.log, *frames]

    return step


def cut(after: int) -> Step:
    """Cut the log."""

    def step(store: Store, model: Model) -> None:
        store.cut(Op(after))
        model.log = model.log[:after]

    return step


def view(number: int, log_view: int, *headers: Frame) -> Step:
    """Write a view state."""

    def step(store: Store, model: Model) -> None:
        state = msgspec.structs.replace(
            model.state,
            view=View(number),
            log_view=View(log_view),
            headers=tuple(frame.header for frame in headers),
        )
        store.write_superblock(view_state=state)
        model.state = state

    return step


def snapshot(op: int) -> Step:
    """Make a snapshot and name it."""

    def step(store: Store, model: Model) -> None:
        composer = store.begin_snapshot(model.log[op - 1].header, bytes(32))
        composer.add(b"state after %d" % op)
        ref = composer.finish()
        store.write_superblock(snapshot=ref)
        model.snapshot = ref

    return step


def erase(op: int) -> Step:
    """Erase the first entry of an op."""

    def step(store: Store, model: Model) -> None:
        assert store.erase_many([(Op(op), 0)]) == []
        model.erased = (*model.erased, (op, 0))

    return step


def repair(op: int) -> Step:
    """Write a frame of the log again."""

    def step(store: Store, model: Model) -> None:
        store.repair(model.log[op - 1])

    return step


OLD = chain(4, size=900)
# What the new view decides: op 2 stays, 3 and 4 do not.
NEW = chain(3, OLD[1].header, view=1, size=700)
LATE = chain(2, NEW[2].header, view=1)
HISTORIES: dict[str, list[Step]] = {
    "append": [append(*OLD[:1]), append(*OLD[1:3]), append(OLD[3])],
    "view change": [
        append(*OLD[:2]),
        append(*OLD[2:]),
        view(1, 0, *OLD),
        cut(2),
        append(*NEW),
        view(1, 1, *OLD[:2], *NEW),
        append(*LATE),
    ],
    "view first, cut later": [
        append(*OLD),
        view(1, 0, *OLD),
        view(1, 1, *OLD[:2]),
        cut(2),
        append(*NEW),
    ],
    "catching up with frames of an older view": [
        view(3, 3),
        append(*OLD[:2]),
        append(*OLD[2:]),
    ],
    "snapshots": [append(*OLD[:2]), snapshot(1), append(*OLD[2:]), snapshot(3), snapshot(4)],
    "repair": [append(*OLD), repair(2), repair(4)],
    "erase": [append(*OLD), erase(2), erase(1), repair(2)],
}


def crashes(seed: int) -> Iterator[Choose]:
    """Ways in which a power cut can end."""
    yield lose_everything
    yield keep_everything
    for number in range(RANDOM_CRASHES):
        yield Random(seed * 100 + number).randrange


def run(store: Store, steps: list[Step]) -> tuple[Model, Model, bool]:
    """Take steps until power fails.

    Returns what was promised, what the step that was interrupted would have made of it, and whether
    power failed.
    """
    model = Model([], store.superblock.view_state)
    for number, step in enumerate(steps, start=1):
        before = msgspec.structs.replace(model)
        try:
            step(store, model)
        except PowerCut:
            _, tried, _ = run(fresh()[1], steps[:number])
            return before, tried, True
    return model, model, False


def check(recovered: Recovered, store: Store, done: Model, tried: Model) -> None:
    """What was recovered lies between what was acknowledged and what was asked for."""
    assert recovered.head_certain
    assert recovered.faulty == ()
    block: Superblock = recovered.superblock
    assert block.view_state in (done.state, tried.state)
    assert block.snapshot in (done.snapshot, tried.snapshot)
    reread = store.read_frames(Op(1), recovered.head, 1 << 40)
    assert len(reread) == recovered.head
    log: list[Frame] = []
    for frame in reread:
        assert frame is not None
        log.append(frame)
    plain = [without_holes(frame, done, tried) for frame in log]
    least, most = sorted((done.log, tried.log), key=len)
    installed = block.view_state
    if installed.log_view == installed.view and installed.headers:
        # Opening finishes a cut that the installed view implies.
        least = least[: min(len(least), installed.headers[-1].op)]
    assert len(least) <= len(plain) <= len(most)
    hashes = [frame.header.hash for frame in most]
    assert [frame.header.hash for frame in plain] == hashes[: len(plain)]
    assert [frame.header for frame in log][block.snapshot.op :] == list(recovered.headers)


def without_holes(frame: Frame, done: Model, tried: Model) -> Frame:
    """Check that what was erased is, and that nothing else is."""
    erased = {hole.entry for hole in frame.holes}
    must = {entry for op, entry in done.erased if op == frame.header.op}
    may = {entry for op, entry in tried.erased if op == frame.header.op}
    assert must <= erased <= must | may
    return frame


def goes_on(disk: SimDisk, store: Store, recovered: Recovered) -> None:
    """The log takes another frame, and there is nothing wrong with the files."""
    last = store.read_headers(recovered.head, recovered.head) if recovered.head else []
    view_now = recovered.superblock.view_state.log_view
    more = next_frame(last[-1] if last else recovered.base, view=view_now)
    store.append([more])
    disk.crash(lose_everything)
    again, found = Store.open(disk)
    assert found.head == recovered.head + 1
    assert again.read_frames(found.head, found.head, MIB) == [more]
    assert [finding for finding in verify(disk) if finding.file != names.OUTCOMES] == []


@pytest.mark.parametrize("name", HISTORIES)
def test_a_power_cut_before_any_operation(name: str) -> None:
    steps = HISTORIES[name]
    for at in count():
        disk, store = fresh()
        disk.fail_after(at)
        done, tried, failed = run(store, steps)
        for choose in crashes(at):
            left = disk.clone()
            left.crash(choose)
            again, recovered = Store.open(left)
            check(recovered, again, done, tried)
            goes_on(left, again, recovered)
        if not failed:
            return


@pytest.mark.parametrize("name", ["view change", "snapshots", "erase"])
def test_a_power_cut_while_starting_after_a_power_cut(name: str) -> None:
    steps = HISTORIES[name]
    for at in count():
        disk, store = fresh()
        disk.fail_after(at)
        done, tried, failed = run(store, steps)
        disk.crash(Random(at).randrange)
        for second in count():
            left = disk.clone()
            left.fail_after(second)
            try:
                Store.open(left)
                finished = True
            except PowerCut:
                finished = False
            left.crash(Random(1000 * at + second).randrange)
            again, recovered = Store.open(left)
            check(recovered, again, done, tried)
            goes_on(left, again, recovered)
            if finished:
                break
        if not failed:
            return


def every_outcome(disk: SimDisk) -> Iterator[SimDisk]:
    """Every disk that a power cut can leave: depth-first through all choices."""
    path: list[tuple[int, int]] = []
    while True:
        taken = 0

        def choose(n: int) -> int:
            nonlocal taken
            if taken == len(path):
                path.append((0, n))
            taken += 1
            return path[taken - 1][0]

        left = disk.clone()
        left.crash(choose)
        yield left
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return
        path[-1] = (path[-1][0] + 1, path[-1][1])


@pytest.mark.parametrize(
    "steps",
    [
        [append(*OLD[:2]), append(*OLD[2:])],
        [append(*OLD), view(1, 1, *OLD[:1]), cut(1)],
    ],
    ids=["append", "cut"],
)
def test_every_subset_of_unsynced_sectors(steps: list[Step]) -> None:
    outcomes = 0
    for at in count():
        disk, store = fresh()
        disk.fail_after(at)
        done, tried, failed = run(store, steps)
        if disk.dirty() <= 9:
            for left in every_outcome(disk):
                again, recovered = Store.open(left)
                check(recovered, again, done, tried)
                outcomes += 1
        if not failed:
            break
    assert outcomes > 100


def test_a_power_cut_on_the_way_into_the_next_segment() -> None:
    # Zeros cost the simulated disk nothing; five of these fill a segment but for a little.
    full = [next_frame(None, [append_entry([bytes(6 * MIB)] * 2)])]
    while len(full) < 5:
        full.append(next_frame(full[-1].header, [append_entry([bytes(6 * MIB)] * 2)]))
    crossing = [next_frame(full[-1].header, [append_entry([bytes(4 * MIB)])])]
    crossing.append(next_frame(crossing[0].header))
    assert crossing[0].header.segment == 6
    filled, store = fresh()
    store.append(full)
    for spare in (False, True):
        if spare:
            store.prepare()
        for at in count():
            disk = filled.clone()
            store, _ = Store.open(disk)
            disk.fail_after(at)
            done = 5
            try:
                store.append(crossing)
                done = 7
                store.cut(Op(6))
                done = 6
            except PowerCut:
                pass
            disk.crash(Random(at).randrange)
            again, recovered = Store.open(disk)
            assert recovered.head_certain
            assert done in (5, recovered.head, 7)
            assert recovered.head >= min(done, 6)
            wanted = [*full, *crossing][4 : recovered.head]
            assert again.read_frames(Op(5), Op(9), 1 << 40) == wanted
            segments = [names.segment(1), *[names.segment(6)][: recovered.head > 5]]
            found = [name for name in disk.names("segments/") if name != names.SPARE]
            assert found == segments
            if done == 6:
                break


def test_a_power_cut_while_stamping() -> None:
    for at in count():
        disk = SimDisk()
        disk.fail_after(at)
        try:
            Store.format(disk, identity())
            failed = False
        except PowerCut:
            failed = True
        for choose in crashes(at):
            left = disk.clone()
            left.crash(choose)
            if left.size(names.SUPERBLOCK) is None:
                assert failed
                Store.format(left, identity())
            store, recovered = Store.open(left)
            assert recovered.head == 0
            goes_on(left, store, recovered)
        if not failed:
            return


def test_a_power_cut_while_a_snapshot_is_installed() -> None:
    frames = chain(6)
    _, source = fresh()
    source.append(frames)
    composer = source.begin_snapshot(frames[4].header, bytes(32))
    composer.add(b"state")
    ref = composer.finish()
    raw = source.read_snapshot_raw(ref, 0, ref.size)
    given_up = chain(2, frames[0].header, view=7)
    for at in count():
        disk, store = fresh()
        store.append([frames[0], *given_up])
        disk.fail_after(at)
        try:
            receiver = store.receive_snapshot()
            receiver.write_raw(raw)
            store.install_snapshot(receiver.finish_raw(), Op(1))
            failed = False
        except PowerCut:
            failed = True
        for choose in crashes(at):
            left = disk.clone()
            left.crash(choose)
            again, recovered = Store.open(left)
            if recovered.superblock.snapshot.op == 0:
                assert failed
                assert recovered.head == 3
            else:
                assert recovered.head == 5
                assert again.read_frames(Op(1), Op(5), MIB) == [frames[0], None, None, None, None]
        if not failed:
            return
