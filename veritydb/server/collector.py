"""The cyclic garbage collector, on a leash.

Left to itself it runs on whichever thread happens to allocate, and looks at everything there is.
Both will not do: objects of the RPC library must be freed on the loop's thread, and a million
streams take the better part of a second to look at. So it only runs when the loop calls it, and
what has survived once is never looked at again. What is not in a cycle is freed at once as ever.
"""

import gc
import time

EVERY_NS = 250_000_000


class Collector:
    """Call `turn` often, on the loop's thread."""

    def __init__(self) -> None:
        """Take the collector over from Python."""
        gc.disable()
        gc.collect()
        gc.freeze()
        self._next = time.monotonic_ns() + EVERY_NS
        self.longest_ns = 0

    def turn(self) -> None:
        """Collect what is young, if it is time."""
        now = time.monotonic_ns()
        if now < self._next:
            return
        gc.collect()
        gc.freeze()
        after = time.monotonic_ns()
        self.longest_ns = max(self.longest_ns, after - now)
        self._next = after + EVERY_NS
