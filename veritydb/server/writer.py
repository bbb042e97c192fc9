"""The writer of one group: a thread that owns the store's writing side.

Everything that must be durable goes through one queue, first in, first out. Frames that wait
together are written and synced together, which is what makes many small requests cheap. A failed
write or sync is never tried again: what the disk holds is then unknown, so the process ends.

A thread has to be woken, and has to wake the loop, which takes about as long as a good disk takes
to sync. So where little is to be written, nothing else waits and the disk has been quick, the
loop's thread does it by itself, after what it has to do anyhow: messages have gone out by then.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import NoReturn, Protocol

from veritydb.node.effects import AppendOutcomes, CutLog, RepairFrame, WriteFrames, WriteSuperblock
from veritydb.node.events import Event, SuperblockWritten
from veritydb.server import transfer
from veritydb.server.machine import MACHINE, Machine
from veritydb.storage.disk import DiskFull
from veritydb.storage.store import Store
from veritydb.types.frame import Frame
from veritydb.types.outcome import RECORD_BYTES
from veritydb.vsr.events import FrameRepaired, FramesWritten, LogCut

Job = Callable[[], "Event | None"]
Write = WriteFrames | RepairFrame | CutLog | WriteSuperblock | AppendOutcomes | transfer.Write | Job
# What one sync may cover. More would make the first of them wait for the last.
GATHER_BYTES = 16 << 20
FULL_RETRY_SECONDS = 0.25
# So much the loop's thread may write by itself. While it does nobody is answered.
HERE_BYTES = 32 << 10
# How long writes take is an average in which the last one counts for one part of so many.
AVERAGED = 8


class Deliver(Protocol):
    """How completions get back to the loop."""

    def __call__(self, events: list[Event], /) -> None:
        """Called on the writer's thread."""


class Here(Protocol):
    """The loop's thread, where the writer may write by itself."""

    def soon(self, work: Callable[[], None], /) -> None:
        """Do this there after all that is to be done already."""

    def written(self, events: list[Event], /) -> None:
        """See `Deliver`, but called there."""


class Writer:
    """Takes writes from the loop's thread; `deliver` gets their completions, in order."""

    def __init__(
        self,
        store: Store,
        deliver: Deliver,
        failed: Callable[[BaseException], None],
        written: Callable[[int], None],
        name: str,
        machine: Machine = MACHINE,
        here: Here | None = None,
    ) -> None:
        """`failed` is called where the write was, once, and must end whoever relies on it.

        `written` gets the number of entries whose outcomes a reader finds in the file. Without
        `here` all is written on the writer's thread.
        """
        self.full = False
        # A snapshot is being written, and a sync may take as long as that of many megabytes.
        self.crowded = False
        self._store = store
        self._deliver = deliver
        self._failed = failed
        self._written = written
        self._queue: deque[Write] = deque()
        self._wake = machine.condition()
        self._here = here
        self._now = machine.monotonic_ns
        # How long a write of frames takes. What is not known yet is not quick.
        self._quick_ns = machine.quick_ns
        self._took_ns = 2 * machine.quick_ns
        self._closed = False
        self._idle = False
        self.gathered = 0
        self.syncs = 0
        self._thread = machine.thread(self._run, f"writer-{name}")

    def put(self, write: Write) -> None:
        """Queue one write. A `Job` is a function that runs in its turn on the writer's thread.

        Outcomes wait for the next other write or `nudge`: nobody waits for them, and waking the
        thread for each would cost more than writing them.
        """
        self._queue.append(write)
        quick = self._took_ns < self._quick_ns and not self.crowded
        here = self._here if self._idle and quick else None
        if here is not None and isinstance(write, WriteFrames):
            here.soon(self._write_here)
        elif not isinstance(write, AppendOutcomes):
            self.nudge()

    def nudge(self) -> None:
        """See to it that what is queued is carried out."""
        if self._idle and self._queue:
            with self._wake:
                self._wake.notify()

    def _write_here(self) -> None:
        """On the loop's thread: write what waits, or wake the writer's where that is better."""
        assert self._here is not None
        done: list[Event] = []
        with self._wake:
            # The writer's thread is waiting, if it is idle, and goes on only after this.
            writes = [write for write in self._queue if not isinstance(write, AppendOutcomes)]
            if not writes or not self._idle:
                return
            frames = self._little(writes)
            if not frames:
                self._wake.notify()
                return
            self._queue = deque(each for each in self._queue if isinstance(each, AppendOutcomes))
            try:
                self._append(frames, done)
            except BaseException as error:
                # The writer's thread is to end by it, as by an error of its own.
                self._queue = deque([partial(fail, error)])
                self._wake.notify()
                return
        self._here.written(done)

    def _little(self, writes: Iterable[Write]) -> list[Frame]:
        """The frames to write, if that is all, they are few, and each has its place in a file."""
        frames: list[Frame] = []
        size = 0
        for write in writes:
            if not isinstance(write, WriteFrames):
                return []
            for frame in write.frames:
                frames.append(frame)
                size += len(frame.body)
        return frames if size <= HERE_BYTES and self._store.has_place(frames) else []

    def look_again(self) -> None:
        """There may be space by now: try what found none."""
        self.put(self._try_prepare)

    def _try_prepare(self) -> None:
        self._prepare()

    def close(self) -> None:
        """Carry out what is queued, then end. Waits for that."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    # -- the writer's thread

    def _run(self) -> None:
        try:
            while self._wait():
                self._turn()
        except DiskFull as error:
            # At the end there is nobody left to wait for space; none of this was acknowledged.
            if not self._closed:
                self._failed(error)
        except BaseException as error:
            self._failed(error)

    def _wait(self) -> bool:
        """Wait for work; False when there will be none."""
        if self._queue:
            return True
        self._prepare()
        with self._wake:
            self._idle = True
            while not self._queue and not self._closed:
                # `put` fills the queue, then looks at `_idle`, without the lock; this is the other
                # way round. So one of the two sees the other.
                self._wake.wait()
            self._idle = False
        return bool(self._queue)

    def _prepare(self) -> None:
        """Use an idle moment to make the next segment ready."""
        try:
            self._store.prepare()
            self.full = False
        except DiskFull:
            self.full = True

    def _patiently(self, work: Callable[[], None]) -> None:
        """Do what may find no space to begin with. Nothing was written then: wait for space.

        Meanwhile `full` keeps new requests away, and what is queued stays unacknowledged.
        """
        while True:
            try:
                work()
                return
            except DiskFull:
                self.full = True
                with self._wake:
                    if self._closed:
                        raise
                    self._wake.wait(FULL_RETRY_SECONDS)

    def _turn(self) -> None:
        """Carry out what waits: frames, gathered up to and with the next write of another kind."""
        done: list[Event] = []
        outcomes: list[AppendOutcomes] = []
        frames: list[Frame] = []
        size = 0
        while self._queue and size < GATHER_BYTES:
            write = self._queue.popleft()
            if isinstance(write, WriteFrames):
                frames += write.frames
                size += sum(len(frame.body) for frame in write.frames)
            elif isinstance(write, AppendOutcomes):
                outcomes.append(write)
            else:
                self._append(frames, done)
                frames = []
                # What follows may rely on the outcomes before it: a snapshot does.
                self._outcomes(outcomes)
                outcomes = []
                if isinstance(write, RepairFrame):
                    self._repair(write, done)
                else:
                    self._other(write, done)
                # Told at once: while rotten frames are mended, the next are always there already,
                # and nobody would hear of the first.
                break
        self._append(frames, done)
        if done:
            self._deliver(done)
        self._outcomes(outcomes)

    def _append(self, frames: list[Frame], done: list[Event]) -> None:
        if not frames:
            return
        began = self._now()
        self._patiently(lambda: self._store.append(frames))
        self._took_ns += (self._now() - began - self._took_ns) // AVERAGED
        self.syncs += 1
        self.gathered += len(frames)
        last = frames[-1].header
        done.append(FramesWritten(last.op, last.hash))

    def _repair(self, write: RepairFrame, done: list[Event]) -> None:
        """Mend rotten frames: those that wait in a row are written together."""
        frames = [write.frame]
        size = len(write.frame.body)
        while self._queue and size < GATHER_BYTES:
            following = self._queue[0]
            if not isinstance(following, RepairFrame):
                break
            self._queue.popleft()
            frames.append(following.frame)
            size += len(following.frame.body)
        self._patiently(lambda: self._store.repair(frames))
        done += [FrameRepaired(frame.header.op, frame.header.hash) for frame in frames]

    def _outcomes(self, writes: list[AppendOutcomes]) -> None:
        if writes:
            # They follow one another, so they are one write.
            data = b"".join(write.data for write in writes)
            self._patiently(lambda: self._store.append_outcomes(writes[0].first, data))
            self._written(writes[0].first + len(data) // RECORD_BYTES)

    def _other(self, write: Write, done: list[Event]) -> None:
        if isinstance(write, WriteSuperblock):
            self._store.write_superblock(write.view_state, write.snapshot)
            done.append(SuperblockWritten(write.number))
        elif isinstance(write, CutLog):
            self._store.cut(write.after)
            done.append(LogCut(write.after))
        elif isinstance(write, transfer.WRITES):
            done.append(transfer.write(self._store, write, self._patiently))
        else:
            assert callable(write)
            event = write()
            if event is not None:
                done.append(event)


def fail(error: BaseException) -> NoReturn:
    """Raise an error that came up elsewhere."""
    raise error
