"""Which requests share an op: how long those that are there wait for those that will come.

An op costs much of what it costs whatever it holds, so requests that come while one is on its way
wait for its end. Whoever was answered then comes back with the next request. If nobody waited for
him, he would find the others gone ahead, and half of the clients would take turns with the other
half for ever. So those who are there wait until there are as many as there were last time, but no
longer than the op took: that is what it costs the others to be too late for the next one.

Where nobody comes back this costs time and gains nothing; so after each wait in vain there are more
ops before the next attempt.
"""

PATIENCE_MAX_NS = 5_000_000
SKIPPED_MAX = 31


class Gathering:
    """Tells when to hand over what waits. `calls` are those that have no answer yet."""

    __slots__ = ("_ended", "_patience", "_proposed", "_skip", "_skipped", "calls", "most")

    def __init__(self) -> None:
        """Nothing is on its way, and nobody is expected back."""
        self.calls = 0
        self.most = 0
        """The most calls at a time since the last op was proposed: so many may share the next."""
        self._proposed = 0
        self._ended = 0
        self._patience = 0
        self._skip = 0
        self._skipped = 0

    def proposed(self, now: int) -> None:
        """What waited is handed over, as one op."""
        self.most = self.calls
        self._proposed = now

    def ended(self, now: int) -> None:
        """Nothing is on its way any more: those who were answered may come back from now on."""
        self._ended = now
        self._patience = min(now - self._proposed, PATIENCE_MAX_NS)

    def wait_ns(self, waiting: int, now: int) -> int:
        """How long so many that wait, with nothing on its way, should go on waiting for others."""
        left = self._ended + self._patience - now
        if left <= 0:
            return 0
        if waiting >= self.most:
            self._skipped = 0
            return 0
        if self._skip:
            self._skip -= 1
            return 0
        return left

    def in_vain(self) -> None:
        """The time was up before all were there."""
        self._skip = self._skipped = min(2 * self._skipped + 1, SKIPPED_MAX)
