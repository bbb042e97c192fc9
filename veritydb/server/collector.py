"""The cyclic garbage collector, on a leash.

Left to itself it runs on whichever thread happens to allocate, and looks at everything there is.
Both will not do: objects of the RPC library must be freed on the loop's thread, and a million
streams take the better part of a second to look at. So it only runs when the loop calls it, and
what has survived once is never looked at again. What is not in a cycle is freed at once as ever.
"""

import gc
import time

from veritydb.server.pauses import Histogram

# Often, so that there is little to look at. What is kept because it was looked at too soon costs
# nothing: requests leave no cycles behind.
EVERY_NS = 100_000_000
# One or two milliseconds' worth: then it is time, whatever the clock says.
SOON_OBJECTS = 2_000
# More come between two turns only where a whole state is loaded, and that holds no cycles.
SEEN_OBJECTS_MAX = 40_000


class Collector:
    """Call `turn` often, on the loop's thread."""

    def __init__(self, took: Histogram) -> None:
        """Take the collector over from Python. `took` is where its runs are counted."""
        gc.disable()
        gc.collect()
        gc.freeze()
        self._took = took
        self._next = time.monotonic_ns() + EVERY_NS

    def turn(self) -> None:
        """Collect what is young, if it is time."""
        young = gc.get_count()[0]
        now = time.monotonic_ns()
        if now < self._next and young < SOON_OBJECTS:
            return
        if young <= SEEN_OBJECTS_MAX:
            gc.collect()
        gc.freeze()
        after = time.monotonic_ns()
        self._took.add(after - now)
        self._next = after + EVERY_NS
