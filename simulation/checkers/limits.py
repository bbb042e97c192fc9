"""What must stay bounded: queues, views where nothing goes wrong, and what replicas ask for."""

from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Checker, Load, Replica, SentFact
from veritydb.types.limits import PENDING_BYTES_MAX, PENDING_ENTRIES_MAX

CALM_VIEWS_MAX = 40
WRITES_MAX = 2_000
READS_MAX = 400
REPEAT_NS = 100_000_000
REPEATS_MAX = 8
REQUESTS = frozenset(
    {"RequestFrames", "RequestHeaders", "RequestHistory", "RequestSnapshot", "RequestSnapshotPart"}
)
"""Messages that make somebody else read its disk and send much."""


class Queues(Checker):
    """No queue of a replica grows without bound."""

    name: ClassVar[str] = "queues"

    def loaded(self, replica: Replica, load: Load) -> None:
        """Compare with the bounds."""
        waiting, size, writes, reads = load
        if (
            waiting > PENDING_ENTRIES_MAX
            or size > PENDING_BYTES_MAX
            or writes > WRITES_MAX
            or reads > READS_MAX
        ):
            self.fail(f"{replica} has more in its queues than may be: {load}")


class Calm(Checker):
    """Once nothing goes wrong any more, views come to an end of changing."""

    name: ClassVar[str] = "calm"

    def __init__(self) -> None:
        """Nobody has sent anything yet."""
        self._views: dict[int, int] = {}
        self._healed: dict[int, int] | None = None

    def healed(self) -> None:
        """Count from here."""
        self._healed = dict(self._views)

    def sent(self, fact: SentFact) -> None:
        """Look at the view that is spoken of."""
        group = fact.sender[0]
        if fact.view <= self._views.get(group, -1):
            return
        self._views[group] = fact.view
        if self._healed is not None:
            # Whoever had been away may have been far ahead: only what comes after it counts.
            first = self._healed.setdefault(group, fact.view)
            if fact.view - first > CALM_VIEWS_MAX:
                self.fail(f"group {group} went from view {first} to {fact.view} in calm")


class Asking(Checker):
    """Nobody asks one peer for the same thing over and over without giving it time to answer."""

    name: ClassVar[str] = "asking"

    def __init__(self, now: Callable[[], int]) -> None:
        """`now()` is the time, ns."""
        self._now = now
        self._asked: dict[tuple[Replica, int], tuple[str, tuple[int, int], int, int]] = {}

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind in REQUESTS

    def sent(self, fact: SentFact) -> None:
        """Count what is asked again too soon."""
        key, now = (fact.sender, fact.to), self._now()
        what, asked, since, times = self._asked.get(key, ("", (0, 0), 0, 0))
        if (what, asked) != (fact.kind, fact.asked) or now - since > REPEAT_NS:
            since, times = now, 0
        if times >= REPEATS_MAX:
            self.fail(f"{fact.sender} asks {fact.to} {times} times for {fact.kind} {fact.asked}")
        self._asked[key] = (fact.kind, fact.asked, since, times + 1)
