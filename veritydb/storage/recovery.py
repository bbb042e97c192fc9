"""What a replica finds after a crash, op by op. What it makes of it is in `decisions`."""

import msgspec

from veritydb.storage import names
from veritydb.storage.decisions import BLANK, DECISIONS, ROTTEN, VALID, Decision, Found
from veritydb.storage.errors import Damaged
from veritydb.storage.journal import RECORD_BYTES, Journal, RecordState
from veritydb.storage.segments import Segments, follows
from veritydb.types.durable import Recovered, Superblock, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import Op
from veritydb.types.marks import mark

AHEAD_OPS = 256
AHEAD_BYTES = 4 << 20


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
        # Of the last frames that were read: header's hash, and whether the frame was good.
        self._good: dict[Op, tuple[bytes, bool]] = {}
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
                mark("storage.record_restored")
                restore.append(header)
            if decision in (Decision.FAULTY, Decision.RESTORE_FAULTY):
                mark("storage.frame_missing_at_start")
                self._refuse_alone(header)
                faulty.append(op)
            headers.append(header)
            previous, op = header, Op(op + 1)
        certain = decision != Decision.UNCERTAIN
        if decision == Decision.CUT:
            mark("storage.interrupted_cut_finished")
        if not certain:
            mark("storage.head_uncertain")
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
            mark("storage.alone_and_rotten")
            problem = "the frame has rotted and there is no other replica to repair it from"
            raise Damaged(names.segment(header.segment), header.position, problem, header.op)

    def _look(self, previous: Header | None, op: Op) -> tuple[Decision, Header | None]:
        """Decide about one op; return the header that it is to have."""
        state, header = self._record(op)
        if header is not None and not follows(header, previous, self._who):
            mark("storage.record_does_not_follow")
            state, header = ROTTEN, None
        known = self._installed.get(op)
        if known is not None and not follows(known, previous, self._who):
            mark("storage.superblock_header_does_not_follow")
            known = None
        vouched = intact = False
        whole: Frame | None = None
        if header is not None:
            intact = self._intact(header)
            if not intact and self._overtaken(header, previous):
                mark("storage.record_of_a_given_up_op")
                state, header = ROTTEN, None
        if header is None:
            # Two frames may claim the place; the one that somebody vouches for is meant.
            for candidate in self._segments.candidates(previous, op):
                vouched = self._vouch(candidate)
                whole, intact = candidate, True
                if vouched:
                    break
        found = Found(
            record=state,
            frame=intact,
            contradicted=header is not None and contradicted(header, self._state),
            vouched=vouched,
            known=known is not None,
            later=self._last_counted > op,
        )
        decision = DECISIONS[found]
        if decision == Decision.RESTORE_FAULTY:
            mark("storage.record_restored_from_superblock")
        if decision == Decision.RESTORE:
            assert whole is not None and vouched
            return decision, whole.header
        return decision, known if decision == Decision.RESTORE_FAULTY else header

    def _overtaken(self, header: Header, previous: Header | None) -> bool:
        """Whether a newer frame stands where the record's should.

        Before that was written the record was made blank: so the disk has lost a write to it.
        """
        newer = self._segments.candidates(previous, header.op)
        assert all(each.header.op == header.op for each in newer)
        return any(each.header.view > header.view for each in newer)

    def _intact(self, header: Header) -> bool:
        """Whether the frame of a valid record is good. Many are read at once."""
        if header.op not in self._good:
            ahead, size = [header], 0
            while len(ahead) < AHEAD_OPS and size < AHEAD_BYTES:
                _, after = self._record(ahead[-1].op + 1)
                if after is None:
                    break
                size += after.frame_bytes()
                ahead.append(after)
            found = zip(ahead, self._segments.read(ahead), strict=True)
            self._good = {each.op: (each.hash, whole is not None) for each, whole in found}
        named, good = self._good[header.op]
        assert named == header.hash
        return good

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
                mark("storage.later_record_vouches")
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
