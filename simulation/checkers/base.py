"""What checkers see, and the record of what was decided that they share."""

import re
from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Protocol

import msgspec

from simulation.world import Failure
from veritydb.types import entry as entries
from veritydb.types import outcome as outcomes
from veritydb.types.durable import SnapshotRef, Superblock, ViewState
from veritydb.types.frame import Header
from veritydb.types.retention import Retention

Replica = tuple[int, int]
"""(group, index)"""

TOKEN_MARK = b"\xf0Tk\xf1"
TOKEN = re.compile(re.escape(TOKEN_MARK) + b".{12}", re.DOTALL)
"""Every payload begins with one, and no two payloads with the same."""


Row = tuple[entries.EntryHeader, bytes, outcomes.Outcome]


def rows(header: Header, body: bytes, records: bytes) -> Iterator[Row]:
    """Take an op apart: each entry's header, its bytes, and what became of it."""
    for at, (entry, start, end) in enumerate(entries.split(body, header.entry_count)):
        outcome = outcomes.decode(records, at * outcomes.RECORD_BYTES)
        yield entry, body[start:end], outcome


class Decided(NamedTuple):
    """An op as the first replica that knew of its commit applied it."""

    header: Header
    body: bytes
    records: bytes
    time: int
    rows: tuple[Row, ...]

    def entries(self) -> tuple[Row, ...]:
        """Each entry's header, its bytes, and what became of it."""
        return self.rows


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
    fresh: bool = True
    """Whether it had to show all that was answered before it was asked."""
    invoked: int = 0
    time: int = 0


class SentFact(msgspec.Struct, frozen=True, gc=False):
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
    """What is acknowledged, or how the log ends that is told of, if any."""
    content: bytes
    """What must never change between two messages of this kind in one view."""
    to: int = -1
    """The index of the replica that it is for."""
    commit: int = 0
    """Up to where ops are committed, says the message."""
    asked: tuple[int, int] = (0, 0)
    """The first and the last op that are asked for."""


class Start(NamedTuple):
    """What a process begins with: the state after `op`, a log that ends with `head`."""

    op: int
    head: int = 0
    hash: bytes = b""
    """Of the head, if it is behind the snapshot."""
    certain: bool = True
    """Whether the replica is sure that its log ended there."""
    incarnation: int = 0


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where a replica stands after a step, as it tells anybody who asks."""

    life: int
    normal: bool
    leading: bool
    view: int
    log_view: int
    commit: int
    """The last op that it handed out as committed."""
    commit_max: int
    """The highest that it knows to be committed somewhere."""
    op: int
    """Where its log ends."""


class Load(NamedTuple):
    """How much a replica has in its queues."""

    waiting: int
    """Requests without a place in the log."""
    waiting_bytes: int
    writes: int
    reads: int


class Files(Protocol):
    """What may be asked of a disk."""

    def names(self, prefix: str) -> list[str]:
        """The files whose names begin so."""

    def size(self, name: str) -> int | None:
        """How long a file is."""

    def read(self, name: str, at: int, size: int) -> bytes:
        """What is there."""

    def next_data(self, name: str, at: int) -> int | None:
        """The first position from `at` on that may be other than zero."""


class Checker:
    """One thing that must hold. Overrides what it wants to see."""

    name: ClassVar[str] = ""

    def fail(self, what: str) -> None:
        """Say that it does not."""
        raise Failure(self.name, what)

    def begun(self, replica: Replica, start: Start) -> None:
        """A replica's process started."""

    def stepped(self, replica: Replica, standing: Standing) -> None:
        """A replica took a step that did something."""

    def loaded(self, replica: Replica, load: Load) -> None:
        """How long queues are, now and then."""

    def cut(self, replica: Replica, after: int) -> None:
        """A replica asks for its log to end with `after`."""

    def erased(self, replica: Replica, headers: list[Header]) -> None:
        """Ops are cut off a replica's log on disk."""

    def asked(
        self, replica: Replica, number: int, view: ViewState | None, ref: SnapshotRef | None
    ) -> None:
        """A replica asks for its memory of views, or a snapshot's name, to be made durable."""

    def remembered(self, replica: Replica, number: int, found: Superblock | None) -> None:
        """It is told that this is so; `found` is what a power cut would leave."""

    def misread(self, replica: Replica, kind: str) -> None:
        """Bytes that were damaged on the way were taken for a message."""

    def invoked(self, request: Request) -> None:
        """A client makes a request."""

    def denied(self, request: Request) -> None:
        """A client hears that its request is forbidden and will never be carried out."""

    def forgot(self, replica: Replica) -> None:
        """A replica starts from a disk that may have taken back what it had promised."""

    def healed(self) -> None:
        """From now on nothing goes wrong any more."""

    def installed(self, replica: Replica, op: int, outcomes: bytes) -> None:
        """A replica goes on from a peer's snapshot of op, and the outcome chain's head there."""

    def applied(self, replica: Replica, header: Header, body: bytes, records: bytes) -> None:
        """A replica applied an op it says is agreed on."""

    def decided(self, group: int, what: Decided) -> None:
        """An op was applied for the first time by anybody."""

    def hears(self, kind: str) -> bool:
        """Whether messages of this kind are for `sent`. Most are for few checkers."""
        return True

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
        self._standing: dict[Replica, Standing] = {}

        def who(hook: str) -> list[Checker]:
            default = getattr(Checker, hook)
            return [checker for checker in checkers if getattr(type(checker), hook) is not default]

        self._stepped = who("stepped")
        self._loaded = who("loaded")
        self._applied = who("applied")
        self._decided = who("decided")
        self._sent = who("sent")
        self._hear: dict[str, list[Checker]] = {}
        self._answered = who("answered")
        self._read = who("read")
        self._invoked = who("invoked")

    def begun(self, replica: Replica, start: Start) -> None:
        """See `Checker.begun`."""
        for checker in self.checkers:
            checker.begun(replica, start)

    def stepped(self, replica: Replica, standing: Standing) -> None:
        """See `Checker.stepped`. Nothing new is nothing to look at."""
        if self._standing.get(replica) != standing:
            self._standing[replica] = standing
            for checker in self._stepped:
                checker.stepped(replica, standing)

    def loaded(self, replica: Replica, load: Load) -> None:
        """See `Checker.loaded`."""
        for checker in self._loaded:
            checker.loaded(replica, load)

    def cut(self, replica: Replica, after: int) -> None:
        """See `Checker.cut`."""
        for checker in self.checkers:
            checker.cut(replica, after)

    def erased(self, replica: Replica, headers: list[Header]) -> None:
        """See `Checker.erased`."""
        for checker in self.checkers:
            checker.erased(replica, headers)

    def asked(
        self, replica: Replica, number: int, view: ViewState | None, ref: SnapshotRef | None
    ) -> None:
        """See `Checker.asked`."""
        for checker in self.checkers:
            checker.asked(replica, number, view, ref)

    def remembered(self, replica: Replica, number: int, found: Superblock | None) -> None:
        """See `Checker.remembered`."""
        for checker in self.checkers:
            checker.remembered(replica, number, found)

    def misread(self, replica: Replica, kind: str) -> None:
        """See `Checker.misread`."""
        for checker in self.checkers:
            checker.misread(replica, kind)

    def invoked(self, request: Request) -> None:
        """See `Checker.invoked`."""
        for checker in self._invoked:
            checker.invoked(request)

    def denied(self, request: Request) -> None:
        """See `Checker.denied`."""
        for checker in self.checkers:
            checker.denied(request)

    def healed(self) -> None:
        """See `Checker.healed`."""
        for checker in self.checkers:
            checker.healed()

    def forgot(self, replica: Replica) -> None:
        """See `Checker.forgot`."""
        self._standing.pop(replica, None)
        for checker in self.checkers:
            checker.forgot(replica)

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
            apart = tuple(rows(header, body, records))
            decided = Decided(header, body, records, self.now, apart)
            log.append(decided)
            for checker in self._decided:
                checker.decided(replica[0], decided)

    def sent(self, fact: SentFact) -> None:
        """See `Checker.sent`."""
        hear = self._hear.get(fact.kind)
        if hear is None:
            hear = [checker for checker in self._sent if checker.hears(fact.kind)]
            self._hear[fact.kind] = hear
        for checker in hear:
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
