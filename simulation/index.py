"""The stream index of one replica, as the server keeps one: where the events of a stream lie.

Derived from what was committed, so it may outlive the process; what is missing comes again.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from veritydb.node.effects import IndexRuns, Run
from veritydb.types import entry as entries
from veritydb.types import multi
from veritydb.types.entry import HEADER_BYTES, Kind
from veritydb.types.frame import Frame
from veritydb.types.history import History
from veritydb.types.ids import Offset, StreamId
from veritydb.types.outcome import RECORD_BYTES, Code, decode


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
            self._add(frame.header.op, runs_of(frame, history.records[at:end]))
            at = end

    def find(self, stream: int, offset: int, limit: int) -> list[tuple[int, Run]]:
        """(op, run) of a few runs, from the one that holds `offset` on."""
        at = bisect_right(self._bases.get(stream, []), offset) - 1
        return self._runs.get(stream, [])[max(at, 0) :][:limit]

    def below(self, stream: int, floor: int) -> list[tuple[int, Run]]:
        """(op, run) of the runs all of whose events lie below an offset."""
        runs = self._runs.get(stream, [])[: bisect_left(self._bases.get(stream, []), floor)]
        return [(op, run) for op, run in runs if run.base + run.count <= floor]


def runs_of(frame: Frame, records: bytes) -> Iterator[Run]:
    """The runs of a frame, from its entries and what became of them."""
    split = entries.split(frame.body, frame.header.entry_count)
    for index, (header, start, end) in enumerate(split):
        outcome = decode(records, index * RECORD_BYTES)
        if outcome.code is not Code.OK:
            continue
        if header.kind is Kind.APPEND:
            stream, base = StreamId(outcome.stream), Offset(outcome.base)
            yield Run(stream, base, outcome.count, index, header.body_len, 0, header.parts)
        elif header.kind is Kind.APPEND_MANY:
            at = 0
            for share in multi.parse(frame.body[start + HEADER_BYTES : end]):
                upto = at + share.parts
                if share.events:
                    base = Offset(share.base)
                    yield Run(share.stream, base, share.events, index, share.size, at, upto)
                at = upto
