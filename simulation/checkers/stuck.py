"""A primary that cannot replicate must not keep the others quiet."""

from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Checker, Replica, SentFact, Standing
from simulation.world import SECOND

HEARTBEATS_MAX = 120
STUCK_MAX = 5 * SECOND


class Stuck(Checker):
    """Whoever leads, has ops that no quorum holds, and gets no further, soon sends no heartbeats.

    Both heartbeats and time are counted: a process that sleeps may do so for as long as it likes.
    """

    name: ClassVar[str] = "stuck"

    def __init__(self, now: Callable[[], int]) -> None:
        """`now()` is the time, ns."""
        self._now = now
        # Since when, with which commit, and how many heartbeats since then.
        self._stuck: dict[Replica, tuple[int, int, int]] = {}

    def stepped(self, replica: Replica, standing: Standing) -> None:
        """See whether it gets on."""
        if not standing.leading or standing.op <= standing.commit_max:
            self._stuck.pop(replica, None)
        elif self._stuck.get(replica, (0, -1, 0))[1] != standing.commit_max:
            self._stuck[replica] = (self._now(), standing.commit_max, 0)

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind == "Heartbeat"

    def sent(self, fact: SentFact) -> None:
        """Count what keeps the others from choosing another primary."""
        if fact.sender not in self._stuck:
            return
        since, commit, beats = self._stuck[fact.sender]
        self._stuck[fact.sender] = (since, commit, beats + 1)
        waits = self._now() - since
        if beats >= HEARTBEATS_MAX and waits > STUCK_MAX:
            self.fail(f"{fact.sender} leads without a quorum since {waits} ns, at op {commit}")
