"""How long the node's loop was held up, and by what. Always on: three looks at a clock per turn.

    turn       one turn of the loop: from what had arrived until it looks again for more
    work       the processor time of one turn: a turn that was much longer waited for a processor,
               or for another thread of this process
    late       a tick that came later than it was due: a turn, another thread, or no processor
    snapshot   one slice of making a snapshot, or of letting go of what a peer's took the place of
    collector  one run of the garbage collector

While a turn lasts nobody is answered, so its longest are what clients see at worst.
"""

import asyncio
import selectors
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

MS_NS = 1_000_000
# Upper bounds; what took longer than the last stands behind it.
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
BOUNDS_NS = tuple(bound * MS_NS for bound in BOUNDS_MS)


class Histogram:
    """How often something took how long. One thread adds; any may read."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.forget()

    def forget(self) -> None:
        """Begin again."""
        self.counts = [0] * (len(BOUNDS_NS) + 1)
        self.longest_ns = 0

    def add(self, took_ns: int) -> None:
        """Count one."""
        # Nearly all are as short as that.
        self.counts[0 if took_ns <= MS_NS else bisect_left(BOUNDS_NS, took_ns)] += 1
        if took_ns > self.longest_ns:
            self.longest_ns = took_ns


class Pauses:
    """All of one node's."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.turn = Histogram()
        self.work = Histogram()
        self.late = Histogram()
        self.snapshot = Histogram()
        self.collector = Histogram()

    def forget(self) -> None:
        """Begin again: what it takes to start holds nobody up."""
        for _, histogram in self.all():
            histogram.forget()

    def all(self) -> Iterator[tuple[str, Histogram]]:
        """Each with its name."""
        return iter(vars(self).items())


class TimedSelector(selectors.DefaultSelector):
    """What a loop waits with; tells how long the loop did something else in between."""

    def __init__(self, pauses: Pauses, rest: Callable[[int], bool] | None) -> None:
        """Made on the loop's thread. `rest` is called at the end of each turn."""
        super().__init__()
        self._turn, self._work = pauses.turn.add, pauses.work.add
        self._rest = rest
        self._woke, self._worked = time.monotonic_ns(), time.thread_time_ns()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as ever."""
        worked = time.thread_time_ns()
        if self._rest is not None and self._rest(worked):
            worked = time.thread_time_ns()
        self._turn(time.monotonic_ns() - self._woke)
        self._work(worked - self._worked)
        # To wait takes next to no processor time: that goes with the next turn.
        self._worked = worked
        found = super().select(timeout)
        self._woke = time.monotonic_ns()
        return found


def run_timed(
    main: Coroutine[Any, Any, T], pauses: Pauses, rest: Callable[[int], bool] | None = None
) -> T:
    """As `asyncio.run`, on a loop whose turns are timed.

    `rest` is called at the end of each turn, with the processor time used so far; it says whether
    it used more.
    """

    def loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(TimedSelector(pauses, rest))

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
