"""Memory that is no longer used goes back to the system, now and then.

Freed buffers stay with the C library, which is what makes the next ones cheap. But it returns only
what lies at the end of its heaps, so one small object that lives on keeps all that was freed before
it: a node that brought another one up to date would look several times its size for good.

Giving it back locks the heaps for a moment, about a tenth of a millisecond per MiB. So it is done
seldom, and only where there is much.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import trio

MIB = 1 << 20
EVERY_SECONDS = 10.0
WORTH_BYTES = 64 * MIB
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RESIDENT_FIELD = 1


def resident() -> int:
    """Bytes of memory that this process occupies."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[RESIDENT_FIELD]) * PAGE_BYTES


class Heap:
    """Knows how small this process has been, and so how much it may have to give back."""

    def __init__(self, trim: Callable[[], object], size: Callable[[], int] = resident) -> None:
        """`trim` gives back what can be given back."""
        self._trim = trim
        self._size = size
        self._least = size()

    def turn(self) -> bool:
        """Give memory back if there may be enough of it to be worth it; whether that was so."""
        size = self._size()
        self._least = min(self._least, size)
        if size < self._least + WORTH_BYTES:
            return False
        self._trim()
        # What is still there is in use: the next time only what comes on top of it counts.
        self._least = self._size()
        return True


def own_heap() -> Heap | None:
    """This process's heap, where the C library has a way to give it back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else Heap(lambda: trim(0))


async def give_back_memory() -> None:
    """Do so for as long as the process runs. For a process that is ours, not for a guest in one."""
    heap = own_heap()
    if heap is None:
        return
    while True:
        await trio.sleep(EVERY_SECONDS)
        # A call of the C library leaves the loop's thread alone, except where both want memory.
        await trio.to_thread.run_sync(heap.turn)
