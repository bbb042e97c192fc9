"""Which events of which streams a frame holds, told from its entries and what became of them."""

from collections.abc import Iterator, Sequence

from veritydb.node.effects import Run
from veritydb.types import entry as entries
from veritydb.types import multi
from veritydb.types.entry import HEADER_BYTES, Kind
from veritydb.types.frame import Frame
from veritydb.types.ids import Offset, StreamId
from veritydb.types.outcome import Code, Outcome


def runs_of(frame: Frame, outcomes: Sequence[Outcome]) -> Iterator[Run]:
    """Yield the runs of a frame, in the order of its entries. Raises BadEntry."""
    assert len(outcomes) == frame.header.entry_count, "one outcome for each entry"
    body = memoryview(frame.body)
    for index, (header, start, end) in enumerate(entries.split(body, frame.header.entry_count)):
        outcome = outcomes[index]
        if outcome.code is not Code.OK:
            continue
        if header.kind is Kind.APPEND:
            stream, base = StreamId(outcome.stream), Offset(outcome.base)
            yield Run(stream, base, outcome.count, index, header.body_len, 0, header.parts)
        elif header.kind is Kind.APPEND_MANY:
            at = 0
            for share in multi.parse(body[start + HEADER_BYTES : end]):
                upto = at + share.parts
                if share.events:
                    base = Offset(share.base)
                    yield Run(share.stream, base, share.events, index, share.size, at, upto)
                at = upto
