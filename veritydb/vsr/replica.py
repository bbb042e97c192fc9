"""One replica of one group: takes events, returns effects, decides nothing by itself.

Who handles what is a table; the order in which consequences follow is `_settle`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from veritydb.types.durable import Recovered, SnapshotRef
from veritydb.types.ids import Op
from veritydb.types.limits import MS_NS
from veritydb.types.marks import mark
from veritydb.vsr import (
    commit,
    events,
    history,
    install,
    normal,
    promises,
    read_index,
    repair,
    transfer,
    view_change,
)
from veritydb.vsr import messages as m
from veritydb.vsr.config import (
    HALTED,
    JOINING,
    NORMAL,
    RECOVERING_HEAD,
    VIEW_CHANGE,
    Config,
    Random,
    Status,
)
from veritydb.vsr.effects import Effect, HaltKind
from veritydb.vsr.state import RECOVERING, Purpose, State

# A tick that comes later than this found us asleep, not the primary silent.
ASLEEP_NS = 100 * MS_NS


class Replica:
    """The protocol. `step` is all that changes it, but for what the node tells after a Commit."""

    def __init__(self, config: Config, recovered: Recovered, prng: Random) -> None:
        """Take up what was recovered. The first step returns what is to be done about it."""
        self._s = State(config, recovered, prng)
        assert self._s.index < self._s.replicas
        _start(self._s, recovered)

    def step(self, event: events.Event) -> list[Effect]:
        """Take an event in and return what is to be done, in order."""
        s = self._s
        if s.status is not HALTED:
            HANDLERS[type(event)](s, event)
        if s.status is not HALTED:
            _settle(s)
        out, s.out = s.out, []
        assert s.commit <= s.log.head
        return out

    def applied(self, op: Op, outcomes_head: bytes) -> None:
        """Learn that the node has applied `op`, and the outcome chain's head there."""
        assert op == self._s.applied_op + 1
        self._s.applied_op, self._s.applied_head = op, outcomes_head

    def replace_member(self, index: int, incarnation: int, op: Op) -> None:
        """Learn that `op` gave an index to a new incarnation. Effects come with the next step."""
        s = self._s
        if not 0 <= index < s.replicas or incarnation <= s.members[index]:
            mark("vsr.replacement_without_effect")
            return
        s.members[index] = incarnation
        mark("vsr.member_replaced")
        if index == s.index and incarnation > s.incarnation:
            s.halt(HaltKind.REPLACED, f"op {op} gave index {index} to incarnation {incarnation}")
            return
        if index != s.index:
            s.acked[index] = s.rounds[index] = 0
            s.promised[index] = (0, 0)
            s.votes[index] = False
            s.dvcs.pop(index, None)
            s.clock.forget(index)
        assert s.members[s.index] <= s.incarnation
        s.write_view_state()

    def snapshot_named(self, ref: SnapshotRef) -> None:
        """Learn that our own snapshot of `ref` is durable; peers may have it."""
        assert ref.op <= self._s.commit
        if ref.op > self._s.snapshot.op:
            self._s.snapshot = ref

    def can_accept(self, size: int, count: int = 1) -> bool:
        """Whether so many requests of `size` bytes in all may be proposed now."""
        assert size >= 0
        return normal.can_accept(self._s, size, count)

    @property
    def status(self) -> Status:
        """What this replica may do."""
        return self._s.status

    @property
    def view(self) -> int:
        """The view it is in, or changes to."""
        return self._s.view

    @property
    def log_view(self) -> int:
        """The view whose log its own is a part of."""
        return self._s.log_view

    @property
    def primary(self) -> int:
        """The index of the primary of `view`."""
        return self._s.primary

    @property
    def is_primary(self) -> bool:
        """Whether it may take proposals."""
        return self._s.is_primary

    @property
    def op(self) -> Op:
        """The head of its log."""
        return self._s.log.head

    @property
    def commit(self) -> Op:
        """The last op that it emitted as committed."""
        return self._s.commit

    @property
    def commit_max(self) -> Op:
        """The highest op it knows to be committed somewhere."""
        return self._s.commit_max

    @property
    def members(self) -> tuple[int, ...]:
        """The incarnation that each index belongs to."""
        return tuple(self._s.members)

    def answers(self, index: int) -> bool:
        """Whether this primary has heard from a peer just now, and the peer has a voice."""
        s = self._s
        assert 0 <= index < s.replicas
        heard = s.now - s.answered[index] <= s.config.suspect
        return s.leading and index != s.index and s.peer_up[index] and heard

    @property
    def pending_entries(self) -> int:
        """How many requests wait for a place in the log."""
        return len(self._s.pending)

    @property
    def pending_bytes(self) -> int:
        """How many bytes they have."""
        return self._s.pending_bytes

    @property
    def log_time(self) -> int:
        """What an op proposed now would be stamped with, or 0 while there is no agreed time."""
        last = self._s.log.header(self._s.log.head)
        assert last is not None or self._s.log.head == 0
        return self._s.clock.timestamp(0 if last is None else last.timestamp) or 0

    @property
    def faulty(self) -> int:
        """How many frames have rotted and are not mended yet."""
        return len(self._s.log.faulty)

    @property
    def missing(self) -> tuple[Op, Op]:
        """(after, up to): the ops of the log that a peer's snapshot stands for so far; (0, 0)."""
        work = self._s.backfill
        return (work.floor, work.proof.op) if work is not None else (Op(0), Op(0))

    @property
    def left(self) -> bool:
        """Whether more waits to be applied than one step may: the next tick should come soon."""
        return self._s.left

    @property
    def giving(self) -> bool:
        """Whether a peer is just taking our snapshot: a newer one would make it begin again."""
        s = self._s
        return s.given_at > 0 and s.now - s.given_at < 4 * s.config.fetch

    @property
    def taking(self) -> Op:
        """The op of the peer's snapshot that is on its way here, or 0."""
        work = self._s.transfer
        return work.ref.op if work is not None else Op(0)

    @property
    def time(self) -> int:
        """What time it is (ns since 1970) as a quorum of clocks agrees, 0 while none does."""
        assert self._s.now >= 0
        return self._s.clock.agreed

    @property
    def ready(self) -> bool:
        """Whether it does its part: leads, or follows a primary it hears without lagging much."""
        s = self._s
        if s.status is not NORMAL or s.log_view_durable != s.view:
            return False
        if s.leading:
            return s.is_primary and s.commit >= s.view_start
        heard = s.heard_round > 0 and s.now - s.heard_at <= s.config.suspect
        return heard and s.commit_max - s.commit <= 1_024


def _start(s: State, recovered: Recovered) -> None:
    """Decide as what the replica takes up its work. See docs/vsr.md, "After a restart"."""
    mine = s.members[s.index]
    alone = s.replicas == 1
    if mine > s.incarnation:
        s.halt(HaltKind.REPLACED, f"index {s.index} was given to incarnation {mine}")
    elif alone and (recovered.faulty or not recovered.head_certain):
        op = recovered.faulty[0] if recovered.faulty else s.log.head
        s.halt(HaltKind.DAMAGED, f"the log is damaged at op {op} and there is no peer to mend it")
    elif mine < s.incarnation:
        s.status = JOINING
    elif s.recovering or not recovered.head_certain:
        s.status = RECOVERING_HEAD
    elif s.log_view < s.view and not alone:
        s.status = VIEW_CHANGE
    else:
        ahead = [header for header in s.view_headers if header.op > s.log.head]
        if s.log_view == s.view:
            s.targets = {header.op: header for header in ahead}
        s.want = Op(max([s.log.head, *s.targets]))
        if alone:
            # A new view tells apart what this life proposes from what the last one may have torn.
            s.status = VIEW_CHANGE
            s.view = s.log_view = type(s.view)(s.view + 1)
            s.commit_max = s.log.head
            s.view_headers = ()
            s.write_view_state()
        elif s.primary == s.index:
            # What was proposed and not written is forgotten, so this view cannot be led any more.
            view_change.enter(s, s.view + 1)
    assert s.status is not NORMAL or s.log_view == s.view


def _settle(s: State) -> None:
    """Let follow what follows from an event."""
    if s.installing is not None:
        install.drive(s)
    if s.early and s.following:
        normal.drain_early(s)
    if s.pending:
        normal.propose(s)
    came = s.flush()
    if s.status is HALTED:
        return
    if s.status in RECOVERING and s.installed:
        install.finish_recovery(s)
    behind = repair.target(s) > s.log.head
    held_up = (behind or s.transfer is not None) and transfer.drive(s)
    # The primary waits for the frames that came just now: what is committed comes after them.
    if s.commit < s.log.head and (s.leading or not came):
        commit.advance(s)
    if s.backfill is not None:
        history.drive(s)
    if not s.leading:
        if (behind or s.fetch_due) and not held_up:
            repair.fetch(s)
    elif s.reads:
        read_index.answer(s)
    if s.log.faulty:
        repair.repair(s)
    assert not s.unwritten


def _on_tick(s: State, event: events.Tick) -> None:
    """Look at every timer."""
    s.left = False
    gap = event.mono - s.now
    assert gap >= 0
    if s.now == 0 or gap > ASLEEP_NS:
        mark("vsr.was_asleep")
        # Not all of it: whoever is always late has to notice a silent primary, too.
        slept = gap if s.now == 0 else gap - ASLEEP_NS
        s.heard_at += slept
        s.progress_at += slept
        s.emitted_at += slept
        s.answered = [at + slept for at in s.answered]
        s.window_due = s.now
    s.now = event.mono
    s.clock.tick(event.mono, event.wall)
    if s.now >= s.ping_due and s.peers:
        s.ping_due = s.now + s.config.ping
        s.broadcast(m.Ping(**s.common, mono=s.now))
    if s.status in RECOVERING:
        if not s.installed and s.installing is None and s.now >= s.rumour_due:
            s.rumour_due = s.now + s.config.resend
            joining = s.status is JOINING
            s.broadcast(m.RequestStartView(**s.common, nonce=s.nonce, joining=joining))
        return
    view_change.on_tick(s)
    if s.leading and s.now >= s.heartbeat_due:
        normal.heartbeat(s)


def _on_received(s: State, event: events.Received) -> None:
    """Check who speaks, then let the protocol hear it."""
    message = event.message
    sender = message.sender
    if (message.cluster, message.group, message.epoch) != (
        s.config.cluster,
        s.config.group,
        s.epoch,
    ):
        mark("vsr.message_of_another_group")
        return
    if sender >= s.replicas or sender == s.index:
        mark("vsr.message_from_nobody")
        return
    if message.incarnation < s.members[sender]:
        mark("vsr.message_of_a_replaced_replica")
        s.send(sender, m.Replaced(**s.common, index=sender, by=s.members[sender]))
        return
    s.peer_up[sender] = True
    RECEIVERS[type(message)](s, message)
    assert s.peer_up[sender]


def _on_ping(s: State, message: m.Ping) -> None:
    assert message.sender != s.index
    s.send(message.sender, m.Pong(**s.common, mono=message.mono, wall=s.clock.wall))


def _on_pong(s: State, message: m.Pong) -> None:
    assert message.sender != s.index
    s.clock.sample(message.sender, message.mono, message.wall)


def _on_replaced(s: State, message: m.Replaced) -> None:
    """Somebody has applied the command that gave our index away."""
    assert message.sender != s.index
    if message.index != s.index:
        # Led astray. Whoever believes this stops, so it says whom it is for.
        mark("vsr.replaced_is_another")
    elif message.by > s.incarnation:
        s.halt(HaltKind.REPLACED, f"index {s.index} was given to incarnation {message.by}")


def _on_proposed(s: State, event: events.Proposed) -> None:
    normal.on_proposed(s, event.proposals)
    assert s.pending_bytes >= 0


def _on_frames_written(s: State, event: events.FramesWritten) -> None:
    s.log.written(event.op, event.hash)
    assert s.log.durable <= s.log.head
    if s.leading:
        normal.count(s)
    elif s.status is NORMAL:
        normal.acknowledge(s)


def _on_frame_repaired(s: State, event: events.FrameRepaired) -> None:
    assert event.op > 0
    repair.on_frame_repaired(s, event.op)


def _on_log_cut(s: State, event: events.LogCut) -> None:
    s.log.was_cut(event.after)
    assert s.log.durable <= s.log.head


def _on_view_state_written(s: State, event: events.ViewStateWritten) -> None:
    before = s.view_durable
    s.view_state_written(event.number)
    assert s.view_durable >= before
    install.written(s)
    view_change.tell(s)


def _on_frames_read(s: State, event: events.FramesRead) -> None:
    waiting = s.waiting.pop(event.token)
    assert waiting.purpose in (Purpose.COMMIT, Purpose.SERVE_FRAMES)
    if waiting.purpose == Purpose.COMMIT:
        commit.on_frames_read(s, event.first, event.frames)
    else:
        repair.on_frames_read(s, waiting, event.first, event.frames)


def _on_headers_read(s: State, event: events.HeadersRead) -> None:
    waiting = s.waiting.pop(event.token)
    assert waiting.purpose in (Purpose.REPAIR, Purpose.SERVE_HEADERS)
    if waiting.purpose == Purpose.REPAIR:
        repair.on_headers_read(s, event.headers)
    else:
        install.on_headers_read(s, waiting, event.headers)


def _on_frame_rotten(s: State, event: events.FrameRotten) -> None:
    """Have it mended, unless it stands behind what may still be cut."""
    assert s.replicas > 1, "a group of one has nobody to mend it"
    if 0 < event.op <= s.commit and not s.missing(event.op):
        mark("vsr.rotten_frame_told")
        s.log.add_faulty(event.op)


def _on_peer_lost(s: State, event: events.PeerLost) -> None:
    assert event.index != s.index
    s.peer_up[event.index] = False
    if event.index == s.primary:
        s.primary_lost = True


def _on_peer_reached(s: State, event: events.PeerReached) -> None:
    assert event.index != s.index
    s.peer_up[event.index] = True
    if event.index == s.primary:
        s.primary_lost = False
    if s.abdicating:
        # Somebody is back: see first whether a quorum answers now.
        s.abdicating = False
        s.votes[s.index] = False
        s.progress_at = s.now
        s.answered = [s.now] * s.replicas


def _on_read_index(s: State, event: events.ReadIndex) -> None:
    read_index.on_read_index(s, event.token)
    assert s.reads or s.out


def _on_snapshot_read(s: State, event: events.SnapshotRead) -> None:
    waiting = s.waiting.pop(event.token)
    assert waiting.peer in s.peers
    transfer.on_snapshot_read(s, waiting, event)


def _on_history_read(s: State, event: events.HistoryRead) -> None:
    waiting = s.waiting.pop(event.token)
    assert waiting.purpose in (Purpose.SERVE_HISTORY, Purpose.OWN_HISTORY)
    history.on_read(s, waiting, event)


def _on_step_down(s: State, event: events.StepDown) -> None:
    assert isinstance(event, msgspec.Struct)
    view_change.step_down(s)


HANDLERS: dict[type, Callable[[State, Any], None]] = {
    events.Tick: _on_tick,
    events.Proposed: _on_proposed,
    events.Received: _on_received,
    events.FramesWritten: _on_frames_written,
    events.FrameRepaired: _on_frame_repaired,
    events.LogCut: _on_log_cut,
    events.ViewStateWritten: _on_view_state_written,
    events.FramesRead: _on_frames_read,
    events.HeadersRead: _on_headers_read,
    events.FrameRotten: _on_frame_rotten,
    events.PeerLost: _on_peer_lost,
    events.PeerReached: _on_peer_reached,
    events.ReadIndex: _on_read_index,
    events.SnapshotRead: _on_snapshot_read,
    events.SnapshotSaved: lambda s, event: transfer.on_saved(s, event.op, event.size),
    events.SnapshotChecked: lambda s, event: transfer.on_checked(s, event.ref, event.base),
    events.SnapshotRefused: lambda s, event: transfer.on_refused(s, event.op),
    events.SnapshotInstalled: lambda s, event: transfer.on_installed(s, event.ref),
    events.HistoryRead: _on_history_read,
    events.HistoryWritten: lambda s, event: history.on_written(s, event.first),
    events.HistoryRefused: lambda s, event: history.on_refused(s, event.first),
    events.GapClosed: lambda s, event: history.on_gap_closed(s, event.after, event.joined),
    events.StepDown: _on_step_down,
}

RECEIVERS: dict[type, Callable[[State, Any], None]] = {
    m.Ping: _on_ping,
    m.Pong: _on_pong,
    m.Prepare: normal.on_prepare,
    m.PrepareOk: normal.on_prepare_ok,
    m.Heartbeat: normal.on_heartbeat,
    m.StartViewChange: view_change.on_start_view_change,
    m.DoViewChange: view_change.on_do_view_change,
    m.StartView: install.on_start_view,
    m.RequestStartView: view_change.on_request_start_view,
    m.RequestHeaders: install.on_request_headers,
    m.Headers: install.on_headers,
    m.RequestFrames: repair.on_request_frames,
    m.Frames: repair.on_frames,
    m.Replaced: _on_replaced,
    m.Promised: promises.on_promised,
    m.RequestSnapshot: transfer.on_request_snapshot,
    m.SnapshotOffer: transfer.on_offer,
    m.RequestSnapshotPart: transfer.on_request_part,
    m.SnapshotPart: transfer.on_part,
    m.RequestHistory: history.on_request,
    m.HistoryPart: history.on_part,
}
