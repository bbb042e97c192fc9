"""One replica's directory: everything that is remembered, behind one face.

Threads: one writer calls what writes. `read_frames`, `read_headers`, `read_outcomes`,
`read_snapshot*` and `head` may be called by any thread at any time: they take what they share with
the writer (the head's number, the maps of holes) from attributes that are replaced whole, and check
every byte they return. A read beside a write may miss what is being written; it never invents.

A DiskError passes through and means: stop, and start again from the disk. DiskFull means that
nothing was acknowledged and nothing lost; the same call may be made again when there is space.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from veritydb.storage import names, opening, recovery, snapshots, superblock
from veritydb.storage.disk import Disk, clear
from veritydb.storage.erasing import Erasing
from veritydb.storage.errors import Damaged
from veritydb.storage.history import HistoryReader
from veritydb.storage.holes import HoleMaps
from veritydb.storage.journal import RECORD_BYTES, Journal
from veritydb.storage.outcomes import Outcomes
from veritydb.storage.segments import Segments, follows, mask
from veritydb.types import frame
from veritydb.types.durable import Identity, Recovered, SnapshotRef, Superblock, ViewState
from veritydb.types.frame import BadFrame, Frame, Header
from veritydb.types.history import NOTHING, History, Proof, proved
from veritydb.types.ids import Op
from veritydb.types.limits import SEGMENT_BYTES
from veritydb.types.marks import mark

READ_RECORDS = 512
# So many records are reserved at a time.
AHEAD = 4096
UNPREPARED = -1, 0, 0


class Store:
    """The directory of one replica of one group. Made by `open`."""

    def __init__(self, disk: Disk, block: Superblock, base: Header | None) -> None:
        """Use `Store.open`; this only puts the parts together."""
        who = block.identity
        self._disk = disk
        self._block = block
        self._base = base
        self._holes = HoleMaps(disk)
        self._journal = Journal(disk, who)
        self._segments = Segments(disk, who, self._holes)
        self._outcomes = Outcomes(disk)
        self._erasing = Erasing(self._journal, self._segments, self._holes)
        self._history = HistoryReader(self._journal, self._segments, self._outcomes)
        self._receiver: snapshots.SnapshotWriter | None = None
        self._last = base
        self._head = Op(base.op if base else 0)
        self._prepared = UNPREPARED
        assert block.snapshot.op == self._head

    @staticmethod
    def format(disk: Disk, identity: Identity) -> None:
        """Stamp an empty directory. What can fail comes first, the superblock last.

        Raises NotEmpty, DiskFull, DiskError. Interrupted, it can be called again.
        """
        assert 0 <= identity.index < identity.replicas
        opening.format_directory(disk, identity)

    @staticmethod
    def open(disk: Disk, expected: Identity | None = None) -> tuple["Store", Recovered]:
        """Recover what the directory holds and finish what a crash interrupted.

        Raises NotFormatted, WrongIdentity, UnknownFormat (nothing was touched then), Damaged,
        DiskError, DiskFull.
        """
        choice = superblock.load(disk)
        block = choice.block
        if expected is not None:
            opening.compare(expected, block.identity)
        opening.check_journal(disk)
        opening.settle(disk)
        base = snapshots.base_of(disk, block.snapshot) if block.snapshot.op else None
        store = Store(disk, block, base)
        superblock.mend(disk, choice)
        if base is not None:
            gap = block.gap_after if block.gap_end == base.op else None
            if gap is None:
                opening.check_outcomes(disk, base)
            opening.rejoin(store._journal, base, gap)
        plan = recovery.recover(store._journal, store._segments, block, base)
        store._carry_out(plan)
        assert store._head == plan.recovered.head
        return store, plan.recovered

    def _carry_out(self, plan: recovery.Plan) -> None:
        """Make the directory say what was decided, and remove what nothing names."""
        for header in plan.restore:
            self._journal.write((header,))
        if plan.recovered.headers:
            self._last = plan.recovered.headers[-1]
            self._head = self._last.op
        if plan.tidy:
            self._journal.clear_behind(self._head)
            self._clear_frames()
        self._erasing.finish()
        snapshots.remove_others(self._disk, self._block.snapshot.op, running=False)
        assert self._last is None or self._last.op == self._head

    def _clear_frames(self) -> None:
        """Make zero, durably, what stands behind the last frame; its record is blank already."""
        self._segments.remove_behind(self._head)
        last = self._last
        if last is not None:
            assert last.op == self._head
            name = names.segment(last.segment)
            end = last.position + last.frame_bytes()
            there = self._disk.size(name) is not None and end < SEGMENT_BYTES
            if there and clear(self._disk, name, end, SEGMENT_BYTES):
                mark("storage.frames_behind_head_cleared")
                # Or a frame that was cut could come back, and be of the very view that vouches.
                self._disk.sync(name)

    @property
    def superblock(self) -> Superblock:
        """What was last made durable."""
        return self._block

    @property
    def head(self) -> Op:
        """The last op whose record is durable."""
        return self._head

    def prepare(self) -> None:
        """Reserve space ahead of need, in idle moments: a spare segment, records, outcomes.

        Raises DiskFull: the time to refuse new writes, while there is a reserve left.
        """
        last = self._last
        segment, entries = (last.segment, last.entry_base + last.entry_count) if last else (0, 0)
        # Asked in every idle moment, and there is seldom anything to do.
        now = (segment, self._head // AHEAD, entries // AHEAD)
        if now != self._prepared:
            self._segments.prepare()
            self._journal.reserve(self._head + 2 * AHEAD)
            self._outcomes.reserve(entries + 2 * AHEAD)
            self._prepared = now

    def has_place(self, frames: Sequence[Frame]) -> bool:
        """Whether `append` would take these without making or extending a file."""
        last = self._last
        assert frames and frames[0].header.op == self._head + 1
        segment, op = frames[-1].header.segment, frames[-1].header.op
        whole = not any(frame.holes for frame in frames)
        return whole and last is not None and last.segment == segment and self._journal.reserved(op)

    def append(self, frames: Sequence[Frame]) -> None:
        """Write frames that follow the head; on return they survive a power cut.

        What was erased here stays erased: a log whose end was lost comes again from peers.
        """
        previous = self._last
        for each in frames:
            assert follows(each.header, previous, self._block.identity), "does not follow the head"
            previous = each.header
        if not frames or previous is None:
            return
        self._journal.reserve(previous.op)
        self._segments.write([self._erased(each) for each in frames])
        self._journal.write([each.header for each in frames])
        self._last = previous
        self._head = previous.op

    def repair(self, frames: Sequence[Frame]) -> None:
        """Write frames of the log again, or for the first time where a snapshot stood for them.

        Those that stand side by side are one write and one sync. What was erased here stays erased.
        Raises BadFrame if a body is not its header's, Damaged if nothing on this disk says that the
        log has a frame, DiskFull; what comes before in `frames` may have been written.
        """
        together: list[Frame] = []
        for whole in frames:
            recorded = self._recorded(whole)
            together.append(self._erased(whole))
            if not recorded:
                # The next one may be known by this record.
                mark("storage.record_repaired")
                self._segments.write(together)
                self._journal.write((whole.header,))
                together = []
        if together:
            self._segments.write(together)

    def _recorded(self, whole: Frame) -> bool:
        """Whether a frame's own record names it. Raises as `repair` if it is not of this log."""
        header = whole.header
        assert 0 < header.op <= self._head
        if not frame.verify_root(whole):
            raise BadFrame(f"op {header.op}: the body does not match the Merkle root")
        known = self._journal.header(header.op)
        recorded = known is not None and known.hash == header.hash
        if not recorded and not self._belongs(header):
            at = header.op * RECORD_BYTES
            raise Damaged(names.JOURNAL, at, "no record names the frame to repair", header.op)
        return recorded

    def _erased(self, whole: Frame) -> Frame:
        """Return the frame with the holes that were made in it here."""
        header = whole.header
        holes = self._holes.of(header.segment, header.op)
        if not holes:
            return whole
        masked = mask(whole, holes)
        assert masked is not None, "a hole in a part that does not exist"
        return masked

    def _belongs(self, header: Header) -> bool:
        """Whether the log has this header, although its own record does not say so."""
        assert header.op <= self._head
        for pinned in (self._last, self._base):
            if pinned is not None and pinned.op == header.op:
                return pinned.hash == header.hash
        after = self._journal.header(header.op + 1)
        return after is not None and after.previous == header.hash

    def cut(self, after: Op) -> None:
        """Forget every op behind `after`, durably. Raises Damaged if its record has rotted."""
        assert self._block.snapshot.op <= after <= self._head
        last = self._last
        if after < self._head:
            last = self._journal.header(after) if after else None
            if self._base is not None and after == self._base.op:
                last = self._base
            if after and last is None:
                mark("storage.record_to_cut_behind_rotten")
                at = after * RECORD_BYTES
                raise Damaged(names.JOURNAL, at, "the record to cut behind has rotted", after)
        self._head = after
        self._last = last
        self._prepared = UNPREPARED
        self._journal.clear_behind(after)
        self._clear_frames()

    def read_headers(self, first: Op, last: Op) -> list[Header]:
        """Return the headers from `first` on, up to the first that is missing. Any thread."""
        assert first > 0
        return self._journal.headers(first, min(last, self._head))

    def read_frames(self, first: Op, last: Op, bytes_max: int) -> list[Frame | None]:
        """Return frames from `first` on: at most `bytes_max` together, but one unless the log ends.

        None where the disk does not hold the frame that the journal names. Any thread.
        """
        assert first > 0 and bytes_max >= 0
        found: list[Frame | None] = []
        budget, last = bytes_max, min(last, self._head)
        while first <= last:
            upto = min(last, first + READ_RECORDS - 1)
            headers: list[Header | None] = []
            for _, header in self._journal.read(first, upto):
                budget -= header.frame_bytes() if header is not None else RECORD_BYTES
                if budget < 0 and (found or headers):
                    break
                headers.append(header)
            whole = iter(self._segments.read([each for each in headers if each is not None]))
            found += [next(whole) if each is not None else None for each in headers]
            if len(headers) < upto - first + 1:
                break
            first = Op(upto + 1)
        return found

    def write_superblock(
        self, view_state: ViewState | None = None, snapshot: SnapshotRef | None = None
    ) -> None:
        """Make the protocol's memory, or a finished snapshot's name, durable."""
        state = view_state or self._block.view_state
        if snapshot is None:
            self._write_block(view_state=state)
            return
        assert snapshot.op <= self._head, "use install_snapshot"
        # Whoever names a snapshot that is not there could never start again.
        base = snapshots.base_of(self._disk, snapshot)
        # A gap that is still open is looked for from the snapshot downwards.
        if self._block.gap_end:
            mark("storage.snapshot_over_a_gap")
        gap_end = snapshot.op if self._block.gap_end else Op(0)
        self._write_block(view_state=state, snapshot=snapshot, gap_end=gap_end)
        self._base = base
        snapshots.remove_others(self._disk, snapshot.op)

    def _write_block(self, **changed: ViewState | SnapshotRef | Op) -> None:
        old = self._block
        assert changed
        new = msgspec.structs.replace(
            old, sequence=old.sequence + 1, parent=superblock.checksum(old), **changed
        )
        superblock.write(self._disk, new)
        self._block = new

    def install_snapshot(self, snapshot: SnapshotRef, applied: Op) -> None:
        """Begin again from another replica's snapshot, which lies behind the head.

        Ops up to `applied` are known to be in the log; what stands between them and the snapshot
        may not be, and is forgotten until `repair` brings it, from the snapshot downwards.
        """
        assert applied <= self._head < snapshot.op
        # No start will derive outcomes again that the snapshot stands for.
        self._outcomes.sync()
        snapshots.name_received(self._disk, snapshot)
        self._receiver = None
        base = snapshots.base_of(self._disk, snapshot)
        self._journal.reserve(base.op)
        # A gap from before that may not be filled yet becomes part of this one.
        if self._block.gap_end:
            mark("storage.gap_widened")
        gap = self._block.gap_after if self._block.gap_end else applied
        self._write_block(snapshot=snapshot, gap_after=gap, gap_end=snapshot.op)
        opening.rejoin(self._journal, base, applied)
        self._journal.clear_behind(base.op)
        snapshots.remove_others(self._disk, base.op)
        # Last of all: readers go by it.
        self._last, self._head, self._base = base, base.op, base

    def read_history(
        self, first: Op, last: Op, bytes_max: int, proof: Proof | None = None
    ) -> tuple[History, Op]:
        """Return ops that end with `last`, with outcomes; none if something is lacking. Any thread.

        With `proof`, only what that proves. And an op whose frame has rotted, or 0.
        """
        if not 0 < first <= last <= self._head:
            return NOTHING, Op(0)
        found, rotten = self._history.read(first, last, bytes_max)
        return (found if proof is None or proved(found, proof) else NOTHING), rotten

    def write_history(self, history: History, proof: Proof) -> bool:
        """Write a stretch that a snapshot stood for, durably; the outcomes once the gap is closed.

        What was erased here stays erased. Returns whether it is the log's. Raises DiskFull: the
        same call may be made again.
        """
        assert proof.op <= self._head
        if not proved(history, proof):
            mark("storage.history_not_proved")
            return False
        whole = [self._erased(each) for each in history.frames]
        self._outcomes.write(whole[0].header.entry_base, history.records)
        self._segments.write(whole)
        self._journal.write([one.header for one in whole])
        return True

    def close_gap(self, after: Op) -> bool:
        """The log is whole again: say so, durably. False if it does not fit what was before."""
        above = self._journal.header(after + 1)
        below = self._journal.header(after) if after else None
        assert after < self._head
        if above is not None and below is not None and above.previous != below.hash:
            mark("storage.gap_does_not_fit")
            return False
        self._outcomes.sync()
        self._write_block(gap_after=Op(0), gap_end=Op(0))
        return True

    def append_outcomes(self, first: int, data: bytes) -> None:
        """Write the outcome records of entries from index `first` on; durable with a snapshot."""
        assert first >= 0
        self._outcomes.write(first, data)

    def read_outcomes(self, first: int, count: int) -> bytes:
        """Return the outcome records of entries from `first` on, as far as written. Any thread.

        A record of zeros (its op is 0) stands for one that this replica does not have.
        """
        assert count >= 0
        return self._outcomes.read(first, count)

    def begin_snapshot(
        self, base: Header, outcomes: bytes, disk: Disk | None = None
    ) -> snapshots.Composer:
        """Begin a snapshot of the state after `base`: `add` chunks, `finish`, `write_superblock`.

        The outcome file is synced first: a start from the snapshot does not derive it again. With
        a `disk` of its own, of the same directory, `add` and `finish` may be called by another
        thread: nothing else is touched.
        """
        assert base.op <= self._head
        self._outcomes.sync()
        writer = snapshots.SnapshotWriter(disk or self._disk, names.SNAPSHOT_NEW)
        return snapshots.Composer(writer, base, outcomes)

    def receive_snapshot(self) -> snapshots.SnapshotWriter:
        """Begin to write a snapshot that comes from another replica; `install_snapshot` ends it."""
        assert self._block.sequence > 0
        return snapshots.SnapshotWriter(self._disk, names.SNAPSHOT_RECEIVED)

    def save_snapshot(self, at: int, data: bytes) -> int:
        """Add bytes to the snapshot that comes from another replica; `at` 0 begins a new one.

        Returns how many there are. Raises DiskFull. `install_snapshot` ends it.
        """
        if at == 0 or self._receiver is None:
            self._receiver = self.receive_snapshot()
        assert self._receiver.size == at, "parts come in order"
        self._receiver.write_raw(data)
        return self._receiver.size

    def abandon_snapshot(self) -> None:
        """Remove what `save_snapshot` wrote: there is no space, or it is not what it should be."""
        if self._receiver is not None:
            mark("storage.received_snapshot_abandoned")
            self._receiver.abandon()
            self._receiver = None
        assert self._disk.size(names.SNAPSHOT_RECEIVED) is None

    def received(self, snapshot: SnapshotRef) -> tuple[Header, Iterator[bytes]]:
        """Return the header and the chunks of what `save_snapshot` wrote. Any thread.

        Raises Damaged, at the latest with the last chunk, if it is not the one that was offered.
        """
        assert snapshot.op > 0
        return snapshots.received(self._disk, snapshot, self._block.identity)

    def read_snapshot(self) -> Iterator[bytes]:
        """Yield the chunks of the snapshot that the superblock names, checked. Raises Damaged."""
        ref = self._block.snapshot
        assert ref.op >= 0
        return snapshots.load(self._disk, ref) if ref.op else iter(())

    def read_snapshot_raw(self, ref: SnapshotRef, at: int, size: int) -> bytes:
        """Return bytes of a snapshot file to send to another replica, which checks them.

        Raises NoSuchFile when a newer snapshot has replaced it. Any thread.
        """
        assert at >= 0 and ref.op > 0
        return self._disk.read(names.snapshot(ref.op), at, size)

    def erase_many(self, entries: Iterable[tuple[Op, int]]) -> list[tuple[Op, int]]:
        """Erase the events of entries (op, index within the op) for good.

        Returns those that could not be erased because their frame cannot be read: repair it, and
        ask again. Raises DiskFull before anything was erased.
        """
        wanted = list(entries)
        assert all(0 < op <= self._head for op, _ in wanted)
        return self._erasing.erase(wanted)
