"""What can be on a replica's disk, found out with the real storage on a disk in memory.

An *image* is a directory in which every write has ended. Images that storage cannot tell apart are
one; there are few of them, so each write, crash and read is tried once and then looked up.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from simulation.disk import PowerCut, SimDisk
from simulation.model.broken import noticed
from veritydb.storage import names
from veritydb.storage.store import Store
from veritydb.types.durable import Identity, Recovered, Superblock, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import GroupId, Op, View
from veritydb.vsr.effects import CutLog, RepairFrame, WriteFrames, WriteViewState

CLUSTER = bytes(range(16))
GROUP = GroupId(3)
REPLICAS = 3
BODY_AT = 300
"""A byte that lies in the body of every frame, counted from the frame's first."""

Write = WriteFrames | CutLog | WriteViewState | RepairFrame


def identity(index: int) -> Identity:
    """Who the replica of an index is."""
    return Identity(
        cluster=CLUSTER, group=GROUP, region="", index=index, replicas=REPLICAS, incarnation=0
    )


class Image(msgspec.Struct, frozen=True):
    """A directory with its open store, and what a start would make of it after a crash."""

    disk: SimDisk
    block: Superblock
    last: Header | None
    recovered: Recovered

    @property
    def state(self) -> ViewState:
        """The protocol's durable memory."""
        return self.block.view_state

    @property
    def headers(self) -> tuple[Header, ...]:
        """The durable log. There are no snapshots here, so it begins with op 1."""
        return self.recovered.headers

    @property
    def whole(self) -> bool:
        """Whether nothing of the log was lost to rot, or all of it is here again."""
        return self.recovered.head_certain and not self.state.recovering

    def store(self) -> tuple[SimDisk, Store]:
        """A copy of the directory and of its store, as it is while it is open."""
        disk = self.disk.clone()
        store = Store(disk, self.block, None)
        store._last, store._head = self.last, Op(self.last.op if self.last else 0)
        return disk, store


class Images:
    """All images that were met so far, by number."""

    def __init__(self) -> None:
        """None were met."""
        self.all: list[Image] = []
        self._numbers: dict[bytes, int] = {}
        self._written: dict[tuple[int, Write], int] = {}
        self._torn: dict[tuple[int, Write], frozenset[int]] = {}
        self._opened: dict[int, int] = {}
        self._rotten: dict[int, tuple[tuple[str, int], ...]] = {}

    def fresh(self, index: int, view: int = 0) -> int:
        """A directory that was just stamped, as if all had been in this view before."""
        disk = SimDisk()
        Store.format(disk, identity(index))
        store, recovered = Store.open(disk)
        if view:
            state = recovered.superblock.view_state
            store.write_superblock(replace(state, view=View(view), log_view=View(view)))
        return self._recover(disk)

    def write(self, image: int, write: Write) -> int:
        """The image after a write has ended."""
        key = image, unnumbered(write)
        if key not in self._written:
            disk, store = self.all[image].store()
            perform(store, write)
            self._written[key] = self._number(disk, store)
        return self._written[key]

    def crashes(self, image: int, queue: tuple[Write, ...]) -> frozenset[int]:
        """All that a start can find after a crash while these writes were under way or waiting."""
        found = {self._open(image)}
        for at, write in enumerate(queue):
            for merged in merges(queue[at:]):
                found |= self._tear(image, merged)
            image = self.write(image, write)
            found.add(self._open(image))
        return frozenset(found)

    def rotten(self, image: int) -> tuple[tuple[str, int], ...]:
        """(what, image) for each single frame or record, or both of an op, that may rot."""
        if image not in self._rotten:
            found = []
            for header in self.all[image].headers:
                frame = names.segment(header.segment), header.position + BODY_AT
                record = names.JOURNAL, header.op * 256 + 20
                spots = {"frame": (frame,), "record": (record,), "all": (frame, record)}
                for what, places in spots.items():
                    disk = self.all[image].disk.clone()
                    for name, at in places:
                        disk.rot(name, at)
                    found.append((f"{what} of op {header.op}", self._recover(disk)))
            self._rotten[image] = tuple(found)
        return self._rotten[image]

    def read_frames(self, image: int, first: Op, last: Op, size: int) -> tuple[Frame | None, ...]:
        """What a reader gets to see of an image."""
        _, store = self.all[image].store()
        return tuple(store.read_frames(first, last, size))

    def read_headers(self, image: int, first: Op, last: Op) -> tuple[Header, ...]:
        """What a reader gets to see of the journal."""
        _, store = self.all[image].store()
        return tuple(store.read_headers(first, last))

    def _open(self, image: int) -> int:
        """What a start makes of an image: it may finish what a crash had interrupted."""
        if image not in self._opened:
            self._opened[image] = self._recover(self.all[image].disk.clone())
        return self._opened[image]

    def _recover(self, disk: SimDisk) -> int:
        store, _ = Store.open(disk)
        return self._number(disk, store)

    def _tear(self, image: int, write: Write) -> frozenset[int]:
        """What a crash within a write can leave: after each operation, each subset of sectors."""
        key = image, unnumbered(write)
        if key not in self._torn:
            found: set[int] = set()
            seen: set[bytes] = set()
            try:
                for disk in torn(self.all[image], write):
                    content = digest(disk)
                    if content not in seen:
                        seen.add(content)
                        found.add(self._recover(disk))
            except AssertionError as error:
                raise noticed(error) from error
            self._torn[key] = frozenset(found)
        return self._torn[key]

    def _number(self, disk: SimDisk, store: Store) -> int:
        """The image of a directory and its store, neither of which is used any more."""
        _, recovered = Store.open(disk.clone())
        block, last = store.superblock, store._last
        # How often the superblock was written changes nothing, only what it says.
        said = repr((block.identity.index, block.view_state, last))
        key = digest(disk, skip=names.SUPERBLOCK) + blake2b(said.encode()).digest()
        if key not in self._numbers:
            self._numbers[key] = len(self.all)
            self.all.append(Image(disk, block, last, recovered))
        return self._numbers[key]


def perform(store: Store, write: Write) -> None:
    """Do what the writer does with a write."""
    if isinstance(write, WriteFrames):
        store.append(write.frames)
    elif isinstance(write, CutLog):
        store.cut(write.after)
    elif isinstance(write, WriteViewState):
        store.write_superblock(write.state)
    else:
        store.repair([write.frame])


def merges(queue: tuple[Write, ...]) -> Iterator[Write]:
    """What the writer may take as one from the head of its queue: frames that wait together."""
    first = queue[0]
    yield first
    if isinstance(first, WriteFrames):
        frames = first.frames
        for write in queue[1:]:
            if not isinstance(write, WriteFrames):
                return
            frames += write.frames
            yield WriteFrames(frames)


def torn(before: Image, write: Write) -> Iterator[SimDisk]:
    """Cut the power before each operation of a write, with each choice of what is lost then."""
    operations = 0
    while True:
        disk, store = before.store()
        disk.fail_after(operations)
        try:
            perform(store, write)
        except PowerCut:
            yield from every_crash(disk)
        else:
            return
        operations += 1


def every_crash(disk: SimDisk) -> Iterator[SimDisk]:
    """Each disk that a power cut may leave: all ways to choose."""
    path: list[int] = []
    while True:
        sizes: list[int] = []
        other = disk.clone()
        other.crash(_follow(path, sizes))
        yield other
        path = [*path, *(0 for _ in sizes[len(path) :])]
        while path and path[-1] + 1 == sizes[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def _follow(path: list[int], sizes: list[int]) -> Callable[[int], int]:
    """Choose as `path` says, then always 0; note between how many each choice was."""

    def choose(n: int) -> int:
        sizes.append(n)
        return path[len(sizes) - 1] if len(sizes) <= len(path) else 0

    return choose


def digest(disk: SimDisk, skip: str = "") -> bytes:
    """A hash of the bytes of all files but one."""
    sum_of = blake2b(digest_size=32)
    for name, at, data in disk.contents():
        if name != skip:
            sum_of.update(f"{name} {at} {len(data)};".encode())
            sum_of.update(data)
    return sum_of.digest()


def unnumbered(write: Write) -> Write:
    """The same write without the number that only tells its end apart from others."""
    return WriteViewState(0, write.state) if isinstance(write, WriteViewState) else write
