"""What is counted: calls, system calls, and what the disks of all nodes are told."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from veritydb.server.files import FileDisk
from veritydb.server.machine import Machine, OpenDisk
from veritydb.storage.disk import Buffer

SOCKET_CALLS = ("send", "recv", "recv_into", "poll", "register", "unregister", "modify")
FILE_CALLS = ("open", "close", "stat", "pread", "pwritev", "fdatasync", "posix_fallocate")
SYSTEM_CALLS = frozenset((*SOCKET_CALLS, *FILE_CALLS))
# What time costs and not work: how much of it falls into a count depends on the machine.
TIME = frozenset(("NodeServer._tick", "GuestState.guest_tick", "Connection._watch"))


class Tally:
    """Counts on this thread and on those that are started meanwhile, while it is asked to.

    `python` are calls of functions written in Python: nearly all that there is to be paid for.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.counting = False
        self._passing: FrameType | None = None

    def __enter__(self) -> "Tally":
        threading.setprofile(self._elsewhere)
        sys.setprofile(self._here)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _here(self, frame: FrameType, event: str, what: Any) -> None:
        if self._passing is not None:
            if frame is self._passing and event == "return":
                self._passing = None
        elif event == "call" and frame.f_code.co_qualname in TIME:
            self._passing = frame
        else:
            self._elsewhere(frame, event, what)

    def _elsewhere(self, _frame: FrameType, event: str, what: Any) -> None:
        if not self.counting:
            return
        if event == "call":
            self.counts["python"] += 1
        elif event == "c_call" and what.__name__ in SYSTEM_CALLS:
            self.counts[what.__name__] += 1
            self.counts["system"] += 1

    def add(self, what: str, count: int) -> None:
        """Count something that is no call."""
        if self.counting:
            self.counts[what] += count

    async def of(self, work: Callable[[], Awaitable[object]]) -> Counter[str]:
        """What `work` costs."""
        self.counts = Counter()
        self.counting = True
        try:
            await work()
        finally:
            self.counting = False
        return self.counts


class CountedDisk(FileDisk):
    """The real disk, and how much is written to it."""

    def __init__(self, root: Path, tally: Tally) -> None:
        super().__init__(root)
        self._tally = tally

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """See `Disk`."""
        self._tally.add("bytes", sum(map(len, buffers)))
        super().write(name, at, buffers)

    def sync(self, name: str) -> None:
        """See `Disk`."""
        self._tally.add("syncs", 1)
        super().sync(name)


class CountedMachine(Machine):
    """The real machine with such disks. While there is counting, time stands still for its nodes.

    So nothing is due: no heartbeats, no looking at clocks.
    """

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally
        self._stands = time.monotonic_ns(), time.time_ns()
        self.monotonic_ns = lambda: self._now()[0]
        self.wall_ns = lambda: self._now()[1]

    def _now(self) -> tuple[int, int]:
        if not self._tally.counting:
            self._stands = time.monotonic_ns(), time.time_ns()
        return self._stands

    def disk(self, folder: Path) -> OpenDisk:
        """See `Machine`."""
        return CountedDisk(folder, self._tally)
