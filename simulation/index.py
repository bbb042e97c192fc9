"""The stream index of one replica, as the server keeps one: where the events of a stream lie.

Derived from what was committed, so it may outlive the process; what is missing comes again.
"""

from bisect import bisect_right

from veritydb.node.effects import IndexRuns, Run


class Index:
    """Per stream, its runs in order."""

    def __init__(self) -> None:
        """Empty."""
        self._bases: dict[int, list[int]] = {}
        self._runs: dict[int, list[tuple[int, Run]]] = {}

    def add(self, effect: IndexRuns) -> None:
        """Learn what one op holds; learning it again changes nothing."""
        for run in effect.runs:
            bases = self._bases.setdefault(run.stream, [])
            if not bases or run.base > bases[-1]:
                bases.append(run.base)
                self._runs.setdefault(run.stream, []).append((effect.op, run))

    def find(self, stream: int, offset: int, limit: int) -> list[tuple[int, Run]]:
        """(op, run) of a few runs, from the one that holds `offset` on."""
        at = bisect_right(self._bases.get(stream, []), offset) - 1
        return self._runs.get(stream, [])[max(at, 0) :][:limit]
