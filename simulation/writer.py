"""The writer of one replica: one queue, first in, first out, as the server's writer thread is.

What waits together is written and synced together. The disk work of a turn happens at its end;
should power fail before, a part of it happens then.
"""

from collections import deque
from collections.abc import Callable
from itertools import takewhile

from veritydb.node.effects import (
    AppendOutcomes,
    CloseGap,
    InstallSnapshot,
    SaveSnapshot,
    WriteHistory,
    WriteSuperblock,
)
from veritydb.node.events import Event, SuperblockWritten
from veritydb.storage.disk import DiskFull
from veritydb.storage.store import Store
from veritydb.types.frame import Header
from veritydb.types.ids import Op
from veritydb.vsr.effects import CutLog, RepairFrame, WriteFrames
from veritydb.vsr.events import (
    FrameRepaired,
    FramesWritten,
    GapClosed,
    HistoryRefused,
    HistoryWritten,
    LogCut,
    SnapshotInstalled,
    SnapshotRefused,
    SnapshotSaved,
)

Job = Callable[[], Event | None]
Transfer = SaveSnapshot | InstallSnapshot | WriteHistory | CloseGap
Write = WriteFrames | RepairFrame | CutLog | WriteSuperblock | AppendOutcomes | Transfer | Job


GATHERED = (WriteFrames, AppendOutcomes)


class Writer:
    """What is to be written and in which order it is done."""

    def __init__(self, store: Store) -> None:
        """Nothing waits."""
        self._store = store
        self.queue: deque[Write] = deque()
        self.full = False
        """Whether something waits for space."""

        self.erased: Callable[[list[Header]], None] = lambda headers: None
        """Called with what is about to be cut off the log."""

    def turn(self) -> list[Event]:
        """Carry out all that waits; return the completions. Raises what the disk raises.

        Without space nothing was written and all goes on waiting, as `full` says.
        """
        done: list[Event] = []
        frames: list[WriteFrames] = []
        outcomes: list[AppendOutcomes] = []
        self.full = False
        try:
            while self.queue:
                frames, outcomes = self._gather()
                self._append(frames, done)
                frames = []
                # What follows may rely on the outcomes before it: a snapshot does.
                self._outcomes(outcomes)
                outcomes = []
                if self.queue and isinstance(self.queue[0], RepairFrame):
                    self._repair(done)
                elif self.queue:
                    self._other(self.queue[0], done)
                    self.queue.popleft()
            self._store.prepare()
        except DiskFull:
            self.full = True
            self.queue.extendleft(reversed([*frames, *outcomes]))
        return done

    def _gather(self) -> tuple[list[WriteFrames], list[AppendOutcomes]]:
        """Take what waits before the next write of another kind."""
        frames: list[WriteFrames] = []
        outcomes: list[AppendOutcomes] = []
        while self.queue and isinstance(self.queue[0], GATHERED):
            write = self.queue.popleft()
            if isinstance(write, WriteFrames):
                frames.append(write)
            elif isinstance(write, AppendOutcomes):
                outcomes.append(write)
        return frames, outcomes

    def _append(self, writes: list[WriteFrames], done: list[Event]) -> None:
        if writes:
            frames = [frame for write in writes for frame in write.frames]
            self._store.append(frames)
            done.append(FramesWritten(frames[-1].header.op, frames[-1].header.hash))

    def _outcomes(self, writes: list[AppendOutcomes]) -> None:
        if writes:
            self._store.append_outcomes(writes[0].first, b"".join(w.data for w in writes))

    def _repair(self, done: list[Event]) -> None:
        """Mend what waits in a row; without space it goes on waiting."""
        writes = list(takewhile(lambda write: isinstance(write, RepairFrame), self.queue))
        frames = [write.frame for write in writes if isinstance(write, RepairFrame)]
        self._store.repair(frames)
        for frame in frames:
            self.queue.popleft()
            done.append(FrameRepaired(frame.header.op, frame.header.hash))

    def _other(self, write: Write, done: list[Event]) -> None:
        if isinstance(write, WriteSuperblock):
            self._store.write_superblock(write.view_state, write.snapshot)
            done.append(SuperblockWritten(write.number))
        elif isinstance(write, CutLog):
            self.erased(self._store.read_headers(Op(write.after + 1), self._store.head))
            self._store.cut(write.after)
            done.append(LogCut(write.after))
        elif isinstance(write, Transfer):
            done.append(self._transfer(write))
        else:
            assert callable(write)
            event = write()
            if event is not None:
                done.append(event)

    def _transfer(self, write: Transfer) -> Event:
        """What brings this replica up from a peer's snapshot and history."""
        store = self._store
        if isinstance(write, SaveSnapshot):
            try:
                return SnapshotSaved(write.ref.op, store.save_snapshot(write.at, write.data))
            except DiskFull:
                store.abandon_snapshot()
                return SnapshotRefused(write.ref.op)
        if isinstance(write, InstallSnapshot):
            store.install_snapshot(write.ref, write.applied)
            return SnapshotInstalled(write.ref)
        if isinstance(write, WriteHistory):
            first = write.history.frames[0].header.op
            if store.write_history(write.history, write.proof):
                return HistoryWritten(first)
            return HistoryRefused(first)
        return GapClosed(write.after, store.close_gap(write.after))
