"""What must hold of what clients are told."""

from typing import ClassVar

from simulation.checkers.base import TOKEN, Answer, Checker, Decided, Log, Request
from veritydb.types import outcome as outcomes
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.ids import NO_ID
from veritydb.types.outcome import Code

APPENDS = (Kind.APPEND, Kind.APPEND_MANY)
Key = tuple[int | bytes, ...]


class ExactlyOnce(Checker):
    """A request, a batch, an origin's sequence and a payload are applied at most once.

    And each payload that a client was told is in the log is there exactly once.
    """

    name: ClassVar[str] = "exactly-once"

    def __init__(self) -> None:
        """Nothing was applied yet."""
        self._requests: dict[Key, int] = {}
        self._batches: dict[Key, int] = {}
        self._origins: dict[tuple[int, bytes], int] = {}
        self._tokens: dict[bytes, tuple[int, int]] = {}
        self._promised: list[tuple[bytes, tuple[int, int]]] = []

    def decided(self, group: int, what: Decided) -> None:
        """Note what an op applies."""
        for header, data, outcome in what.entries():
            if outcome.code != Code.OK:
                continue
            op = what.header.op
            if header.session:
                self._once(
                    self._requests, (group, header.client, header.session, header.number), op
                )
            if header.kind not in APPENDS:
                continue
            if header.batch != NO_ID and header.kind == Kind.APPEND:
                self._once(self._batches, (header.stream, header.batch), op)
            if header.origin != NO_ID and header.kind == Kind.APPEND:
                self._origin(header, op)
            for token in TOKEN.findall(data):
                if token in self._tokens:
                    self.fail(f"a payload of op {self._tokens[token][1]} is in op {op} again")
                self._tokens[token] = (group, op)

    def _once(self, seen: dict[Key, int], key: Key, op: int) -> None:
        if key in seen:
            self.fail(f"what op {seen[key]} applied is applied again in op {op}")
        seen[key] = op

    def _origin(self, header: EntryHeader, op: int) -> None:
        key = (header.stream, header.origin)
        expected = self._origins.get(key, header.origin_seq)
        if header.origin_seq != expected:
            self.fail(f"op {op} applies origin sequence {header.origin_seq}, not {expected}")
        self._origins[key] = header.origin_seq + header.events

    def answered(self, answer: Answer) -> None:
        """Note what a client was told."""
        if answer.outcome.code == Code.OK:
            where = (answer.request.group, answer.outcome.op)
            self._promised += [(token, where) for token in answer.request.tokens]

    def ended(self) -> None:
        """Compare what clients were told with the log."""
        for token, where in self._promised:
            if self._tokens.get(token) != where:
                self.fail(f"a payload acknowledged in op {where} is in {self._tokens.get(token)}")


class Replies(Checker):
    """What clients are told is what the log says, whoever tells it, at any time."""

    name: ClassVar[str] = "replies"

    def __init__(self, log: Log) -> None:
        """`log` is what was decided before."""
        self._log = log
        self._told: dict[tuple[int, bytes], outcomes.Outcome] = {}

    def answered(self, answer: Answer) -> None:
        """Look the outcome up."""
        outcome, request = answer.outcome, answer.request
        if outcome.code in UNLOGGED:
            return
        log = self._log.get(request.group, [])
        if not 0 < outcome.op <= len(log):
            self.fail(f"{request.what} answered with op {outcome.op}; decided are {len(log)}")
        entries = log[outcome.op - 1].entries()
        if outcome.entry >= len(entries):
            self.fail(f"{request.what} answered with entry {outcome.entry} of op {outcome.op}")
        header, data, recorded = entries[outcome.entry]
        if meaning(recorded) != meaning(outcome):
            self.fail(f"{request.what} answered {outcome}; the log says {recorded}")
        if data != request.data:
            self.fail(f"{request.what} answered with what became of another: {header.kind.name}")
        if header.session == 0:
            return
        # A client may by chance ask two groups for the very same.
        before = self._told.setdefault((request.group, request.data), outcome)
        if meaning(before) != meaning(outcome):
            self.fail(f"{request.what} answered {outcome}; another time it was {before}")


UNLOGGED = (Code.NO_SESSION, Code.STALE_NUMBER, Code.WINDOW_EXCEEDED)
"""Sessions are checked before anything is proposed, too: no op says these."""


def meaning(outcome: outcomes.Outcome) -> tuple[int, ...]:
    """What an outcome tells a client, the same however often it is told."""
    code = Code.OK if outcome.accepted else outcome.code
    return code, outcome.stream, outcome.base, outcome.count


class Validity(Checker):
    """Nothing is in the log that nobody asked for, and nothing that a client was denied."""

    name: ClassVar[str] = "validity"

    def __init__(self) -> None:
        """Nobody has asked for anything."""
        self._issued: set[bytes] = set()
        self._denied: set[bytes] = set()
        self._decided: set[bytes] = set()

    def invoked(self, request: Request) -> None:
        """Note what is asked for."""
        self._issued.add(request.data)

    def denied(self, request: Request) -> None:
        """Note what will never be."""
        self._denied.add(request.data)
        if request.data in self._decided:
            self.fail(f"{request.what} was denied and is in the log")

    def decided(self, group: int, what: Decided) -> None:
        """Look for every entry that clients can make."""
        for header, data, outcome in what.entries():
            if header.kind not in (*APPENDS, Kind.COMMAND):
                continue
            if data not in self._issued:
                self.fail(f"op {outcome.op} holds a {header.kind.name} nobody asked for")
            if outcome.code == Code.OK:
                self._decided.add(data)
                if data in self._denied:
                    self.fail(f"op {outcome.op} holds a {header.kind.name} that was denied")


class RealTime(Checker):
    """Who asks after having heard of an op comes after that op."""

    name: ClassVar[str] = "real-time"

    def answered(self, answer: Answer) -> None:
        """Compare with what was known when the request was made."""
        if answer.outcome.code in (Code.DUPLICATE, *UNLOGGED):
            return
        if answer.outcome.op <= answer.request.floor:
            self.fail(
                f"{answer.request.what} made after an answer from op {answer.request.floor} "
                f"came into op {answer.outcome.op}"
            )
