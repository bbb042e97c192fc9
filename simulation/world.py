"""One thread, one heap of things to come, one time: what makes a run repeatable.

Time is simulated nanoseconds since the run's start. Things of the same instant happen in the order
in which they were asked for.
"""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Any

import msgspec

from simulation.choices import Choices

US = 1_000
MS = 1_000 * US
SECOND = 1_000 * MS

ENCODER = msgspec.msgpack.Encoder(enc_hook=str)
TIMELINE_LINES = 400
DIGESTED_AT_ONCE = 128
EVENTS_MAX = 1_000_000


class Failure(Exception):
    """A run found something wrong: which checker, and what it saw."""

    def __init__(self, checker: str, what: str) -> None:
        """`checker` names the invariant; `what` is for people."""
        super().__init__(f"{checker}: {what}")
        self.checker = checker
        self.what = what


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened."""

    time: int
    who: str
    state: tuple[Any, ...]
    """Of a replica: role, view, commit, applied op and head of its log."""
    what: str
    detail: tuple[Any, ...]


class World:
    """The event heap, the choices and the record of what happened."""

    def __init__(self, choices: Choices, lines: int | None = TIMELINE_LINES) -> None:
        """Nothing has happened yet. The timeline keeps its last `lines`, or all."""
        self.now = 0
        self.choices = choices
        self.events = 0
        self.events_max = EVENTS_MAX
        self.timeline: deque[Line] = deque(maxlen=lines)
        self.counts: dict[str, int] = {}
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._digest = blake2b(digest_size=16)
        self._undigested: list[Line] = []

    def after(self, delay: int, call: Callable[..., None], *args: Any) -> None:
        """Have `call(*args)` happen `delay` ns from now."""
        assert delay >= 0
        self._order += 1
        heappush(self._heap, (self.now + delay, self._order, call, args))

    def run(self, until: int, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass until `until`, or until `done()` holds; say whether it did."""
        heap, most = self._heap, self.events_max
        while heap and heap[0][0] <= until:
            self.now, _, call, args = heappop(heap)
            self.events += 1
            if self.events > most:
                raise Failure("bounds", f"more than {most} events")
            call(*args)
            if done is not None and done():
                return True
        self.now = max(self.now, until)
        return False

    def count(self, what: str, by: int = 1) -> None:
        """Count activity; the floors and the report read it."""
        self.counts[what] = self.counts.get(what, 0) + by

    def note(self, who: str, state: tuple[Any, ...], what: str, *detail: Any) -> None:
        """Put a line into the timeline, and into the digest that two equal runs share."""
        line = Line(self.now, who, state, what, detail)
        self.timeline.append(line)
        self._undigested.append(line)
        if len(self._undigested) == DIGESTED_AT_ONCE:
            self._digest_lines()

    def _digest_lines(self) -> None:
        self._digest.update(ENCODER.encode(self._undigested))
        self._undigested.clear()

    @property
    def trace(self) -> str:
        """Digest over everything that happened so far."""
        self._digest_lines()
        return self._digest.hexdigest()

    @property
    def pending(self) -> int:
        """Things yet to happen."""
        return len(self._heap)
