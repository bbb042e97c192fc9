"""Linearizability without believing anything that orders operations: Wing and Gong's search.

A history of one stream is sound if its operations can be put into one order, each at some moment
between its question and its answer, in which every answer is right. What was never answered may
take its place at any later moment, or never. The search remembers which sets of operations led to
which contents before (Lowe's improvement), and works in windows: where nothing is under way, only
the contents matter for what follows.
"""

from collections.abc import Sequence
from typing import NamedTuple

from simulation.checkers.history import ANY, EXISTS, Kind, Operation, Result

WINDOW = 60
ENOUGH = 12
"""A window ends at the next quiet moment after so many: orders are tried one against all others."""
BUDGET = 5_000
IMPOSSIBLE = -1


class Verdict(NamedTuple):
    """`sound` is None where the search was given up; `checked` counts the operations it covers."""

    sound: bool | None
    checked: int
    what: str = ""


class _Contents:
    """Everything a stream may hold, numbered, so that equal contents have equal numbers."""

    def __init__(self) -> None:
        self.values: list[tuple[bytes, ...]] = [()]
        self.sealed: list[bool] = [False]
        self._places: list[dict[bytes, int]] = [{}]
        self._after: dict[tuple[int, tuple[bytes, ...]], int] = {}

    def after(self, at: int, operation: Operation) -> int:
        """What `operation` makes of contents `at` if it happens now; IMPOSSIBLE if it cannot."""
        kind, result = operation.kind, operation.result
        if kind is Kind.READ:
            return at if self._shows(at, operation) else IMPOSSIBLE
        if kind is Kind.SEAL:
            return IMPOSSIBLE if self.sealed[at] and result is Result.OK else self._seal(at)
        return self._append(at, operation)

    def _shows(self, at: int, read: Operation) -> bool:
        values, first = self.values[at], read.offset
        same = values[first : first + len(read.values)] == read.values
        return read.next == len(values) and same

    def _append(self, at: int, append: Operation) -> int:
        values, result = self.values[at], append.result
        length = len(values)
        there = self._places[at].get(append.values[0])
        if there is not None:
            # A repeat of what happened before: nothing more happens.
            right = result is Result.OK and append.offset == there
            return at if right or result is Result.UNKNOWN else IMPOSSIBLE
        if result is Result.SEALED:
            return at if self.sealed[at] else IMPOSSIBLE
        expected = append.expected
        holds = expected in (ANY, length) or (expected == EXISTS and length > 0)
        if result is Result.CONFLICT:
            fits = not holds and not self.sealed[at] and append.offset == length
            return at if fits else IMPOSSIBLE
        if self.sealed[at] or not holds or (result is Result.OK and append.offset != length):
            return IMPOSSIBLE
        known = self._after.get((at, append.values))
        return known if known is not None else self._longer(at, append.values)

    def _longer(self, at: int, values: tuple[bytes, ...]) -> int:
        new = len(self.values)
        length = len(self.values[at])
        self.values.append(self.values[at] + values)
        self.sealed.append(False)
        self._places.append(
            self._places[at] | {value: length + i for i, value in enumerate(values)}
        )
        self._after[(at, values)] = new
        return new

    def _seal(self, at: int) -> int:
        if self.sealed[at]:
            return at
        known = self._after.get((at, ()))
        if known is not None:
            return known
        new = self._longer(at, ())
        self.sealed[new] = True
        return new


def check(history: Sequence[Operation], window: int = WINDOW, budget: int = BUDGET) -> Verdict:
    """Judge the history of one stream from its beginning. Work is bounded by `budget` steps."""
    told = sorted(
        (one for one in history if one.result is not Result.REFUSED and _counts(one)),
        key=lambda one: one.invoked,
    )
    contents = _Contents()
    ends = {0}
    pending: list[Operation] = []
    checked = start = 0
    while start < len(told):
        stop = _quiet(told, start, window)
        part = told[start:stop]
        if sum(one.known for one in part) > window:
            return Verdict(None, checked, "never quiet for long enough to be looked at")
        pending += [one for one in part if not one.known]
        known = [one for one in part if one.known]
        found, budget = _search(contents, ends, known, pending, budget)
        if not found:
            if budget <= 0:
                return Verdict(None, checked, "too many orders to try")
            last = known[-1]
            return Verdict(False, checked, f"no order explains what was told until {last}")
        ends = found
        checked += len(part)
        start = stop
    return Verdict(True, checked)


def _counts(one: Operation) -> bool:
    """An unanswered read, or one that may show the past, says nothing."""
    return one.kind is not Kind.READ or (one.known and one.fresh)


def _quiet(told: Sequence[Operation], start: int, window: int) -> int:
    """Where a window ends: before an operation that began when all known before were answered."""
    returned = best = 0
    for at in range(start, len(told)):
        if at > start and told[at].invoked > returned:
            best = at
            if at - start >= ENOUGH:
                return best
        if at - start >= window and best:
            return best
        if told[at].known:
            returned = max(returned, told[at].returned)
    return len(told)


def _search(
    contents: _Contents,
    begins: set[int],
    known: list[Operation],
    pending: list[Operation],
    budget: int,
) -> tuple[set[int], int]:
    """All contents in which the known ones can leave the stream, and what is left of the budget.

    Pending ones are tried wherever they change something, and none of them has to happen.
    """
    everything = (1 << len(known)) - 1
    # What was answered first is done first, so what is done is for the most part the lowest bits.
    moves = [(1 << at, one) for at, one in enumerate(sorted(known, key=lambda one: one.returned))]
    stack = [(0, begin) for begin in sorted(begins)]
    seen = set(stack)
    ends: set[int] = set()
    while stack:
        budget -= 1
        if budget <= 0:
            return set(), 0
        done, at = stack.pop()
        if done == everything:
            ends.add(at)
            # After the last known one, what is pending may as well happen in the next window.
            continue
        first = (~done & (done + 1)).bit_length() - 1
        soonest = moves[first][1].returned
        following = [
            (done | bit, contents.after(at, one))
            for bit, one in moves[first:]
            if not done & bit and one.invoked <= soonest
        ]
        following += [(done, contents.after(at, one)) for one in pending if one.invoked <= soonest]
        for each in following:
            if each[1] != IMPOSSIBLE and each not in seen:
                seen.add(each)
                stack.append(each)
    return ends, budget
