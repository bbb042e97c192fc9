"""Every power cut of small histories: before each operation, with each subset of unsynced sectors.

Two power cuts that leave the same bytes need only one start. Starts are cut as well, at each of
their operations and with each subset, again and again, until no new bytes come up: what holds then
holds for any number of power cuts in a row.

    python -m tests.storage.exhaustive      all histories, and rot in all that a power cut leaves
"""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations, count

import msgspec

from simulation.disk import PowerCut, SimDisk, lose_everything
from tests.storage.histories import HISTORIES, LARGE, History, Model, bounds, check, log
from tests.storage.logs import identity
from veritydb.storage import names
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.store import Store
from veritydb.storage.verify import verify
from veritydb.types.durable import Recovered
from veritydb.types.frame import Frame
from veritydb.types.ids import Op
from veritydb.types.limits import MIB

SUBSETS_MAX = 1 << 14


class Counts(msgspec.Struct):
    """How much was tried."""

    points: int = 0
    """Operations before which power was cut, those of starts among them."""
    subsets: int = 0
    """Ways in which those power cuts could end."""
    disks: int = 0
    """Different contents that they left, each of which was started from."""
    rotten: int = 0
    """Of those contents with rot in some of their records and frames."""

    def add(self, other: "Counts") -> None:
        """Add up."""
        self.points += other.points
        self.subsets += other.subsets
        self.disks += other.disks
        self.rotten += other.rotten

    def __str__(self) -> str:
        """As one line of a table."""
        return f"{self.points:>9,} {self.subsets:>10,} {self.disks:>10,} {self.rotten:>10,}"


def every_end(disk: SimDisk) -> Iterator[SimDisk]:
    """Every disk that a power cut can leave: depth-first through all choices."""
    path: list[tuple[int, int]] = []
    for found in count(1):
        assert found <= SUBSETS_MAX, "too much in flight to try every subset"
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


def contents(disk: SimDisk) -> Hashable:
    """The bytes of all files; equal for equal disks."""
    stretches = tuple(disk.contents())
    return stretches, tuple((name, disk.size(name)) for name in disk.names(""))


class Explorer:
    """Goes through everything that power cuts make of one history."""

    def __init__(self, history: History) -> None:
        """Nothing was tried yet."""
        self.history = history
        self.counts = Counts()
        self.models = history.models()
        # Per number of finished steps: contents seen, and disks to start from.
        self._seen: set[tuple[int, Hashable]] = set()
        self._waiting: deque[tuple[int, SimDisk]] = deque()

    def run(self, rots: int = 0, deep: bool = True) -> Counts:
        """Cut the power everywhere; with `rots`, let up to so many records and frames rot."""
        steps = len(self.history.steps)
        for at in count():
            disk, store, _ = self.history.begin()
            disk.fail_after(at)
            done = self.history.run(store)
            self._cut(done, disk)
            self._kill(done, disk)
            if done == steps:
                break
        while self._waiting:
            done, disk = self._waiting.popleft()
            self._start(done, disk, deep)
            if rots:
                self._rot(done, disk, rots)
        return self.counts

    def _cut(self, done: int, disk: SimDisk) -> None:
        self.counts.points += 1
        for left in every_end(disk):
            self.counts.subsets += 1
            key = done, contents(left)
            if key not in self._seen:
                self._seen.add(key)
                self._waiting.append((done, left))

    def _kill(self, done: int, disk: SimDisk) -> None:
        """Let the process die, and power fail later: what the next start believed is there."""
        for at in count():
            left = disk.clone()
            left.fail_after(at)
            try:
                store, recovered = Store.open(left)
            except PowerCut:
                self._cut(done, left)
                continue
            check(recovered, store, *self._promised(done), self.history.skip)
            self.counts.points += 1
            for end in every_end(left):
                self.counts.subsets += 1
                assert Store.open(end)[1] == recovered
            return

    def _promised(self, done: int) -> tuple[Model, Model]:
        return self.models[done], self.models[min(done + 1, len(self.history.steps))]

    def _start(self, done: int, disk: SimDisk, deep: bool) -> None:
        """Start from a disk, check, start again, go on; and cut the power while it starts."""
        self.counts.disks += 1
        promised = self._promised(done)
        whole = disk.clone()
        store, recovered = Store.open(whole)
        check(recovered, store, *promised, self.history.skip)
        self._twice(whole, recovered)
        goes_on(whole, store, recovered)
        if not self.history.skip:
            assert [str(one) for one in verify(whole) if one.file != names.OUTCOMES] == []
        if not deep:
            return
        for at in range(disk_operations(disk)):
            again = disk.clone()
            again.fail_after(at)
            try:
                Store.open(again)
            except PowerCut:
                self._cut(done, again)

    def _twice(self, disk: SimDisk, recovered: Recovered) -> None:
        """A second start finds the same and has nothing left to do."""
        before = contents(disk)
        copy = disk.clone()
        _, again = Store.open(copy)
        assert again == recovered
        assert contents(copy) == before

    def _rot(self, done: int, disk: SimDisk, rots: int) -> None:
        """Let records and frames of what was acknowledged rot, up to so many at a time."""
        least, most = bounds(Store.open(disk.clone())[1].superblock, *self._promised(done))
        base = Store.open(disk.clone())[1].superblock.snapshot.op
        what = [(kind, one.header.op) for kind in ("record", "frame") for one in least[base:]]
        for number in range(1, rots + 1):
            for chosen in combinations(what, number):
                left = disk.clone()
                for kind, op in chosen:
                    if kind == "record":
                        left.rot(names.JOURNAL, op * RECORD_BYTES + 40)
                    else:
                        header = most[op - 1].header
                        left.rot(names.segment(header.segment), header.position + 250)
                self.counts.rotten += 1
                check_rotten(left, least, most, chosen)


def disk_operations(disk: SimDisk) -> int:
    """How many operations a start from this disk takes."""
    copy = disk.clone()
    before = copy.operations
    Store.open(copy)
    return copy.operations - before


def goes_on(disk: SimDisk, store: Store, recovered: Recovered) -> None:
    """The log takes another frame."""
    last = store.read_headers(recovered.head, recovered.head) if recovered.head else []
    view_now = recovered.superblock.view_state.log_view
    (more,) = log(1, view_now, last[-1] if last else recovered.base)
    store.append([more])
    disk.crash(lose_everything)
    again, found = Store.open(disk)
    assert found.head == recovered.head + 1
    assert again.read_frames(found.head, found.head, MIB) == [more]


def check_rotten(
    disk: SimDisk, least: Sequence[Frame], most: Sequence[Frame], rotten: Sequence[tuple[str, int]]
) -> None:
    """What was acknowledged and has rotted is faulty, or the head is in doubt; never absent."""
    store, recovered = Store.open(disk)
    frames = {op for kind, op in rotten if kind == "frame"}
    records = {op for kind, op in rotten if kind == "record"}
    base = recovered.superblock.snapshot.op
    # While a view is not installed, what its DoViewChange promised counts as much.
    named = {one.op: one.hash for one in recovered.superblock.view_state.headers}
    for one in recovered.headers:
        assert one.hash in (most[one.op - 1].header.hash, named.get(one.op))
    if recovered.head_certain:
        assert recovered.head >= len(least)
    else:
        # Doubt needs a reason: a record that is gone, with its frame or at the end of the log.
        assert records & frames or max(records) >= len(least)
    assert set(recovered.faulty) >= {op for op in frames if op <= recovered.head}
    for op, frame in enumerate(store.read_frames(Op(base + 1), recovered.head, MIB), base + 1):
        assert (frame is None) == (op in recovered.faulty)
        assert frame is None or frame.holes or frame == most[op - 1]
    copy = disk.clone()
    assert Store.open(copy)[1] == recovered
    assert contents(copy) == contents(disk)


def stamping() -> Counts:
    """The same for a directory that is being stamped: whatever is left can be stamped again."""
    counts = Counts()
    seen: set[Hashable] = set()
    waiting = deque([SimDisk()])
    while waiting:
        disk = waiting.popleft()
        counts.disks += 1
        for at in count():
            left = disk.clone()
            left.fail_after(at)
            try:
                stamp(left)
                break
            except PowerCut:
                counts.points += 1
            for end in every_end(left):
                counts.subsets += 1
                if contents(end) not in seen:
                    seen.add(contents(end))
                    waiting.append(end)
    return counts


def stamp(disk: SimDisk) -> None:
    """Stamp a directory if it is not yet, and start from it."""
    if disk.size(names.SUPERBLOCK) is None:
        Store.format(disk, identity())
    _, recovered = Store.open(disk)
    assert (recovered.head, recovered.head_certain) == (0, True)


def main() -> None:
    """Go through everything and print how much was tried."""
    print(f"{'history':<42} {'points':>9} {'subsets':>10} {'disks':>10} {'with rot':>10}")
    total = stamping()
    print(f"{'stamping':<42} {total}")
    for rots, histories in ((3, HISTORIES), (2, LARGE)):
        for history in histories:
            counts = Explorer(history).run(rots)
            total.add(counts)
            print(f"{history.name:<42} {counts}", flush=True)
    print(f"{'together':<42} {total}")


if __name__ == "__main__":
    main()
