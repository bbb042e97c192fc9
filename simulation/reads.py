"""What is in a stream, out of the log, by the index."""

from simulation.checkers.base import TOKEN
from simulation.index import Index
from veritydb.node.effects import Run
from veritydb.storage.store import Store
from veritydb.types import entry as entries
from veritydb.types.frame import Frame
from veritydb.types.ids import Op

RUNS_MAX = 5
BYTES_MAX = 1 << 20


def tokens_from(store: Store, index: Index, stream: int, first: int) -> list[bytes]:
    """The payload tokens of a few events from offset `first` on, as far as they can be read."""
    tokens: list[bytes] = []
    for op, run in index.find(stream, first, RUNS_MAX):
        frames = store.read_frames(Op(op), Op(op), BYTES_MAX)
        frame = frames[0] if frames else None
        if frame is None or run.base > first + len(tokens):
            # Rotten, or not here yet: a peer's snapshot stands for it.
            break
        if any(hole.entry == run.entry for hole in frame.holes):
            # A peer that was ahead had erased it before it gave it to us.
            break
        tokens += tokens_of(frame, run)[max(0, first - run.base) :]
    return tokens


def tokens_of(frame: Frame, run: Run) -> list[bytes]:
    """The payload tokens of one run, in the order of its events."""
    for at, (_, start, end) in enumerate(entries.split(frame.body, frame.header.entry_count)):
        if at == run.entry:
            header = entries.parse_header(frame.body, start)
            body = frame.body[start + entries.HEADER_BYTES : end]
            table = entries.part_table(body, header.parts)
            sizes = [part.descriptor_len + part.events_len for part in table]
            begin = header.parts * entries.PART_BYTES + sum(sizes[: run.first])
            return TOKEN.findall(body[begin : begin + sum(sizes[run.first : run.end])])
    return []
