"""What all parts of a run share: simulated time, chance, and the record of what happened.

Trio's clock is the only clock. Things that are to happen at a moment (a message arrives, a thread
goes on) lie on one agenda, which one Trio task works off.
"""

import threading
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Any, NamedTuple

import trio
from trio.testing import MockClock

from simulation.choices import Choices
from simulation.world import MS, Failure

TIMELINE_LINES = 400


class Due(NamedTuple):
    """Something on the agenda. Of the same moment, what was asked for first comes first."""

    when: int
    order: int
    call: Callable[..., object]
    args: tuple[Any, ...]


class World:
    """One run's time, draws, counts and timeline."""

    def __init__(self, seed: int, clock: MockClock) -> None:
        """Nothing has happened yet."""
        self.choices = Choices(seed)
        self.counts: dict[str, int] = {}
        self.timeline: deque[str] = deque(maxlen=TIMELINE_LINES)
        self.failure: Failure | None = None
        self.over = trio.Event()
        self.acknowledging: Callable[[], object] | None = None
        """To be called when a server next says that something is in the log."""
        self._clock = clock
        # Trio's own state belongs to the thread it runs on.
        self._main_thread = threading.get_ident()
        self._signalled: deque[trio.Event] = deque()
        self._agenda: list[Due] = []
        self._order = 0
        self._changed = trio.Event()
        self._digest = blake2b(digest_size=16)

    @property
    def now(self) -> int:
        """Nanoseconds since the run began."""
        return round(self._clock.current_time() * 1e9)

    def after(self, delay: int, call: Callable[..., object], *args: Any) -> None:
        """Have `call(*args)` happen on the main thread, `delay` ns from now."""
        assert delay >= 0
        self._order += 1
        heappush(self._agenda, Due(self.now + delay, self._order, call, args))
        self.signal(self._changed)

    def signal(self, event: trio.Event) -> None:
        """Set an event. From a simulated thread: as soon as that lets others run."""
        if threading.get_ident() == self._main_thread:
            event.set()
        else:
            self._signalled.append(event)

    def pass_on(self) -> None:
        """Set the events that simulated threads wanted to have set. On the main thread."""
        while self._signalled:
            self._signalled.popleft().set()

    async def drive(self) -> None:
        """Let everything on the agenda happen in its moment, for ever."""
        agenda = self._agenda
        while True:
            while agenda and agenda[0].when <= self.now:
                due = heappop(agenda)
                self.count("events")
                due.call(*due.args)
            self._changed = trio.Event()
            deadline = agenda[0].when / 1e9 if agenda else float("inf")
            with trio.CancelScope(deadline=deadline):
                await self._changed.wait()

    # -- the record

    def count(self, what: str, by: int = 1) -> None:
        """Count activity; the floors and the report read it."""
        self.counts[what] = self.counts.get(what, 0) + by

    def note(self, who: str, what: str, *detail: object) -> None:
        """Put a line into the timeline, and into the digest that two equal runs share."""
        now = self.now
        line = " ".join(map(str, (who, what, *detail)))
        self.timeline.append(f"{now / MS:12.3f} {line}")
        self._digest.update(f"{now} {line}".encode())

    def acknowledged(self) -> None:
        """A server has just written that something is in the log."""
        waiting, self.acknowledging = self.acknowledging, None
        if waiting is not None:
            self.after(0, waiting)

    def fail(self, checker: str, what: str) -> None:
        """Something does not hold: end the run. What was found first counts."""
        if self.failure is None:
            self.failure = Failure(checker, what)
            self.note("world", "FAILED", checker, what)
            self.signal(self.over)

    @property
    def trace(self) -> str:
        """Digest over everything that happened so far."""
        return self._digest.hexdigest()
