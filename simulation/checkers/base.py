"""What checkers see, and the record of what was decided that they share."""

import re
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from simulation.world import Failure
from veritydb.types import entry as entries
from veritydb.types import outcome as outcomes
from veritydb.types.frame import Header
from veritydb.types.retention import Retention

Replica = tuple[int, int]
"""(group, index)"""

TOKEN_MARK = b"\xf0Tk\xf1"
TOKEN_BYTES = 16
TOKEN = re.compile(re.escape(TOKEN_MARK) + b".{12}", re.DOTALL)
"""Every payload begins with one, and no two payloads with the same."""


class Decided(NamedTuple):
    """An op as the first replica that knew of its commit applied it."""

    header: Header
    body: bytes
    records: bytes
    time: int

    def entries(self) -> Iterator[tuple[entries.EntryHeader, bytes, outcomes.Outcome]]:
        """Each entry's header, its bytes, and what became of it."""
        split = entries.split(self.body, self.header.entry_count)
        for at, (header, start, end) in enumerate(split):
            outcome = outcomes.decode(self.records, at * outcomes.RECORD_BYTES)
            yield header, self.body[start:end], outcome


class Request(NamedTuple):
    """One request of a client, whatever number of times it was sent."""

    client: int
    what: str
    group: int
    header: entries.EntryHeader
    data: bytes
    tokens: tuple[bytes, ...]
    invoked: int
    floor: int
    """The highest op of the group that any client had an answer for when this was invoked."""
    retention: Retention | None = None
    """What is asked for, if this sets a stream's retention."""


class Answer(NamedTuple):
    """What a node said became of a request."""

    request: Request
    replica: Replica
    outcome: outcomes.Outcome
    time: int


class ReadAnswer(NamedTuple):
    """What a node said is in a stream. `applied` is the op as of which it answered."""

    client: int
    replica: Replica
    stream: int
    applied: int
    floor_op: int
    """The highest op known to any client when the read was invoked; a fresh read is not older."""
    next: int
    floor: int
    first: int
    tokens: tuple[bytes, ...]
    """Of the events from `first` on."""


class SentFact(NamedTuple):
    """A message at the moment it leaves a machine."""

    sender: Replica
    life: int
    """Counts the sender's restarts."""
    incarnation: int
    kind: str
    view: int
    log_view: int
    op: int
    hash: bytes
    """What is acknowledged, if anything is."""
    content: bytes
    """What must never change between two messages of this kind in one view."""


class Checker:
    """One thing that must hold. Overrides what it wants to see."""

    name: ClassVar[str] = ""

    def fail(self, what: str) -> None:
        """Say that it does not."""
        raise Failure(self.name, what)

    def begun(self, replica: Replica, op: int) -> None:
        """A replica's process started, with a state that contains op."""

    def installed(self, replica: Replica, op: int, outcomes: bytes) -> None:
        """A replica goes on from a peer's snapshot of op, and the outcome chain's head there."""

    def applied(self, replica: Replica, header: Header, body: bytes, records: bytes) -> None:
        """A replica applied an op it says is agreed on."""

    def decided(self, group: int, what: Decided) -> None:
        """An op was applied for the first time by anybody."""

    def sent(self, fact: SentFact) -> None:
        """A message leaves a machine."""

    def answered(self, answer: Answer) -> None:
        """A client hears what became of its request."""

    def read(self, answer: ReadAnswer) -> None:
        """A client hears what is in a stream."""

    def ended(self) -> None:
        """The run is over, everything has healed."""


Log = dict[int, list[Decided]]
"""Per group, what was decided: op n at index n - 1."""


class Watch:
    """Hands facts to checkers, and keeps the log that was decided."""

    def __init__(self, log: Log, checkers: list[Checker]) -> None:
        """`log` is shared with the checkers that look things up."""
        self.log = log
        self.checkers = checkers
        self.now = 0

        def who(hook: str) -> list[Checker]:
            default = getattr(Checker, hook)
            return [checker for checker in checkers if getattr(type(checker), hook) is not default]

        self._applied = who("applied")
        self._decided = who("decided")
        self._sent = who("sent")
        self._answered = who("answered")
        self._read = who("read")

    def begun(self, replica: Replica, op: int) -> None:
        """See `Checker.begun`."""
        for checker in self.checkers:
            checker.begun(replica, op)

    def installed(self, replica: Replica, op: int, outcomes: bytes) -> None:
        """See `Checker.installed`."""
        for checker in self.checkers:
            checker.installed(replica, op, outcomes)

    def applied(self, replica: Replica, header: Header, body: bytes, records: bytes) -> None:
        """See `Checker.applied`; the first time for an op, it is also decided."""
        for checker in self._applied:
            checker.applied(replica, header, body, records)
        log = self.log.setdefault(replica[0], [])
        if header.op == len(log) + 1:
            decided = Decided(header, body, records, self.now)
            log.append(decided)
            for checker in self._decided:
                checker.decided(replica[0], decided)

    def sent(self, fact: SentFact) -> None:
        """See `Checker.sent`."""
        for checker in self._sent:
            checker.sent(fact)

    def answered(self, answer: Answer) -> None:
        """See `Checker.answered`."""
        for checker in self._answered:
            checker.answered(answer)

    def read(self, answer: ReadAnswer) -> None:
        """See `Checker.read`."""
        for checker in self._read:
            checker.read(answer)

    def ended(self) -> None:
        """See `Checker.ended`."""
        for checker in self.checkers:
            checker.ended()
