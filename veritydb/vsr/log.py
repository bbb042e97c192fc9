"""What a replica remembers of its log: the end of it, and how much of that is durable.

Memory is bounded: headers and frames of a window of recent ops, and all that is not yet committed,
which the pipeline bounds. Older ones are read back.

The writer handles appends and cuts in the order they were asked for, so what it has done so far is
a state of the log that was once in memory: `disk` is its head. Of the log as it is now, ops up to
`durable` have been written and were not touched by a cut that is still to come.
"""

from bisect import bisect_left
from collections import deque

from veritydb.types.frame import Frame, Header
from veritydb.types.ids import Op
from veritydb.types.limits import MIB
from veritydb.types.merkle import NO_HASH

HEADERS_KEPT = 512
FRAMES_KEPT_BYTES = 8 * MIB


class Log:
    """The log of one replica, a contiguous prefix of ops 1 to `head`."""

    def __init__(
        self, base: Header | None, headers: tuple[Header, ...], faulty: tuple[Op, ...]
    ) -> None:
        """Begin with what was recovered: `base` is the header before the first of `headers`."""
        kept = headers[-HEADERS_KEPT:]
        self.headers: dict[int, Header] = {header.op: header for header in kept}
        if base is not None and len(kept) == len(headers):
            self.headers[base.op] = base
        self.lowest = min(self.headers, default=1)
        self.frames: dict[int, Frame] = {}
        self.frames_bytes = 0
        self.head: Op = headers[-1].op if headers else base.op if base is not None else Op(0)
        self.disk: Op = self.head
        self.faulty: list[int] = sorted(faulty)
        self._cuts: deque[Op] = deque()
        self._writes: deque[tuple[Op, bytes]] = deque()
        assert self.head == 0 or self.head in self.headers

    @property
    def durable(self) -> Op:
        """Ops of the present log up to this one survive a power cut."""
        return min(self.disk, self.head, *self._cuts) if self._cuts else min(self.disk, self.head)

    def header(self, op: int) -> Header | None:
        """Return the header of an op if it is remembered."""
        assert op >= 0
        return self.headers.get(op)

    def hash_at(self, op: int) -> bytes | None:
        """Return the hash of an op if it is remembered; op 0 has one too."""
        if op == 0:
            return NO_HASH
        header = self.headers.get(op)
        return None if header is None else header.hash

    def append(self, frame: Frame) -> None:
        """Add the frame after the head."""
        header = frame.header
        assert header.op == self.head + 1
        assert header.previous == self.hash_at(self.head), "the log is a chain"
        self.headers[header.op] = header
        self.keep(frame)
        self.head = header.op

    def keep(self, frame: Frame) -> None:
        """Hold the frame of an op of this log in memory."""
        assert frame.header.op not in self.frames
        self.frames[frame.header.op] = frame
        self.frames_bytes += len(frame.body)

    def begin_behind(self, base: Header) -> None:
        """Continue behind an op that another replica's snapshot stands for; `written` ends it."""
        assert self.head < base.op and self.durable == self.head
        self.headers = {base.op: base}
        self.lowest = base.op
        self.frames = {}
        self.frames_bytes = 0
        self.head = base.op
        self._writes.append((base.op, base.hash))

    def asked(self, last: Header) -> None:
        """Note that frames up to `last` were handed to the writer."""
        assert last.op <= self.head
        self._writes.append((last.op, last.hash))

    def written(self, op: Op, digest: bytes) -> None:
        """Note that the writer has finished all it was handed up to this op."""
        while self._writes:
            done = self._writes.popleft()
            if done == (op, digest):
                self.disk = op
                return
        raise AssertionError(f"op {op} was written but never handed to the writer")

    def cut(self, after: Op) -> None:
        """Forget the ops after `after`; the writer was told to do the same."""
        assert after < self.head
        for op in range(after + 1, self.head + 1):
            self.headers.pop(op, None)
            self._forget_frame(op)
        del self.faulty[bisect_left(self.faulty, after + 1) :]
        self.head = after
        self._cuts.append(after)
        assert after == 0 or after in self.headers

    def was_cut(self, after: Op) -> None:
        """Note that the writer has finished its oldest cut."""
        assert self._cuts and self._cuts[0] == after, "cuts are finished in order"
        self._cuts.popleft()
        self.disk = min(self.disk, after)

    def is_faulty(self, op: int) -> bool:
        """Whether the op's frame was acknowledged and cannot be read any more."""
        at = bisect_left(self.faulty, op)
        return at < len(self.faulty) and self.faulty[at] == op

    def add_faulty(self, op: int) -> None:
        """Note that the op's frame has rotted."""
        assert 0 < op <= self.head
        at = bisect_left(self.faulty, op)
        if at == len(self.faulty) or self.faulty[at] != op:
            self.faulty.insert(at, op)

    def mended(self, op: int) -> None:
        """Note that the op's frame can be read again."""
        at = bisect_left(self.faulty, op)
        if at < len(self.faulty) and self.faulty[at] == op:
            del self.faulty[at]
        assert not self.is_faulty(op)

    def prune(self, commit: Op) -> None:
        """Let go of the oldest that is committed and over the bounds."""
        assert commit <= self.head
        while self.lowest + HEADERS_KEPT < commit:
            self.headers.pop(self.lowest, None)
            self._forget_frame(self.lowest)
            self.lowest += 1
        over = self.frames_bytes - FRAMES_KEPT_BYTES
        gone = []
        for op, frame in self.frames.items():
            if over <= 0:
                break
            # After a restart the newest may have come before older ones were read back.
            if op <= commit:
                gone.append(op)
                over -= len(frame.body)
        for op in gone:
            self._forget_frame(op)

    def _forget_frame(self, op: int) -> None:
        frame = self.frames.pop(op, None)
        if frame is not None:
            self.frames_bytes -= len(frame.body)
        assert self.frames_bytes >= 0
