"""Sessions once more, in a simpler way: who is known, which numbers were used, what they led to."""

from typing import ClassVar, NamedTuple

from simulation.checkers.base import Checker, Decided
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.limits import SESSION_WINDOW, SESSIONS_MAX
from veritydb.types.outcome import Code, Outcome

UNKNOWN = (Code.NO_SESSION, Code.STALE_NUMBER, Code.WINDOW_EXCEEDED)


class _Session(NamedTuple):
    number: int
    attempt: int
    acked: int
    results: dict[int, Outcome]


class Sessions(Checker):
    """Each request is let through, repeated or refused as the log before it says, and nothing else.

    So a session ends only when its client opens another one, or when there are too many.
    """

    name: ClassVar[str] = "sessions"

    def __init__(self) -> None:
        """Nobody has a session."""
        self._open: dict[tuple[int, bytes], _Session] = {}
        self._counts: dict[int, int] = {}

    def decided(self, group: int, what: Decided) -> None:
        """Replay an op."""
        for header, _, outcome in what.entries():
            if header.kind is Kind.REGISTER:
                self._register(group, header, outcome)
            elif header.session:
                self._request(group, header, outcome)

    def _register(self, group: int, header: EntryHeader, outcome: Outcome) -> None:
        key = (group, header.client)
        known = self._open.get(key)
        # Of two that come in one op the first counts: a session is known by its op.
        late = known is not None and known.number == outcome.op
        if known is None or not (late or 0 < header.number <= known.attempt):
            self._counts[group] = self._counts.get(group, 0) + (known is None)
            self._open[key] = _Session(outcome.op, header.number, 0, {})
            expected = (Code.OK, outcome.op)
        elif header.number == known.attempt:
            expected = (Code.OK, known.number)
        else:
            expected = (Code.NO_SESSION, 0)
        if (outcome.code, outcome.base) != expected and not self._crowded(group):
            self.fail(f"op {outcome.op} opens a session: {outcome.code.name} {outcome.base}")

    def _crowded(self, group: int) -> bool:
        """Whether there are so many that some may have been forgotten."""
        return self._counts.get(group, 0) > SESSIONS_MAX

    def _request(self, group: int, header: EntryHeader, outcome: Outcome) -> None:
        key = (group, header.client)
        known, number = self._open.get(key), header.number
        expected = Code.OK
        if known is None or known.number != header.session:
            expected = Code.NO_SESSION
        elif number < max(known.acked, header.acked, 1):
            expected = Code.STALE_NUMBER
        elif number in known.results:
            if not self._crowded(group):
                self._repeated(known.results[number], outcome)
            return
        elif number >= max(known.acked, header.acked) + SESSION_WINDOW:
            expected = Code.WINDOW_EXCEEDED
        if known is not None and expected is Code.OK and outcome.code not in UNKNOWN:
            acked = max(known.acked, header.acked)
            results = {at: one for at, one in known.results.items() if at >= acked}
            results[number] = outcome
            self._open[key] = known._replace(acked=acked, results=results)
            return
        if outcome.code != expected and not self._crowded(group):
            self.fail(
                f"op {outcome.op}: number {number} of session {header.session} is "
                f"{outcome.code.name}, not {expected.name}"
            )

    def _repeated(self, first: Outcome, outcome: Outcome) -> None:
        code = Code.DUPLICATE if first.accepted else first.code
        told = (outcome.code, outcome.stream, outcome.base, outcome.count)
        if told != (code, first.stream, first.base, first.count):
            self.fail(f"op {outcome.op} repeats op {first.op} as {outcome}, which was {first}")
