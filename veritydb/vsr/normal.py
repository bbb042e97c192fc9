"""A view at work: the primary proposes and counts, the backups append and acknowledge."""

from bisect import bisect_right

from veritydb.types import merkle
from veritydb.types.frame import Frame, Header, place, seal
from veritydb.types.ids import Op
from veritydb.types.limits import (
    OP_BYTES_MAX,
    OP_ENTRIES_MAX,
    PENDING_BYTES_MAX,
    PENDING_ENTRIES_MAX,
    PIPELINE_BYTES_MAX,
    PIPELINE_OPS_MAX,
)
from veritydb.types.marks import mark
from veritydb.vsr.config import HALTED, JOINING
from veritydb.vsr.effects import HaltKind, ReadIndexReady
from veritydb.vsr.events import Proposal
from veritydb.vsr.messages import Heartbeat, Prepare, PrepareOk, RequestStartView, StartView
from veritydb.vsr.promises import denies, remember
from veritydb.vsr.quorum import reached
from veritydb.vsr.state import RECOVERING, State, suffix

# -- the primary


def can_accept(s: State, size: int, count: int = 1) -> bool:
    """Whether so many requests of `size` bytes in all may wait here for their place in the log."""
    assert size >= 0
    return (
        s.is_primary
        and s.clock.synchronised
        and len(s.pending) + count <= PENDING_ENTRIES_MAX
        and s.pending_bytes + size <= PENDING_BYTES_MAX
    )


def on_proposed(s: State, proposals: tuple[Proposal, ...]) -> None:
    """Queue requests. Whoever asks has made sure that they may be."""
    if not s.is_primary:
        mark("vsr.proposed_to_a_backup")
        s.role_changed(dropped=True)
        return
    for proposal in proposals:
        assert 0 < len(proposal.data) <= OP_BYTES_MAX
        s.pending.append(proposal)
        s.pending_bytes += len(proposal.data)


def propose(s: State) -> None:
    """Turn what waits into ops: at once if nothing is on its way, otherwise once it is worth it."""
    while s.pending and s.is_primary:
        if s.log.head - s.applied_op >= PIPELINE_OPS_MAX:
            mark("vsr.pipeline_full")
            return
        busy = s.log.head > s.commit_max
        if busy and s.pending_bytes < s.config.eager_bytes and len(s.pending) < OP_ENTRIES_MAX:
            return
        on_their_way = uncommitted_bytes(s) if busy else 0
        if on_their_way and on_their_way + s.pending_bytes > PIPELINE_BYTES_MAX:
            size = min(s.pending_bytes, OP_BYTES_MAX)
            if on_their_way + size > PIPELINE_BYTES_MAX:
                mark("vsr.pipeline_full_of_bytes")
                return
        last = s.log.header(s.log.head)
        timestamp = s.clock.timestamp(0 if last is None else last.timestamp)
        if timestamp is None:
            return
        frame = make_frame(s, last, timestamp, take(s))
        s.append(frame)
        if not busy:
            s.progress_at = s.now
        s.broadcast(
            Prepare(**s.common, commit=s.commit_max, frame=frame),
            [peer for peer in s.peers if s.peer_up[peer] and not s.lagging[peer]],
        )


def uncommitted_bytes(s: State) -> int:
    """Bytes of the ops that wait for their quorum."""
    headers = s.log.headers
    assert s.log.head - s.commit_max <= PIPELINE_OPS_MAX
    return sum(headers[op].body_len for op in range(s.commit_max + 1, s.log.head + 1))


def take(s: State) -> list[Proposal]:
    """Take as many of the waiting requests as one op holds."""
    taken: list[Proposal] = []
    size = 0
    while s.pending and len(taken) < OP_ENTRIES_MAX:
        size += len(s.pending[0].data)
        if size > OP_BYTES_MAX:
            break
        taken.append(s.pending.popleft())
        s.pending_bytes -= len(taken[-1].data)
    assert taken and s.pending_bytes >= 0
    return taken


def make_frame(s: State, last: Header | None, timestamp: int, proposals: list[Proposal]) -> Frame:
    """Make the op that follows `last`."""
    first = proposals[0]
    body = first.data if len(proposals) == 1 else b"".join([each.data for each in proposals])
    root = first.leaf if len(proposals) == 1 else merkle.root([each.leaf for each in proposals])
    segment, position = place(last, len(body))
    header = Header(
        cluster=s.config.cluster,
        group=s.config.group,
        epoch=s.epoch,
        view=s.view,
        op=Op(s.log.head + 1),
        commit=s.applied_op,
        timestamp=timestamp,
        kernel=s.config.kernel,
        segment=segment,
        position=position,
        entry_base=0 if last is None else last.entry_base + last.entry_count,
        entry_count=len(proposals),
        body_len=len(body),
        previous=merkle.NO_HASH if last is None else last.hash,
        outcomes=s.applied_head,
        root=root,
    )
    assert header.timestamp > (0 if last is None else last.timestamp)
    return Frame(seal(header), body)


def on_prepare_ok(s: State, message: PrepareOk) -> None:
    """Count an acknowledgement, if it is for what stands in this log."""
    if not s.leading or message.view != s.view:
        mark("vsr.ack_of_another_view")
        return
    peer = message.sender
    s.replacements[peer] = max(s.replacements[peer], message.replacements)
    if message.round > s.rounds[peer]:
        # One that was overtaken by another says nothing about now.
        denies(s, message)
        s.rounds[peer] = min(message.round, s.round)
        s.answered[peer] = s.now
    s.lagging[peer] = s.log.head - message.op > 2 * PIPELINE_OPS_MAX
    if message.op > s.acked[peer]:
        if s.log.hash_at(message.op) != message.hash:
            # Far behind what is remembered, or not this log: either way it is no vote.
            mark("vsr.ack_not_counted")
            return
        s.acked[peer] = message.op
        s.answered[peer] = s.now
        count(s)
    remember(s, peer)
    assert s.acked[peer] <= s.log.head


def count(s: State) -> None:
    """Commit what a quorum holds."""
    assert s.leading
    s.acked[s.index] = s.log.durable
    agreed = Op(reached(s.acked))
    if agreed > s.commit_max:
        s.commit_max = agreed
        s.progress_at = s.now
        if s.abdicating:
            mark("vsr.abdication_ended")
            s.abdicating = False
            s.votes[s.index] = False


def heartbeat(s: State) -> None:
    """Tell all that this primary lives, and where its log ends. Opens a new round."""
    s.heartbeat_due = s.now + s.config.heartbeat
    if s.abdicating or s.stepping_down:
        return
    s.round += 1
    s.rounds[s.index] = s.round
    digest = s.log.hash_at(s.log.head)
    assert digest is not None
    s.broadcast(
        Heartbeat(**s.common, round=s.round, commit=s.commit_max, op=s.log.head, hash=digest)
    )


def start_view(s: State, nonce: int) -> StartView:
    """Say how this view's log ends."""
    assert s.leading
    return StartView(**s.common, nonce=nonce, commit=s.commit_max, headers=suffix(s))


# -- the backups


def learn_view(s: State, view: int) -> None:
    """Somebody is in a later view, or normal in this one: ask its primary how its log ends."""
    assert view >= s.view
    primary = s.primary_of(view)
    if primary == s.index or s.now < s.rumour_due:
        return
    s.rumour_due = s.now + s.config.resend
    mark("vsr.later_view_heard_of")
    s.send(
        primary,
        RequestStartView(
            **s.common,
            nonce=s.nonce if s.status in RECOVERING else 0,
            joining=s.status is JOINING,
        ),
    )


def follows(s: State, message: Prepare | Heartbeat) -> bool:
    """Whether the message is from the primary whose log this replica extends."""
    if message.sender != s.primary_of(message.view) or message.view < s.view:
        mark("vsr.old_primary")
        return False
    if message.view > s.view or not s.following:
        learn_view(s, message.view)
        return False
    assert not s.leading
    return True


def on_prepare(s: State, message: Prepare) -> None:
    """Append the frame if it is the next one, keep it for later if others are missing."""
    if not follows(s, message):
        return
    header = message.frame.header
    s.commit_max = max(s.commit_max, message.commit)
    s.want = max(s.want, header.op)
    if header.op > s.log.head + 1:
        mark("vsr.prepare_out_of_order")
        if len(s.early) < PIPELINE_OPS_MAX and header.op <= s.log.head + 2 * PIPELINE_OPS_MAX:
            s.early[header.op] = message.frame
        return
    if header.op <= s.log.head:
        known = s.log.hash_at(header.op)
        if known is not None and known != header.hash:
            s.halt(HaltKind.DIVERGED, f"op {header.op} differs from the primary's in one view")
        elif header.op <= s.log.durable:
            mark("vsr.prepare_again")
            acknowledge(s)
        return
    # What was heard before proves nothing.
    s.heard_at = s.now
    accept(s, message.frame)


def drain_early(s: State) -> None:
    """Append what came too early, now that the gap before it is closed."""
    assert s.following
    while s.early and s.status is not HALTED:
        frame = s.early.pop(s.log.head + 1, None)
        if frame is None:
            if min(s.early) <= s.log.head:
                s.early = {op: kept for op, kept in s.early.items() if op > s.log.head}
            return
        accept(s, frame)


def accept(s: State, frame: Frame) -> None:
    """Append the next frame of this view's log."""
    header = frame.header
    assert header.op == s.log.head + 1
    reason = misfit(s, header)
    if reason:
        s.halt(HaltKind.DIVERGED, f"op {header.op} of view {header.view}: {reason}")
        return
    s.append(frame)


def misfit(s: State, header: Header) -> str:
    """Say why a frame cannot follow this log's head, or nothing."""
    last = s.log.header(s.log.head)
    assert last is not None or s.log.head == 0
    if (header.cluster, header.group) != (s.config.cluster, s.config.group):
        return "it belongs to another log"
    if header.previous != s.log.hash_at(s.log.head):
        return "it does not follow the op before"
    if header.view > s.view:
        return "it is of a later view"
    if (header.segment, header.position) != place(last, header.body_len):
        return "it names another place than the log gives it"
    target = s.targets.get(header.op)
    if target is not None and target.hash != header.hash:
        return "the view began with another"
    return ""


def acknowledge(s: State) -> None:
    """Tell the primary what is durable here, up to a frame that it may count on and has rotted."""
    durable = s.log.durable
    rotten = bisect_right(s.log.faulty, s.commit_max)
    if rotten < len(s.log.faulty):
        mark("vsr.rotten_frame_not_acknowledged")
        durable = Op(s.log.faulty[rotten] - 1)
    digest = s.log.hash_at(durable)
    if digest is None or s.missing(durable):
        # A peer's snapshot stands for it: what it says is heard, but it vouches for no frame.
        durable, digest = Op(0), merkle.NO_HASH
    if s.primary != s.index:
        view, op = s.acknowledged
        s.acknowledged = (max(view, s.view), max(op, durable))
        s.send(
            s.primary,
            PrepareOk(
                **s.common,
                op=durable,
                hash=digest,
                round=s.heard_round,
                replacements=s.replacements_durable,
            ),
        )
    assert durable <= s.log.durable


def on_heartbeat(s: State, message: Heartbeat) -> None:
    """Note that the primary lives, unless this was heard before."""
    if not follows(s, message):
        return
    if message.round <= s.heard_round:
        mark("vsr.heartbeat_not_fresh")
        return
    s.heard_round = message.round
    s.heard_at = s.now
    s.primary_lost = False
    s.votes[s.index] = False
    known = s.log.hash_at(message.op) if message.op <= s.log.head else None
    if known is not None and known != message.hash:
        s.halt(HaltKind.DIVERGED, f"op {message.op} differs from the primary's in one view")
        return
    s.commit_max = max(s.commit_max, message.commit)
    s.want = max(s.want, message.op)
    acknowledge(s)
    assert s.commit_max >= s.commit


def drop_requests(s: State) -> bool:
    """Stop being a primary; whether there was anything that waited is not known any more."""
    led, s.leading = s.leading, False
    s.pending.clear()
    s.pending_bytes = 0
    s.abdicating = s.stepping_down = False
    while s.reads:
        token, _, _ = s.reads.popleft()
        s.out.append(ReadIndexReady(token, None))
    assert not s.pending
    return led
