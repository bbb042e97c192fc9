"""What was handed to the writer and may not be in the files yet; and the end of the log, in memory.

Committed data must be readable at once, also where this replica's own disk is behind the others.
"""

import threading
from collections import OrderedDict, deque

from veritydb.storage.store import Store
from veritydb.types.frame import Frame
from veritydb.types.ids import Op
from veritydb.types.limits import SECTOR_BYTES
from veritydb.types.outcome import RECORD_BYTES

FRAMES_MAX = 512
BYTES_MAX = 8 << 20


class Recent:
    """Frames and outcomes of one group by op and by entry. Readers may be on any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._bytes = 0
        self._durable = int(store.head)
        self._outcomes: deque[tuple[int, bytes]] = deque()

    # -- frames

    def add(self, frame: Frame) -> None:
        """A frame was handed to the writer."""
        with self._lock:
            old = self._frames.pop(frame.header.op, None)
            if old is not None:
                self._bytes -= old.header.frame_bytes()
            self._frames[frame.header.op] = frame
            self._bytes += frame.header.frame_bytes()
            self._trim()

    def durable(self, op: int) -> None:
        """Frames up to `op` are in the files."""
        with self._lock:
            self._durable = op
            self._trim()

    def cut(self, after: int) -> None:
        """Ops after `after` are no longer part of the log."""
        with self._lock:
            for op in [op for op in self._frames if op > after]:
                self._bytes -= self._frames.pop(op).header.frame_bytes()
            self._durable = min(self._durable, after)

    def forget(self) -> None:
        """Events were erased: only the files say what is left."""
        with self._lock:
            for op in [op for op in self._frames if op <= self._durable]:
                self._bytes -= self._frames.pop(op).header.frame_bytes()

    def _trim(self) -> None:
        while len(self._frames) > FRAMES_MAX or self._bytes > BYTES_MAX:
            op = next(iter(self._frames))
            if op > self._durable:
                return
            self._bytes -= self._frames.pop(op).header.frame_bytes()

    def frames(self, first: int, last: int, bytes_max: int) -> list[Frame | None]:
        """As `Store.read_frames`, over what is in memory and what is in the files."""
        found: list[Frame | None] = []
        op, budget = first, bytes_max
        while op <= last:
            run, upto = self._run(op, last, budget)
            taken = 0
            for frame in run:
                budget -= SECTOR_BYTES if frame is None else frame.header.frame_bytes()
                if budget < 0 and found:
                    return found
                found.append(frame)
                taken += 1
            op += taken
            if op <= upto:
                break
        return found

    def _run(self, op: int, last: int, budget: int) -> tuple[list[Frame | None], int]:
        """Frames from `op` on that are in one place, and the last that could be there."""
        with self._lock:
            upto = op
            if op in self._frames:
                while upto < last and upto + 1 in self._frames:
                    upto += 1
                return [self._frames[at] for at in range(op, upto + 1)], upto
            while upto < last and upto + 1 not in self._frames:
                upto += 1
        return self._store.read_frames(Op(op), Op(upto), max(budget, 0)), upto

    # -- outcomes

    def add_outcomes(self, first: int, data: bytes) -> None:
        """Outcome records were handed to the writer."""
        with self._lock:
            self._outcomes.append((first, data))

    def outcomes_written(self, entries: int) -> None:
        """The records of this many entries are in the file."""
        with self._lock:
            while self._outcomes:
                first, data = self._outcomes[0]
                if first + len(data) // RECORD_BYTES > entries:
                    return
                self._outcomes.popleft()

    def outcomes(self, first: int, count: int) -> bytes:
        """The records of `count` entries from `first` on; fewer if they are not known yet."""
        with self._lock:
            pending = list(self._outcomes)
        data = self._store.read_outcomes(first, count)
        have = len(data) // RECORD_BYTES
        for start, more in pending:
            # What waits follows what is written, record after record.
            at = first + have - start
            if have < count and 0 <= at < len(more) // RECORD_BYTES:
                data += more[at * RECORD_BYTES : (at + count - have) * RECORD_BYTES]
                have = len(data) // RECORD_BYTES
        return data
