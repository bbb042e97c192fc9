"""Small writes on the loop's thread: when they are done there, and what comes of it."""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tests.server.test_parts import WHO, Failing, log_of
from veritydb.node.effects import AppendOutcomes, WriteFrames, WriteSuperblock
from veritydb.node.events import Event, SuperblockWritten
from veritydb.server.files import FileDisk
from veritydb.server.machine import Machine
from veritydb.server.writer import HERE_BYTES, Writer
from veritydb.storage.disk import DiskError
from veritydb.storage.store import Store
from veritydb.types.frame import Frame
from veritydb.types.outcome import RECORD_BYTES
from veritydb.vsr.events import FramesWritten

ENOUGH = 300


class Clocked(Machine):
    """A machine where every look at the clock finds that so much time has passed."""

    def __init__(self, step_ns: int) -> None:
        super().__init__()
        self._time = 0
        self._step = step_ns
        self.monotonic_ns = self._next

    def _next(self) -> int:
        self._time += self._step
        return self._time


class Loop:
    """This thread, as a loop that a writer may write on."""

    def __init__(self, folder: Path, took_ns: int = 0) -> None:
        self.disk = Failing(folder)
        Store.format(self.disk, WHO)
        self.store, _ = Store.open(self.disk, WHO)
        self.here: list[Event] = []
        self.there: list[Event] = []
        self.failures: list[BaseException] = []
        self.failed = threading.Event()
        self._soon: deque[Callable[[], None]] = deque()
        self.writer = Writer(
            self.store,
            self.there.extend,
            self._fail,
            lambda entries: None,
            "test",
            Clocked(took_ns),
            here=self,
        )

    def _fail(self, error: BaseException) -> None:
        self.failures.append(error)
        self.failed.set()

    def soon(self, work: Callable[[], None]) -> None:
        """See `Here`."""
        self._soon.append(work)

    def written(self, events: list[Event]) -> None:
        """See `Here`."""
        self.here += events

    def turn(self) -> None:
        """Do what is to be done soon."""
        while self._soon:
            self._soon.popleft()()

    def written_one_by_one(self, frames: list[Frame], enough: Callable[[], bool]) -> int:
        """Write until it is enough, each when the one before is durable; return how many."""
        for count, frame in enumerate(frames):
            if enough():
                return count
            self.writer.put(WriteFrames((frame,)))
            self.writer.put(AppendOutcomes(count, bytes([count % 256]) * RECORD_BYTES))
            self.turn()
            while len(self.here) + len(self.there) <= count:
                assert not self.failures
        return len(frames)

    def close(self) -> None:
        """Carry out what is queued and end."""
        self.writer.close()
        self.disk.close()


def test_small_writes_are_done_here_once_the_disk_is_known_to_be_quick(tmp_path: Path) -> None:
    loop, log = Loop(tmp_path), log_of(ENOUGH)
    count = loop.written_one_by_one(log, lambda: len(loop.here) > 1)
    assert isinstance(loop.there[0], FramesWritten), "at first nobody knows"
    assert loop.here[-1] == FramesWritten(log[count - 1].header.op, log[count - 1].header.hash)
    loop.close()
    outcomes = b"".join(bytes([at % 256]) * RECORD_BYTES for at in range(count))
    assert loop.store.read_outcomes(0, count) == outcomes
    _, recovered = Store.open(FileDisk(tmp_path), WHO)
    assert recovered.head == count


def test_on_a_slow_disk_nothing_is_written_here(tmp_path: Path) -> None:
    loop, log = Loop(tmp_path, took_ns=Machine.quick_ns), log_of(40)
    assert loop.written_one_by_one(log, lambda: False) == len(log)
    loop.close()
    assert not loop.here


def test_while_a_snapshot_is_written_nothing_is_written_here(tmp_path: Path) -> None:
    """A sync may then take as long as that of many megabytes, and the loop would wait for it."""
    loop, log = Loop(tmp_path), log_of(ENOUGH)
    count = loop.written_one_by_one(log, lambda: len(loop.here) > 1)
    loop.here.clear()
    loop.there.clear()
    loop.writer.crowded = True
    loop.written_one_by_one(log[count : count + 20], lambda: False)
    loop.close()
    assert len(loop.there) == 20 and not loop.here


def test_what_is_large_or_not_alone_is_left_to_the_writers_thread(tmp_path: Path) -> None:
    loop, log = Loop(tmp_path), log_of(ENOUGH)
    count = loop.written_one_by_one(log, lambda: len(loop.here) > 1)
    loop.here.clear()
    loop.there.clear()
    several = HERE_BYTES // len(log[0].body) + 1
    loop.writer.put(WriteFrames(tuple(log[count : count + several])))
    loop.turn()
    while not loop.there:
        assert not loop.failures
    loop.writer.put(WriteFrames((log[count + several],)))
    loop.writer.put(WriteSuperblock(7, None, None))
    loop.turn()
    loop.close()
    assert not loop.here
    assert loop.there == [
        FramesWritten(log[count + several - 1].header.op, log[count + several - 1].header.hash),
        FramesWritten(log[count + several].header.op, log[count + several].header.hash),
        SuperblockWritten(7),
    ]


def test_a_sync_that_fails_here_ends_everything(tmp_path: Path) -> None:
    loop, log = Loop(tmp_path), log_of(ENOUGH)
    count = loop.written_one_by_one(log, lambda: len(loop.here) > 1)
    told = len(loop.here), len(loop.there)
    loop.disk.sync_fails = True
    # Until its thread is idle it is not done here.
    loop.writer.put(WriteFrames((log[count],)))
    loop.turn()
    assert loop.failed.wait(30)
    loop.disk.sync_fails = False
    loop.writer.put(WriteFrames((log[count + 1],)))
    loop.turn()
    loop.close()
    assert [type(error) for error in loop.failures] == [DiskError]
    assert (len(loop.here), len(loop.there)) == told, "and nothing is ever tried again"
