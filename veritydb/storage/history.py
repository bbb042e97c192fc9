"""Reading a stretch of the log from its end downwards, for a replica that lacks it."""

from veritydb.storage.journal import Journal
from veritydb.storage.outcomes import Outcomes
from veritydb.storage.segments import Segments
from veritydb.types.frame import Frame, Header
from veritydb.types.history import NOTHING, History
from veritydb.types.ids import Op
from veritydb.types.limits import PIPELINE_OPS_MAX, SECTOR_BYTES
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import RECORD_BYTES, chain

OPS_MAX = 256
# A header names the outcomes of an op at most a pipeline back, so the chain is entered there.
BEFORE_OPS = 2 * PIPELINE_OPS_MAX
OP_AT = 8


class HistoryReader:
    """Reads what was written before. Any thread."""

    def __init__(self, journal: Journal, segments: Segments, outcomes: Outcomes) -> None:
        """Read from these files."""
        self._journal = journal
        self._segments = segments
        self._outcomes = outcomes
        assert OPS_MAX > BEFORE_OPS

    def read(self, first: Op, last: Op, bytes_max: int) -> tuple[History, Op]:
        """Return ops that end with `last`, at least one if all it takes is here.

        And an op whose record is here and whose frame cannot be read, or 0.
        """
        assert 0 < first <= last
        # Every frame takes a sector at least, so no more of them fit than there are sectors.
        most = min(OPS_MAX, bytes_max // SECTOR_BYTES + 1) + BEFORE_OPS
        headers = self._headers(Op(max(1, last - most)), last)
        chosen = self._choose(headers, first, bytes_max)
        frames: list[Frame] = []
        for header, frame in zip(chosen, self._segments.read(chosen), strict=True):
            if frame is None:
                if header is chosen[-1]:
                    return NOTHING, header.op
                frames.clear()
            else:
                frames.append(frame)
        low = headers[0].op if headers else Op(0)
        while frames and frames[0].header.commit + 1 < low:
            # Nothing here says what the outcomes before it were.
            frames.pop(0)
        if not frames:
            return NOTHING, Op(0)
        return self._with_outcomes(headers, frames), Op(0)

    def _headers(self, first: Op, last: Op) -> list[Header]:
        """Return the headers up to `last` behind the last that is missing."""
        found: list[Header] = []
        for _, header in self._journal.read(first, last):
            if header is None:
                found.clear()
            else:
                found.append(header)
        assert not found or found[-1].op <= last
        return found if found and found[-1].op == last else []

    def _choose(self, headers: list[Header], first: Op, bytes_max: int) -> list[Header]:
        """Return the last headers that fit, but at least one."""
        chosen: list[Header] = []
        size = 0
        for header in reversed(headers):
            size += header.frame_bytes()
            if header.op < first or len(chosen) == OPS_MAX or (chosen and size > bytes_max):
                break
            chosen.append(header)
        chosen.reverse()
        assert len(chosen) <= OPS_MAX
        return chosen

    def _with_outcomes(self, headers: list[Header], frames: list[Frame]) -> History:
        """Add the outcomes of the frames, and the chain head before them."""
        lead, last = frames[0].header, frames[-1].header
        between = [each for each in headers if lead.commit < each.op < lead.op]
        assert len(between) == lead.op - lead.commit - 1
        start = between[0].entry_base if between else lead.entry_base
        count = last.entry_base + last.entry_count - start
        data = self._outcomes.read(start, count)
        at = [one * RECORD_BYTES for one in range(count)]
        if len(data) != count * RECORD_BYTES or not all(any(data[x + OP_AT : x + 16]) for x in at):
            return NOTHING
        head = lead.outcomes if lead.commit else NO_HASH
        for each in between:
            begin = each.entry_base - start
            mine = at[begin : begin + each.entry_count]
            head = chain(head, [data[one : one + RECORD_BYTES] for one in mine])
        records = data[(lead.entry_base - start) * RECORD_BYTES :]
        return History(tuple(frames), records, head)
