"""One group on this node: its files, its threads, and the world its node acts in."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from veritydb.node import effects as fx
from veritydb.node.config import NodeConfig
from veritydb.node.events import Event
from veritydb.node.node import Node
from veritydb.server import transfer
from veritydb.server.config import Config, GroupPart
from veritydb.server.dismantling import dismantle
from veritydb.server.group import Group
from veritydb.server.index import Extent, StreamIndex
from veritydb.server.log import Log
from veritydb.server.machine import Machine, OpenDisk
from veritydb.server.pauses import Pauses
from veritydb.server.recent import Recent
from veritydb.server.snapshots import SnapshotTask
from veritydb.server.writer import Writer
from veritydb.storage.disk import DiskError
from veritydb.storage.store import Store
from veritydb.streams.state import Streams
from veritydb.types.durable import Identity, Recovered
from veritydb.types.ids import Op
from veritydb.types.limits import RETENTION_GRACE_NS
from veritydb.vsr.effects import CheckSnapshot
from veritydb.vsr.events import (
    FrameRotten,
    FramesRead,
    FramesWritten,
    GapClosed,
    HeadersRead,
    SnapshotInstalled,
    StepDown,
)
from veritydb.vsr.messages import Message

T = TypeVar("T")
Fatal = Callable[[str, BaseException | str], None]


ROTTEN_MAX = 1_000
STEP_DOWN_NS = 5_000_000_000


class Floor(msgspec.Struct, frozen=True):
    """Events below `floor` were given up; their bytes may go at `after` (this process's clock)."""

    floor: int
    after: int


class Speaks(Protocol):
    """The connections to other nodes."""

    def send(self, group: int, to: int, message: Message) -> None:
        """Send a message to a replica of a group, or drop it."""

    def send_at_once(self, work: Callable[[], None]) -> None:
        """Do something, and send what it has to say before anything else is done."""

    def let_go(self) -> None:
        """Send what was said so far."""


class Hosted:
    """A group's replica on this node. `group` steps it; this carries out what it asks for."""

    def __init__(
        self,
        *,
        config: Config,
        part: GroupPart,
        who: Identity,
        disk: OpenDisk,
        snapshot_disk: OpenDisk,
        opened: tuple[Store, Recovered],
        node_config: NodeConfig,
        index: StreamIndex,
        pool: Executor,
        peers: Speaks,
        fatal: Fatal,
        log: Log,
        machine: Machine,
        pauses: Pauses,
    ) -> None:
        """Make it on the loop's thread. Nothing happens before the first tick."""
        self.part = part
        self.who = who
        self.index_file = index
        self.log = log.child(group=part.number)
        self.machine = machine
        self._pauses = pauses
        self.store, recovered = opened
        self.recent = Recent(self.store)
        self.full = False
        self.started = False
        self._index_resetting = False
        self._rotten: set[int] = set()
        self._stepped_down = 0
        self.reclaims: dict[int, Floor] = {}
        self.look_back = True
        self._config = config
        self._disk = disk
        self._snapshot_disk = snapshot_disk
        self._pool = pool
        self._peers = peers
        self._fatal = fatal
        self._loop = asyncio.get_running_loop()
        self._snapshot: SnapshotTask | None = None
        self._before: Streams | None = None
        ref = recovered.superblock.snapshot
        chunks: Iterator[bytes] | None = self.store.read_snapshot() if ref.op else None
        node = Node(node_config, recovered, chunks, machine.random)
        index.begin(node.applied)
        self.group = Group(part.number, node, self, log, machine)
        self.writer = Writer(
            self.store,
            self._deliver,
            lambda error: fatal("writer", error),
            self.recent.outcomes_written,
            part.name,
            machine,
            here=self,
        )

    # -- what was written

    def soon(self, work: Callable[[], None]) -> None:
        """Do this on the loop's thread, after all that is to be done already."""
        self._loop.call_soon(work)

    def written(self, events: list[Event]) -> None:
        """Take up what the loop's thread wrote by itself."""
        self._note(events)
        self._arrived(events)

    def _deliver(self, events: list[Event]) -> None:
        """On another thread."""
        self._note(events)
        try:
            self._loop.call_soon_threadsafe(self._arrived, events)
        except RuntimeError:
            # The loop has been closed: the process is ending, and nobody waits for this.
            return

    def _note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, FramesWritten):
                self.recent.durable(event.op)
            elif isinstance(event, SnapshotInstalled):
                self.recent.durable(event.ref.op)
            elif isinstance(event, GapClosed):
                self.log.info("history.complete", after=event.after)

    def _arrived(self, events: list[Event]) -> None:
        self.at_once(partial(self.group.post_all, events))

    def tick(self) -> None:
        """Let time pass, once this replica may take part."""
        if self.started and not self.group.failed:
            self.group.tick()
        if self._before is not None and not self.group.node.replica.taking:
            # Nothing came of it.
            self._before = None
        self.writer.nudge()

    # -- the world of `Group`

    def send(self, to: int, message: Message) -> None:
        """Hand a message to a peer, or drop it."""
        self._peers.send(self.part.number, to, message)

    def at_once(self, work: Callable[[], None]) -> None:
        """Do something, and send what it has to say at once."""
        self._peers.send_at_once(work)

    def let_go(self) -> None:
        """Send what was said so far."""
        self._peers.let_go()

    def write(self, effect: Any) -> None:
        """Queue a write."""
        if isinstance(effect, fx.WriteFrames):
            for frame in effect.frames:
                self.recent.add(frame)
        elif isinstance(effect, fx.AppendOutcomes):
            self.recent.add_outcomes(effect.first, effect.data)
        elif isinstance(effect, fx.CutLog):
            self.recent.cut(effect.after)
        self.writer.put(effect)

    def read_frames(self, effect: fx.ReadFrames) -> None:
        """Read on a thread, then post what was found."""

        def read() -> FramesRead:
            frames = self.recent.frames(effect.first, effect.last, effect.bytes_max)
            return FramesRead(effect.token, effect.first, tuple(frames))

        self._in_pool(read)

    def read_headers(self, effect: fx.ReadHeaders) -> None:
        """Read on a thread, then post what was found."""

        def read() -> HeadersRead:
            headers = self.store.read_headers(effect.first, effect.last)
            return HeadersRead(effect.token, effect.first, tuple(headers))

        self._in_pool(read)

    def _in_pool(self, read: Callable[[], Event | None]) -> None:
        def run() -> None:
            try:
                event = read()
            except BaseException as error:
                self._fatal("reader", error)
                return
            if event is not None:
                self._deliver([event])

        self._pool.submit(run)

    async def work(self, job: Callable[[], T]) -> T:
        """Run a job on a thread, from Trio."""
        return await self.machine.work(self.stopping(job))

    def stopping(self, job: Callable[[], T]) -> Callable[[], T]:
        """The same job for a thread, but a disk that fails under it ends this process."""

        def run() -> T:
            try:
                return job()
            except DiskError as error:
                self._fatal("reader", error)
                raise

        return run

    def index(self, effect: fx.IndexRuns) -> None:
        """Tell the stream index."""
        extents = [Extent(run.stream, run.base, run.count, run.bytes) for run in effect.runs]
        self.index_file.add(effect.op, effect.timestamp, extents)

    def applied(self, op: int) -> None:
        """All of this and earlier ops was told."""
        self.index_file.applied(op)

    def snapshot(self, effect: fx.TakeSnapshot) -> None:
        """Write it in slices between steps."""
        self._snapshot = SnapshotTask(
            effect,
            self.store,
            self._snapshot_disk,
            self.writer,
            self._in_pool,
            self._loop,
            self.log,
            self.machine,
            self._pauses,
        )
        self._snapshot.start()

    def transfer(self, effect: Any) -> None:
        """Read for a peer, or check or take up what came from one."""
        if isinstance(effect, fx.InstallSnapshot):
            self.log.info("snapshot.taken_up", op=effect.ref.op, after=effect.applied)
            self.index_file.skip(effect.ref.op)
            self.look_back = True
            self.writer.put(effect)
            self._dismantle()
        else:
            if isinstance(effect, CheckSnapshot):
                self._before = self.group.node.kernel.streams
            self._in_pool(partial(transfer.read, self.store, effect))

    def _dismantle(self) -> None:
        """What was held of the state before a peer's snapshot goes bit by bit."""
        before, self._before = self._before, None
        if before is not None:
            dismantle(before, self._loop, self.machine, self._pauses)

    def missing(self, op: int) -> bool:
        """Whether an op of the log is still to be fetched: a peer's snapshot stands for it."""
        after, upto = self.group.node.replica.missing
        return after < op <= upto

    def reclaim(self, effect: fx.Reclaim) -> None:
        """Give space back later; a higher floor takes the place of a lower one."""
        self.remember_floor(effect.stream, effect.floor)

    def remember_floor(self, stream: int, floor: int) -> None:
        """The same, also for a floor that rose before this process started."""
        waiting = self.reclaims.get(stream)
        due = self.machine.monotonic_ns() + RETENTION_GRACE_NS
        # Where floors keep rising, the first of them sets the time.
        after = due if waiting is None else waiting.after
        self.reclaims[stream] = Floor(floor, after)

    def halt(self, effect: fx.Halt) -> None:
        """Stop: this replica must do nothing more."""
        self._fatal(effect.kind.name.lower(), effect.reason)

    def crashed(self, error: Exception) -> None:
        """A step failed in its middle: this process must not go on."""
        self._fatal("step", error)

    def address(self, index: int) -> str:
        """The client address of a replica."""
        if not 0 <= index < len(self.part.replicas):
            return ""
        return self._config.node(self.part.replicas[index]).client

    def writable(self) -> bool:
        """Whether the disk has room."""
        return not (self.full or self.writer.full)

    def rotten(self, op: int) -> None:
        """A reader could not read a committed op: have it mended, if there is anybody who can."""
        block = self.store.superblock
        if not 0 < op <= self.store.head or block.gap_after < op <= block.gap_end:
            # Not in the log, or stood for by a snapshot: what is missing there is fetched anyhow.
            return
        if op not in self._rotten:
            # Whoever goes on asking does not fill the log with it.
            self._rotten = {op} if len(self._rotten) >= ROTTEN_MAX else {*self._rotten, op}
            self.log.error("frame.rotten", op=op)
        if self.who.replicas > 1:
            self.group.post(FrameRotten(Op(op)))

    def index_damaged(self, error: str) -> None:
        """The stream index was found wrong: forget it, and have it rebuilt from the log."""
        if not self._index_resetting:
            self._index_resetting = True
            self.log.warning("index.damaged", error=error)
            self._pool.submit(self._reset_index)

    def _reset_index(self) -> None:
        try:
            self.index_file.reset()
        except (sqlite3.Error, OSError) as failure:
            # Whoever needs it next finds it closed, and asks for this again.
            self.log.error("index.lost", error=type(failure).__name__)
        finally:
            self._index_resetting = False

    def let_others_lead(self) -> None:
        """Short of disk: somebody else may have room. Asked for again if the lead comes back."""
        now = self.machine.monotonic_ns()
        if self.group.leads and self.who.replicas > 1 and now > self._stepped_down:
            self._stepped_down = now + STEP_DOWN_NS
            self.group.post(StepDown())

    # -- the end

    def stop(self) -> None:
        """Refuse who waits, and write what is queued. Blocks; nothing may be posted any more."""
        self.group.stop()
        if self._snapshot is not None:
            self._snapshot.stop()
        self.writer.close()

    def close_files(self) -> None:
        """The last thing, when no thread reads any more."""
        self.index_file.close()
        self._snapshot_disk.close()
        self._disk.close()
