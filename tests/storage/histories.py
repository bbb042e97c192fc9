"""Small histories of a replica's directory, and what the calls in them promise."""

from collections.abc import Callable

import msgspec

from simulation.disk import PowerCut, SimDisk
from tests.storage.logs import append_entry, fresh, next_frame, outcome_of
from veritydb.storage.store import Store
from veritydb.types import outcome
from veritydb.types.durable import Recovered, SnapshotRef, Superblock, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.history import Proof
from veritydb.types.ids import Op, View
from veritydb.types.limits import MIB
from veritydb.types.merkle import NO_HASH


class Model(msgspec.Struct):
    """What the calls that returned have promised. Ops of the `gap` may be missing."""

    log: list[Frame]
    state: ViewState
    snapshot: SnapshotRef = SnapshotRef()
    erased: tuple[tuple[int, int], ...] = ()
    gap: range = range(0)
    outcomes: bytes = b""


Step = Callable[[Store, Model], None]
Begin = Callable[[], tuple[SimDisk, Store, Model]]


class History(msgspec.Struct, frozen=True):
    """Calls, one after the other, on a directory that `begin` makes."""

    name: str
    steps: tuple[Step, ...]
    begin: Begin
    skip: int = 0
    """The first ops are too large to read them again each time."""

    def models(self) -> list[Model]:
        """What is promised before the first call, and after each."""
        _, store, model = self.begin()
        found = [msgspec.structs.replace(model)]
        for step in self.steps:
            step(store, model)
            found.append(msgspec.structs.replace(model))
        return found

    def run(self, store: Store) -> int:
        """Take the steps until power fails; return how many were finished."""
        _, _, model = self.begin()
        for done, step in enumerate(self.steps):
            try:
                step(store, model)
            except PowerCut:
                return done
        return len(self.steps)


def nothing() -> tuple[SimDisk, Store, Model]:
    """A directory without log."""
    disk, store = fresh()
    return disk, store, Model([], store.superblock.view_state)


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
    """Make a snapshot and name it. From then on the outcomes before it are durable too."""

    def step(store: Store, model: Model) -> None:
        composer = store.begin_snapshot(model.log[op - 1].header, HEADS[op])
        composer.add(b"state after %d" % op)
        ref = composer.finish()
        store.write_superblock(snapshot=ref)
        model.snapshot = ref

    return step


def outcomes(first: int, last: int) -> Step:
    """Append the outcomes of ops, one each; nothing is promised before the next snapshot."""

    def step(store: Store, model: Model) -> None:
        store.append_outcomes(first - 1, b"".join(OUTCOMES[first - 1 : last]))
        model.outcomes = b"".join(OUTCOMES[:last])

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
        store.repair([model.log[op - 1]])

    return step


def prepare(store: Store, model: Model) -> None:
    """Reserve space."""
    assert model.log is not None
    store.prepare()


OUTCOMES = [outcome_of(op) for op in range(1, 10)]
HEADS = [NO_HASH]
for _record in OUTCOMES:
    HEADS.append(outcome.chain(HEADS[-1], [_record]))


def log(count: int, view: int = 0, after: Header | None = None, size: int = 60) -> list[Frame]:
    """Frames of one sector (or more) that follow each other and name the outcomes before them."""
    found: list[Frame] = []
    previous = after
    for _ in range(count):
        op = previous.op + 1 if previous else 1
        entry = append_entry([b"event %d of view %d" % (op, view) + b"." * size])
        found.append(next_frame(previous, [entry], view, outcomes=HEADS[op - 1]))
        previous = found[-1].header
    return found


OLD = log(5)
WIDE = log(3, size=700)
# What the new view decides: op 2 stays, 3 and those behind do not.
NEW = log(2, 1, OLD[1].header)
LATE = log(1, 1, NEW[1].header)
GIVEN_UP = log(2, 0, OLD[0].header, size=90)


REST = log(1, 1, WIDE[1].header)
BROAD = log(4, 0, WIDE[0].header, size=700)
LONG = log(9)
# The second's events fill a block of 4 KiB and a little on both sides.
BLOCKS = [*log(1, size=3100), *log(1, 0, log(1, size=3100)[0].header, size=4200)]


class Giver(msgspec.Struct):
    """Another replica, which holds five ops and a snapshot of the fourth."""

    store: Store
    ref: SnapshotRef


def giver() -> Giver:
    """Make it."""
    _, store, model = nothing()
    for step in (append(*OLD), outcomes(1, 5), snapshot(4)):
        step(store, model)
    return Giver(store, model.snapshot)


GIVER = giver()


def receive(applied: int) -> Step:
    """Take over the other replica's snapshot, of which ops up to `applied` are known here."""

    def step(store: Store, model: Model) -> None:
        ref = GIVER.ref
        raw = GIVER.store.read_snapshot_raw(ref, 0, ref.size)
        store.save_snapshot(0, raw[:300])
        store.save_snapshot(300, raw[300:])
        for chunk in store.received(ref)[1]:
            assert chunk
        store.install_snapshot(ref, Op(applied))
        model.snapshot = ref
        model.log = [*model.log[:applied], *OLD[applied : ref.op]]
        model.gap = range(applied + 1, ref.op + 1)

    return step


def fill(first: int, last: int) -> Step:
    """Fetch the ops of the gap from its end downwards."""

    def step(store: Store, model: Model) -> None:
        found, _ = GIVER.store.read_history(Op(first), Op(last), MIB)
        proof = Proof(Op(last), OLD[last - 1].header.hash, HEADS[last])
        assert store.write_history(found, proof)
        model.gap = range(model.gap.start, first)

    return step


def close(after: int) -> Step:
    """Note that there is no gap any more."""

    def step(store: Store, model: Model) -> None:
        assert not model.gap
        assert store.close_gap(Op(after))

    return step


def almost_full() -> tuple[SimDisk, Store, Model]:
    """A directory whose segment has room for no more than one small frame, behind a snapshot."""
    disk, store, model = nothing()
    for _ in range(4):
        previous = model.log[-1].header if model.log else None
        # Zeros cost the simulated disk nothing.
        entries = [append_entry([bytes(4 * MIB - 400)]) for _ in range(4)]
        append(next_frame(previous, entries, outcomes=HEADS[len(model.log)]))(store, model)
    append(*log(1, 0, model.log[-1].header, size=600))(store, model)
    snapshot(5)(store, model)
    disk.crash(lambda n: n - 1)
    return disk, store, model


class _Full:
    """Made once, when it is first asked for: hashing 64 MiB takes a while."""

    made: tuple[SimDisk, Model] | None = None


def full() -> tuple[SimDisk, Store, Model]:
    """The same every time."""
    if _Full.made is None:
        disk, _, model = almost_full()
        _Full.made = disk, model
    disk, model = _Full.made
    own = disk.clone()
    return own, Store.open(own)[0], msgspec.structs.replace(model)


def crossing(store: Store, model: Model) -> None:
    """Append frames of which the last ones are in the next segment."""
    previous = model.log[-1].header
    (first,) = log(1, 0, previous)
    rest = log(2, 0, first.header, size=600)
    assert (first.header.segment, rest[0].header.segment) == (1, previous.op + 2)
    append(first, *rest)(store, model)


HISTORIES = [
    History("append", (append(*OLD[:1]), append(*OLD[1:4]), append(OLD[4])), nothing),
    History("wide frames", (append(*WIDE[:2]), append(WIDE[2])), nothing),
    History(
        "view change",
        (
            append(*OLD[:2]),
            append(*OLD[2:4]),
            view(1, 0, *OLD[:4]),
            cut(2),
            append(*NEW),
            view(1, 1, *OLD[:2], *NEW),
            append(*LATE),
        ),
        nothing,
    ),
    History(
        "view first, cut later",
        (
            append(*OLD[:4]),
            view(1, 0, *OLD[:4]),
            view(1, 1, *OLD[:2]),
            cut(2),
            append(*NEW),
        ),
        nothing,
    ),
    History(
        "catching up with frames of an older view",
        (view(3, 3), append(*OLD[:2]), append(*OLD[2:4])),
        nothing,
    ),
    History(
        "outcomes and snapshots",
        (
            append(*OLD[:2]),
            outcomes(1, 2),
            snapshot(1),
            append(*OLD[2:4]),
            outcomes(3, 4),
            snapshot(3),
            snapshot(4),
        ),
        nothing,
    ),
    History("repair", (append(*WIDE), repair(2), repair(3)), nothing),
    History("erase", (append(*WIDE[:2]), erase(2), erase(1), repair(2)), nothing),
    History(
        "another replica's snapshot",
        (
            append(OLD[0], *GIVEN_UP),
            outcomes(1, 1),
            receive(1),
            append(OLD[4]),
            fill(3, 4),
            fill(2, 2),
            close(1),
        ),
        nothing,
    ),
    History("into the next segment", (prepare, crossing, cut(6)), full, skip=4),
    History(
        "outcomes in flight beside all else",
        (
            append(*WIDE[:2]),
            outcomes(1, 1),
            append(WIDE[2]),
            outcomes(2, 2),
            view(1, 1, *WIDE[:2]),
            cut(2),
            append(*REST[:1]),
            erase(1),
            snapshot(2),
        ),
        nothing,
    ),
]
LARGE = [
    History("four wide frames at once", (append(WIDE[0]), append(*BROAD)), nothing),
    History(
        "a cut of wide frames",
        (append(WIDE[0], *BROAD[:3]), view(1, 1, WIDE[0]), cut(1)),
        nothing,
    ),
    History("erasing a whole block", (append(BLOCKS[0]), append(BLOCKS[1]), erase(2)), nothing),
    History(
        "nine ops and all their headers",
        (append(*LONG[:6]), append(*LONG[6:]), view(2, 1, *LONG), view(2, 2, *LONG[:7]), cut(7)),
        nothing,
    ),
]


def check(recovered: Recovered, store: Store, done: Model, tried: Model, skip: int = 0) -> None:
    """What was recovered lies between what was acknowledged and what was asked for."""
    assert recovered.head_certain
    assert recovered.faulty == ()
    block = recovered.superblock
    assert block.view_state in (done.state, tried.state)
    assert block.snapshot in (done.snapshot, tried.snapshot)
    least, most = bounds(block, done, tried)
    log = store.read_frames(Op(skip + 1), recovered.head, 1 << 40)
    assert len(log) == recovered.head - skip
    assert len(least) <= recovered.head <= len(most)
    may_lack = (*done.gap, *tried.gap)
    for op, frame in enumerate(log, start=skip + 1):
        if frame is None:
            assert op in may_lack and op <= block.gap_end
            continue
        assert frame.header.hash == most[op - 1].header.hash
        holes_are_right(frame, done, tried)
        assert frame.holes or frame == most[op - 1]
    assert [one.header for one in most[block.snapshot.op : recovered.head]] == list(
        recovered.headers
    )
    kept = block.snapshot.op
    if kept:
        assert store.read_outcomes(0, kept)[: len(done.outcomes)] == done.outcomes[: 64 * kept]
        assert b"".join(store.read_snapshot()) == b"state after %d" % kept


def bounds(block: Superblock, done: Model, tried: Model) -> tuple[list[Frame], list[Frame]]:
    """The shortest log that may be recovered, and the longest; the one begins the other."""
    if block.snapshot != done.snapshot:
        done = tried
    elif block.snapshot != tried.snapshot:
        tried = done
    least, most = sorted((done.log, tried.log), key=len)
    installed = block.view_state
    if installed.log_view == installed.view and installed.headers:
        # Opening finishes a cut that the installed view implies.
        least = least[: min(len(least), installed.headers[-1].op)]
    return least, most


def holes_are_right(frame: Frame, done: Model, tried: Model) -> None:
    """Check that what was erased is, and that nothing else is."""
    erased = {hole.entry for hole in frame.holes}
    must = {entry for op, entry in done.erased if op == frame.header.op}
    may = {entry for op, entry in tried.erased if op == frame.header.op}
    assert must <= erased <= must | may
