"""In a run without any fault nothing is out of the ordinary: no votes, nothing twice, no waiting.

What a gate is for is often that time, messages and writes are not wasted; the protocol comes to the
right end without it. So runs in which nothing goes wrong are held to what they have to cost.
"""

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Answer, Checker, Decided, Replica, SentFact
from simulation.world import MS, SECOND
from veritydb.types.durable import SnapshotRef, ViewState

FIRST_VIEWS = 1
"""The group's first primary has forgotten nothing, but cannot know; it leaves view 0 at once."""
VIEW_STATES_MAX = 6
"""That one replica writes."""
OUT_OF_THE_ORDINARY = ("StartViewChange", "Replaced", "Promised", "RequestHeaders", "Headers")
PER_SECOND = {"Ping": 3, "Pong": 3, "Heartbeat": 25}
"""On one link."""
PER_OP = {"Prepare": 100, "RequestFrames": 50, "Frames": 50}
"""To each backup, in 100 ops."""
PREPARED = 80
"""Out of 100 ops; those that come before the backups are there are fetched."""
AT_THE_START = {"DoViewChange": 2, "StartView": 2, "RequestStartView": 1}
"""On one link, in all."""
MIDDLE_TIMES, MOST_TIMES = 6, 12
"""A request waits for so many times what one message and one write take."""
MIDDLE_MORE, MOST_MORE = 2 * MS, 150 * MS


class Steady(Checker):
    """Counts what is sent, written and waited for."""

    name: ClassVar[str] = "steady"

    def __init__(self, pace: int, replicas: int, now: Callable[[], int]) -> None:
        """`pace` is how long one message and one write take, ns; `now()` is the simulated time."""
        self._pace = pace
        self._now = now
        self._backups = replicas - 1
        self._links = replicas * self._backups
        self._sent: dict[int, Counter[str]] = {}
        self._view_states: Counter[Replica] = Counter()
        self._ops: Counter[int] = Counter()
        self._waits: list[int] = []

    def sent(self, fact: SentFact) -> None:
        """Count it, if it is ordinary."""
        if fact.kind in OUT_OF_THE_ORDINARY or fact.view > FIRST_VIEWS:
            self.fail(f"{fact.sender} sends {fact.kind} of view {fact.view}, and nothing is wrong")
        self._sent.setdefault(fact.sender[0], Counter())[fact.kind] += 1

    def asked(
        self, replica: Replica, number: int, view: ViewState | None, ref: SnapshotRef | None
    ) -> None:
        """Count what is written down."""
        self._view_states[replica] += view is not None
        if self._view_states[replica] > VIEW_STATES_MAX:
            self.fail(f"{replica} writes down its view {self._view_states[replica]} times")

    def decided(self, group: int, what: Decided) -> None:
        """Count ops, on which most of the rest depends."""
        self._ops[group] += 1

    def answered(self, answer: Answer) -> None:
        """Note how long that took."""
        self._waits.append(answer.time - answer.request.invoked)

    def ended(self) -> None:
        """Compare all that was counted."""
        for group, sent in self._sent.items():
            seconds = self._now() / SECOND + 1
            for kind, most in PER_SECOND.items():
                self._compare(kind, sent, int(most * seconds * self._links))
            copies = self._backups * self._ops[group]
            for kind, most in PER_OP.items():
                self._compare(kind, sent, copies * most // 100 + 10)
            if sent["Prepare"] < copies * PREPARED // 100 - 10:
                self.fail(f"{sent['Prepare']} messages Prepare for {copies} copies of ops")
            for kind, most in AT_THE_START.items():
                self._compare(kind, sent, most * self._links)
            asked = sent["Prepare"] + sent["Heartbeat"]
            self._compare("PrepareOk", sent, asked + asked // 8 + 10)
        self._waits.sort()
        if self._waits:
            self._wait("half", len(self._waits) // 2, MIDDLE_TIMES, MIDDLE_MORE)
            self._wait("99 of 100", len(self._waits) * 99 // 100, MOST_TIMES, MOST_MORE)

    def _compare(self, kind: str, sent: Counter[str], most: int) -> None:
        if sent[kind] > most:
            self.fail(f"{sent[kind]} messages {kind}; {most} are enough for {self._ops}")

    def _wait(self, part: str, at: int, times: int, more: int) -> None:
        found, most = self._waits[at], times * self._pace + more
        if found > most:
            self.fail(f"{part} of the requests take up to {found} ns; {most} are enough")
