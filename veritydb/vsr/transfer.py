"""Catching up by a peer's snapshot, where the log would take too long; and giving ours to peers.

What is asked for is saved beside our own snapshot, part by part: one request is on its way at a
time, and the next only leaves when the last part was written. It goes on where it was after a lost
message, and with another peer if that has the same snapshot. It is taken up only once all of it was
read back and proved to be what was offered. A snapshot is of committed ops, so it may be taken up
in any view; but only while we follow a primary, when our own log is a part of the view's.

What counts as promised is not changed by it: a replica that has to recover stays without a voice
until its log reaches the op that it must, whether by snapshot, by frames, or by both.
"""

from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Header
from veritydb.types.history import Proof
from veritydb.types.ids import Op
from veritydb.types.limits import CATCH_UP_BYTES_MAX
from veritydb.types.marks import mark
from veritydb.vsr.config import JOINING
from veritydb.vsr.effects import (
    CheckSnapshot,
    InstallSnapshot,
    ReadSnapshot,
    SaveSnapshot,
)
from veritydb.vsr.events import SnapshotRead
from veritydb.vsr.messages import (
    RequestSnapshot,
    RequestSnapshotPart,
    SnapshotOffer,
    SnapshotPart,
)
from veritydb.vsr.progress import Backfill, Stage, Transfer
from veritydb.vsr.repair import target
from veritydb.vsr.state import Purpose, State, Waiting

# How often one peer is asked the same before another one is.
OFFER_ATTEMPTS_MAX = 2
PART_ATTEMPTS_MAX = 4
# So many fetch times later it is tried again, after no peer had anything worth taking.
PAUSE = 8


def worth(s: State, op: Op) -> bool:
    """Whether a snapshot of `op` saves enough of the log."""
    assert op >= 0
    if s.status is JOINING and s.log.head == 0:
        return op > 0
    return op - s.log.head > s.config.transfer_ops // 2


def wanted(s: State) -> bool:
    """Whether to look for a snapshot."""
    if s.leading or s.now < s.transfer_due or not s.following or not s.peers:
        return False
    lag = target(s) - s.log.head
    empty = s.status is JOINING and s.log.head == 0
    return lag > s.config.transfer_ops or (empty and lag > 0)


def drive(s: State) -> bool:
    """Take the next step that needs no answer. Whether fetching ops has to wait for a snapshot."""
    work = s.transfer
    if work is None:
        if not wanted(s):
            return False
        mark("vsr.transfer_begun")
        source = s.peers[s.prng.randrange(len(s.peers))]
        work = s.transfer = Transfer(source, [False] * s.replicas)
    if s.leading or (work.ref.op and work.ref.op <= s.log.head):
        mark("vsr.transfer_not_needed_any_more")
        s.transfer = None
        return False
    if not s.following:
        return False
    if work.stage == Stage.TURN:
        return not _take_up(s, work)
    if work.stage in (Stage.OFFER, Stage.PART) and s.now >= work.due:
        _again(s, work)
    return s.transfer is not None


def _again(s: State, work: Transfer) -> None:
    """No answer came, or nothing was asked yet: ask, another peer if this one was asked enough."""
    assert work.stage in (Stage.OFFER, Stage.PART)
    if work.attempts < (OFFER_ATTEMPTS_MAX if work.stage == Stage.OFFER else PART_ATTEMPTS_MAX):
        _ask(s, work)
    elif work.stage == Stage.OFFER:
        _decline(s, work)
    else:
        mark("vsr.transfer_from_another")
        _next_source(s, work)


def _next_source(s: State, work: Transfer) -> None:
    """Turn to the next peer that may have something, with what is saved so far kept."""
    here = s.peers.index(work.source)
    around = (*s.peers[here + 1 :], *s.peers[: here + 1])
    work.stage, work.attempts = Stage.OFFER, 0
    for peer in around:
        if not work.declined[peer]:
            work.source = peer
            _ask(s, work)
            return
    mark("vsr.transfer_has_no_source")
    assert all(work.declined[peer] for peer in s.peers)
    s.transfer = None
    s.transfer_due = s.now + PAUSE * s.config.fetch


def _ask(s: State, work: Transfer) -> None:
    work.attempts += 1
    work.due = s.now + s.config.fetch
    assert work.source in s.peers
    if work.stage == Stage.OFFER:
        s.send(work.source, RequestSnapshot(**s.common, known=s.log.head))
        return
    s.send(
        work.source,
        RequestSnapshotPart(
            **s.common,
            op=work.ref.op,
            digest=work.ref.digest,
            at=work.at,
            size=min(s.config.part_bytes, work.ref.size - work.at),
        ),
    )


def _decline(s: State, work: Transfer) -> None:
    assert work.source in s.peers
    work.declined[work.source] = True
    _next_source(s, work)


def on_offer(s: State, message: SnapshotOffer) -> None:
    """Take the offer of the peer that was asked, or go on with the one that was begun."""
    work = s.transfer
    if work is None or message.sender != work.source:
        return
    ref = message.ref
    newer = work.stage == Stage.PART and ref.op > work.ref.op
    if work.stage != Stage.OFFER and not newer:
        # Said before, or said again: what was begun goes on.
        return
    if not worth(s, ref.op):
        mark("vsr.transfer_declined")
        _decline(s, work)
        return
    if ref == work.ref:
        mark("vsr.transfer_resumed")
    else:
        if work.at:
            mark("vsr.transfer_started_over")
        work.ref, work.at = ref, 0
    work.stage, work.attempts = Stage.PART, 0
    assert work.at < ref.size
    _ask(s, work)


def on_part(s: State, message: SnapshotPart) -> None:
    """Save the part that was asked for."""
    work = s.transfer
    if work is None or work.stage != Stage.PART or message.sender != work.source:
        return
    ref = work.ref
    said = (message.op, message.digest, message.at, message.total)
    if said != (ref.op, ref.digest, work.at, ref.size):
        mark("vsr.part_not_asked_for")
        return
    work.stage = Stage.SAVED
    assert work.at + len(message.data) <= ref.size
    s.out.append(SaveSnapshot(ref, work.at, message.data))


def on_saved(s: State, op: Op, size: int) -> None:
    """Ask for the next part; after the last one, have the whole checked."""
    work = s.transfer
    if work is None or work.stage != Stage.SAVED or work.ref.op != op or size <= work.at:
        return
    work.at, work.attempts = size, 0
    work.declined = [False] * s.replicas
    assert size <= work.ref.size
    if size == work.ref.size:
        work.stage = Stage.CHECKED
        s.out.append(CheckSnapshot(work.ref))
    else:
        work.stage = Stage.PART
        _ask(s, work)


def on_checked(s: State, ref: SnapshotRef, base: Header) -> None:
    """It is good; `drive` takes it up."""
    work = s.transfer
    if work is None or work.stage != Stage.CHECKED or work.ref != ref:
        return
    assert (base.op, base.hash) == (ref.op, ref.header_hash)
    work.base, work.stage = base, Stage.TURN


def on_refused(s: State, op: Op) -> None:
    """What came from this peer is not what it offered, or there is no room for it."""
    work = s.transfer
    if work is None or work.ref.op != op or work.stage not in (Stage.SAVED, Stage.CHECKED):
        return
    mark("vsr.snapshot_refused")
    work.ref, work.at = SnapshotRef(), 0
    _decline(s, work)


def _take_up(s: State, work: Transfer) -> bool:
    """Begin our log anew behind the snapshot, in memory now and on the disk in its turn."""
    ref, base = work.ref, work.base
    assert base is not None and base.op == ref.op > s.log.head
    s.commit_max = max(s.commit_max, ref.op)
    if s.installing is not None or not s.log.head == s.commit == s.applied_op:
        # What our log holds is committed too: it is applied first, so that nothing of it is lost.
        return False
    assert not s.unwritten and s.log.durable == s.log.head
    promised = s.targets.get(ref.op)
    if promised is not None and promised.hash != base.hash:
        # Should it be ours that is wrong, fetching the log will show.
        mark("vsr.snapshot_of_another_log")
        _decline(s, work)
        return False
    mark("vsr.snapshot_taken_up")
    applied = s.applied_op
    s.log.begin_behind(base)
    s.cuts += 1
    s.commit = s.applied_op = ref.op
    s.applied_head = ref.outcomes
    s.want = max(s.want, ref.op)
    s.targets = {op: header for op, header in s.targets.items() if op > ref.op}
    s.early = {op: frame for op, frame in s.early.items() if op > ref.op}
    floor = applied if s.backfill is None else s.backfill.floor
    s.backfill = Backfill(Proof(ref.op, base.hash, ref.outcomes), floor, own=False)
    s.transfer = None
    s.fetch_due = 0
    s.out.append(InstallSnapshot(ref, base, applied))
    return True


def on_installed(s: State, ref: SnapshotRef) -> None:
    """The log durably begins behind the snapshot now. We may hand it on, too."""
    assert ref.op > 0
    s.log.written(ref.op, ref.header_hash)
    s.snapshot = ref


# -- giving ours


def on_request_snapshot(s: State, message: RequestSnapshot) -> None:
    """Say what our newest is."""
    assert message.sender != s.index
    s.send(message.sender, SnapshotOffer(**s.common, ref=s.snapshot))


def on_request_part(s: State, message: RequestSnapshotPart) -> None:
    """Have the part read; if there is a newer snapshot by now, offer that one."""
    ref, to = s.snapshot, message.sender
    if (ref.op, ref.digest) != (message.op, message.digest):
        s.send(to, SnapshotOffer(**s.common, ref=ref))
        return
    if not message.at < ref.size or not message.size:
        mark("vsr.part_that_does_not_exist")
        return
    s.given_at = s.now
    if not s.reads_for(Purpose.SERVE_SNAPSHOT, to):
        token = s.next_token(Purpose.SERVE_SNAPSHOT, to)
        size = min(message.size, CATCH_UP_BYTES_MAX, ref.size - message.at)
        assert size > 0
        s.out.append(ReadSnapshot(token, ref, message.at, size))


def on_snapshot_read(s: State, waiting: Waiting, event: SnapshotRead) -> None:
    """Pass on what was read, if it is still of the snapshot we have."""
    assert waiting.purpose == Purpose.SERVE_SNAPSHOT
    ref = s.snapshot
    if waiting.digest != ref.digest or not event.data:
        s.send(waiting.peer, SnapshotOffer(**s.common, ref=ref))
        return
    s.send(
        waiting.peer,
        SnapshotPart(
            **s.common,
            op=ref.op,
            digest=ref.digest,
            at=event.at,
            total=ref.size,
            data=event.data,
        ),
    )
