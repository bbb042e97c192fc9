"""A bound on the processor time of one run, so that a hang is found and not waited for."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from resource import RUSAGE_SELF, getrusage
from types import FrameType


class Hung(BaseException):
    """The time is up. No handler of the product may catch it, so it is no Exception."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise Hung


@contextmanager
def cpu_limit(seconds: float) -> Iterator[Callable[[], float]]:
    """Raise Hung inside the block after so much processor time; yields what was used so far.

    It counts this process's own time, so a busy machine makes no run fail. A process that has no
    ear for that, since it hangs outside of Python code, is killed after twice the time.
    """
    start = getrusage(RUSAGE_SELF)
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    # Nobody handles this one.
    signal.setitimer(signal.ITIMER_PROF, 2 * seconds)

    def used() -> float:
        now = getrusage(RUSAGE_SELF)
        return now.ru_utime + now.ru_stime - start.ru_utime - start.ru_stime

    try:
        yield used
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGVTALRM, before)
