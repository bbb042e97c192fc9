"""The stream index of one replica, as the server keeps one: where the events of a stream lie.

Derived from what was committed, so it may outlive the process; what is missing comes again.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from veritydb.node.effects import IndexRuns, Run
from veritydb.node.runs import runs_of
from veritydb.types.history import History
from veritydb.types.outcome import RECORD_BYTES, decode


class Index:
    """Per stream, its runs in order."""

    def __init__(self) -> None:
        """Empty."""
        self._bases: dict[int, list[int]] = {}
        self._runs: dict[int, list[tuple[int, Run]]] = {}

    def add(self, effect: IndexRuns) -> None:
        """Learn what one op holds; learning it again changes nothing."""
        self._add(effect.op, effect.runs)

    def _add(self, op: int, runs: Iterable[Run]) -> None:
        for run in runs:
            bases = self._bases.setdefault(run.stream, [])
            at = bisect_left(bases, run.base)
            if at == len(bases) or bases[at] != run.base:
                bases.insert(at, run.base)
                self._runs.setdefault(run.stream, []).insert(at, (op, run))

    def fill(self, history: History) -> None:
        """Learn what ops hold whose history came from a peer."""
        at = 0
        for frame in history.frames:
            end = at + frame.header.entry_count * RECORD_BYTES
            outcomes = [decode(history.records, one) for one in range(at, end, RECORD_BYTES)]
            self._add(frame.header.op, runs_of(frame, outcomes))
            at = end

    def find(self, stream: int, offset: int, limit: int) -> list[tuple[int, Run]]:
        """(op, run) of a few runs, from the one that holds `offset` on."""
        at = bisect_right(self._bases.get(stream, []), offset) - 1
        return self._runs.get(stream, [])[max(at, 0) :][:limit]

    def below(self, stream: int, floor: int) -> list[tuple[int, Run]]:
        """(op, run) of the runs all of whose events lie below an offset."""
        runs = self._runs.get(stream, [])[: bisect_left(self._bases.get(stream, []), floor)]
        return [(op, run) for op, run in runs if run.base + run.count <= floor]
