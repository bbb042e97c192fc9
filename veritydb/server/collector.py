"""The cyclic garbage collector, on a leash.

Left to itself it runs on whichever thread happens to allocate, and looks at everything there is.
Both will not do: objects of the RPC library must be freed on the loop's thread, and a million
streams take the better part of a second to look at. So it only runs when the loop calls it, and
what has survived once is never looked at again. What is not in a cycle is freed at once as ever.
"""

import gc
import time

from veritydb.server.pauses import Histogram

# How much is young follows from how much the loop has worked: what the collector counts says less,
# since whatever is freed makes that count smaller. To look at all that two milliseconds leave takes
# a few tenths, and less than it would later. What is kept because it was looked at too soon costs
# nothing: requests leave no cycles behind.
EVERY_NS = 2_000_000
# So much in one turn, and looking at what it left would hold the loop up for as long as the turn
# did. There is such a turn where a whole state is loaded, and that holds no cycles.
UNSEEN_NS = 30_000_000


class Collector:
    """Call `turn` after each turn of the loop, on its thread."""

    def __init__(self, took: Histogram) -> None:
        """Take the collector over from Python. `took` is where its runs are counted."""
        gc.disable()
        gc.collect()
        gc.freeze()
        self._took = took
        self._seen = time.thread_time_ns()

    def turn(self, worked: int) -> bool:
        """Collect what is young, if the loop has done much since; whether that was so.

        `worked` is the processor time that the loop's thread has used so far.
        """
        since = worked - self._seen
        if since < EVERY_NS:
            return False
        began = time.monotonic_ns()
        if since <= UNSEEN_NS:
            # What is older is frozen, so there is only the youngest generation.
            gc.collect(0)
        gc.freeze()
        self._seen = worked
        self._took.add(time.monotonic_ns() - began)
        return True
