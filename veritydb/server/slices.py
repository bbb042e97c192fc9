"""A long job on the loop's thread, done in slices that leave most of the time to all else.

One slice right after the other would not do, however short: what arrives takes several turns of the
loop to be answered, and each of them would wait for a slice.
"""

import asyncio
from collections.abc import Callable

from veritydb.server.machine import Machine
from veritydb.server.pauses import Histogram

SLICE_NS = 2_000_000
# A quarter of the time at most.
REST = 3
REST_SECONDS_MAX = 0.05


class Slices:
    """Calls `step` until it returns False, some times in a row."""

    def __init__(
        self,
        step: Callable[[], bool],
        loop: asyncio.AbstractEventLoop,
        machine: Machine,
        took: Histogram,
    ) -> None:
        """Nothing happens before `go_on`. `took` is where slices are counted."""
        self._step = step
        self._loop = loop
        self._now = machine.monotonic_ns
        self._took = took

    def go_on(self) -> None:
        """Call it again, soon. Only for a job that has not begun, or whose step returned False."""
        self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        began = self._now()
        until = began + SLICE_NS
        going_on = True
        while going_on and self._now() <= until:
            going_on = self._step()
        took = self._now() - began
        self._took.add(took)
        if going_on:
            rest = min(REST * took / 1e9, REST_SECONDS_MAX)
            self._loop.call_later(rest, self._slice)
