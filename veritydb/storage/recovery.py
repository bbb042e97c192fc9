"""What a replica finds after a crash, and what it makes of it, op by op.

Every write of the log goes: frames, sync, records, sync, acknowledgement. So a record says that its
frame was durable, and no record says that nothing was acknowledged. `TABLE` is all decisions there
are; the order of its rows does not matter, exactly one row matches (a test goes through them all).
"""

from collections.abc import Iterator
from enum import Enum
from itertools import product
from typing import NamedTuple

import msgspec

from veritydb.storage import names
from veritydb.storage.errors import Damaged
from veritydb.storage.journal import RECORD_BYTES, Journal, RecordState
from veritydb.storage.segments import Segments, follows
from veritydb.types.durable import Recovered, Superblock, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import Op


class Decision(Enum):
    """What becomes of an op."""

    KEEP = "keep it"
    FAULTY = "keep the record; the frame has rotted and must be repaired"
    RESTORE = "write the record again, from the frame"
    RESTORE_FAULTY = "write the record again, from the superblock; the frame must be repaired"
    CUT = "the installed view forgot it: blank it and all behind it"
    END = "the log ends before it; blank what is behind"
    UNCERTAIN = "the log may go on; touch nothing and do not vote"


class Found(NamedTuple):
    """What is known of one op, given the header before it.

    `record`: what its journal record is; one that does not follow the header before counts as
    rotten. `frame`: its frame is intact: the one that a valid record names, else one that follows
    the header before. `contradicted`: the record is valid, but the log that the durable view
    installed has another op here, or ended before. `vouched`: the frame belongs to the log although
    no record says so: it is of the durable log view, or the superblock names its hash, or a later
    record chains on it, or this replica is alone and so never cuts. `known`: the superblock has
    the header of this op, and it follows. `later`: a record behind is not blank and not
    contradicted.
    """

    record: RecordState
    frame: bool
    contradicted: bool
    vouched: bool
    known: bool
    later: bool


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: None matches both."""

    record: RecordState
    frame: bool | None = None
    contradicted: bool | None = None
    vouched: bool | None = None
    known: bool | None = None
    later: bool | None = None
    decision: Decision
    why: str


VALID, BLANK, ROTTEN = RecordState.VALID, RecordState.BLANK, RecordState.ROTTEN

TABLE = (
    Row(
        record=VALID,
        contradicted=True,
        decision=Decision.CUT,
        why="a view change decided against it, and its cut was interrupted",
    ),
    Row(
        record=VALID,
        contradicted=False,
        frame=True,
        decision=Decision.KEEP,
        why="written, and perhaps acknowledged",
    ),
    Row(
        record=VALID,
        contradicted=False,
        frame=False,
        decision=Decision.FAULTY,
        why="its frame was durable before the record was written: it has rotted since",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=True,
        decision=Decision.RESTORE,
        why="a crash came between frame and record; nothing was cut, so it does no harm",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=False,
        later=False,
        decision=Decision.END,
        why="a frame of an older view without record may have been cut",
    ),
    Row(
        record=BLANK,
        frame=False,
        later=False,
        decision=Decision.END,
        why="never acknowledged: a record would say so",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=False,
        later=True,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="a record was lost, the superblock says which",
    ),
    Row(
        record=BLANK,
        frame=False,
        later=True,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="record and frame were lost, the superblock says which",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=False,
        later=True,
        known=False,
        decision=Decision.UNCERTAIN,
        why="there is more log behind it, but nothing joins it",
    ),
    Row(
        record=BLANK,
        frame=False,
        later=True,
        known=False,
        decision=Decision.UNCERTAIN,
        why="there is more log behind it, but nothing joins it",
    ),
    Row(
        record=ROTTEN,
        frame=True,
        vouched=True,
        decision=Decision.RESTORE,
        why="the record has rotted, the frame says what it said",
    ),
    Row(
        record=ROTTEN,
        frame=True,
        vouched=False,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="the frame is of another log; the superblock says what the record said",
    ),
    Row(
        record=ROTTEN,
        frame=False,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="record and frame have rotted, the superblock says what the record said",
    ),
    Row(
        record=ROTTEN,
        frame=True,
        vouched=False,
        known=False,
        decision=Decision.UNCERTAIN,
        why="the record may have named the frame, or the frame may have been cut before",
    ),
    Row(
        record=ROTTEN,
        frame=False,
        known=False,
        decision=Decision.UNCERTAIN,
        why="something was acknowledged here, and nobody here knows what",
    ),
)
FLAGS = ("frame", "contradicted", "vouched", "known", "later")


def everything() -> Iterator[Found]:
    """Yield all that can be found."""
    for record in RecordState:
        for flags in product((False, True), repeat=len(FLAGS)):
            found = Found(record, *flags)
            if possible(found):
                yield found
    assert len(FLAGS) == len(Found._fields) - 1


def possible(found: Found) -> bool:
    """Whether the flags can stand together: only a record is contradicted, only a frame vouched."""
    assert isinstance(found.record, RecordState)
    if found.contradicted and found.record != VALID:
        return False
    return found.frame or not found.vouched


def matches(row: Row, found: Found) -> bool:
    """Whether a row speaks about what was found."""
    assert possible(found)
    return row.record == found.record and all(
        getattr(row, flag) in (None, getattr(found, flag)) for flag in FLAGS
    )


def row_for(found: Found) -> Row:
    """Return the one row that matches."""
    rows = [row for row in TABLE if matches(row, found)]
    assert len(rows) == 1, "the recovery table is ambiguous or has a gap"
    return rows[0]


DECISIONS = {found: row_for(found).decision for found in everything()}


class Plan(msgspec.Struct, frozen=True):
    """What was recovered, and the writes that make the directory say so.

    `restore` are headers whose records are to be written. `tidy` tells that all behind the head is
    to be made blank; it is not when the head is uncertain, because what is there is evidence.
    """

    recovered: Recovered
    restore: tuple[Header, ...]
    tidy: bool


def recover(
    journal: Journal, segments: Segments, superblock: Superblock, base: Header | None
) -> Plan:
    """Read what is behind the snapshot, whose header is `base`, and decide. Changes nothing.

    Raises DiskError, UnknownFormat, and Damaged if a group of one has lost an op.
    """
    assert (base is None) == (superblock.snapshot.op == 0)
    return _Recovery(journal, segments, superblock, base).run()


class _Recovery:
    def __init__(
        self, journal: Journal, segments: Segments, superblock: Superblock, base: Header | None
    ) -> None:
        start = superblock.snapshot.op
        self._segments = segments
        self._block = superblock
        self._state = superblock.view_state
        self._who = superblock.identity
        self._base = base
        self._first = start + 1
        self._records = journal.read(start + 1, journal.last_written(start))
        self._installed = {header.op: header for header in self._state.headers}
        # Hashes of frames for which a later record was found to speak.
        self._vouched: dict[bytes, bool] = {}
        self._last_counted = max(
            (start + 1 + at for at, found in enumerate(self._records) if self._counts(found)),
            default=start,
        )
        assert len(self._installed) == len(self._state.headers)

    def _counts(self, found: tuple[RecordState, Header | None]) -> bool:
        """Whether a record says that the log reaches as far as this."""
        state, header = found
        assert (header is None) == (state != VALID)
        return state == ROTTEN or (header is not None and not contradicted(header, self._state))

    def _record(self, op: int) -> tuple[RecordState, Header | None]:
        at = op - self._first
        assert at >= 0
        return self._records[at] if at < len(self._records) else (BLANK, None)

    def run(self) -> Plan:
        """Go from op to op until the log ends."""
        headers: list[Header] = []
        faulty: list[Op] = []
        restore: list[Header] = []
        previous, op = self._base, Op(self._first)
        while True:
            decision, header = self._look(previous, op)
            if decision in (Decision.CUT, Decision.END, Decision.UNCERTAIN):
                break
            assert header is not None and header.op == op
            if decision in (Decision.RESTORE, Decision.RESTORE_FAULTY):
                restore.append(header)
            if decision in (Decision.FAULTY, Decision.RESTORE_FAULTY):
                self._refuse_alone(header)
                faulty.append(op)
            headers.append(header)
            previous, op = header, Op(op + 1)
        certain = decision != Decision.UNCERTAIN
        if not certain and self._who.replicas == 1:
            at = op * RECORD_BYTES
            raise Damaged(names.JOURNAL, at, "its record has rotted and its frame is lost", op)
        recovered = Recovered(
            superblock=self._block,
            base=self._base,
            headers=tuple(headers),
            faulty=tuple(faulty),
            head_certain=certain,
        )
        return Plan(recovered, tuple(restore), certain)

    def _refuse_alone(self, header: Header) -> None:
        """Raise Damaged if there is nobody who could repair the frame."""
        assert header.op >= self._first
        if self._who.replicas == 1:
            problem = "the frame has rotted and there is no other replica to repair it from"
            raise Damaged(names.segment(header.segment), header.position, problem, header.op)

    def _look(self, previous: Header | None, op: Op) -> tuple[Decision, Header | None]:
        """Decide about one op; return the header that it is to have."""
        state, header = self._record(op)
        if header is not None and not follows(header, previous, self._who):
            state, header = ROTTEN, None
        known = self._installed.get(op)
        if known is not None and not follows(known, previous, self._who):
            known = None
        vouched = False
        whole: Frame | None = None
        if header is not None:
            whole = self._segments.read_one(header)
        else:
            # Two frames may claim the place; the one that somebody vouches for is meant.
            for candidate in self._segments.candidates(previous, op):
                vouched = self._vouch(candidate)
                whole = candidate
                if vouched:
                    break
        found = Found(
            record=state,
            frame=whole is not None,
            contradicted=header is not None and contradicted(header, self._state),
            vouched=vouched,
            known=known is not None,
            later=self._last_counted > op,
        )
        decision = DECISIONS[found]
        if decision == Decision.RESTORE:
            assert whole is not None and vouched
            return decision, whole.header
        return decision, known if decision == Decision.RESTORE_FAULTY else header

    def _vouch(self, candidate: Frame) -> bool:
        """Whether a frame without record belongs to the log all the same."""
        trail: list[bytes] = []
        at, answer = candidate.header, False
        while True:
            if at.hash in self._vouched:
                answer = self._vouched[at.hash]
                break
            trail.append(at.hash)
            if contradicted(at, self._state):
                break
            if self._trusted(at):
                answer = True
                break
            _, header = self._record(at.op + 1)
            if header is not None and follows(header, at, self._who):
                answer = not contradicted(header, self._state)
                break
            after = self._segments.candidates(at, Op(at.op + 1))
            if not after:
                break
            at = after[0].header
        self._vouched.update(dict.fromkeys(trail, answer))
        assert candidate.header.hash in self._vouched
        return answer

    def _trusted(self, header: Header) -> bool:
        """Whether a frame belongs to the log by what it says itself. Nothing of a view is cut."""
        installed = self._installed.get(header.op)
        assert installed is None or installed.op == header.op
        named = installed is not None and installed.hash == header.hash
        return named or self._who.replicas == 1 or header.view == self._state.log_view


def contradicted(header: Header, state: ViewState) -> bool:
    """Whether the log that the durable log view began with rules this op out.

    It began with `state.headers`: another header at one of their ops is of a log that was given
    up, and so is an op behind them that is of an older view.
    """
    if state.log_view != state.view or not state.headers:
        return False
    first, last = state.headers[0], state.headers[-1]
    assert last.op - first.op == len(state.headers) - 1
    if header.op > last.op:
        return header.view < state.log_view
    return header.op >= first.op and header.hash != state.headers[header.op - first.op].hash
