"""What a replica knows, and the few ways in which the sub-protocols change it.

A message leaves through `send` only, which asks the table `GATES` whether what the message implies
is durable. One that may not leave is dropped: the timers repeat whatever matters.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any

import msgspec

from veritydb.types.durable import Recovered, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.history import Proof
from veritydb.types.ids import Op, View
from veritydb.types.limits import PIPELINE_OPS_MAX
from veritydb.types.marks import mark
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import messages as m
from veritydb.vsr.clock import Clock
from veritydb.vsr.config import (
    HALTED,
    JOINING,
    NORMAL,
    RECOVERING_HEAD,
    VIEW_CHANGE,
    Config,
    Random,
)
from veritydb.vsr.effects import (
    CutLog,
    Effect,
    Halt,
    HaltKind,
    RoleChanged,
    Send,
    WriteFrames,
    WriteViewState,
)
from veritydb.vsr.events import Proposal
from veritydb.vsr.log import Log
from veritydb.vsr.merge import Merged
from veritydb.vsr.progress import Backfill, Transfer

RECOVERING = (RECOVERING_HEAD, JOINING)


class Installation(msgspec.Struct):
    """The log of `view` ends with `op`; ours is being made a part of it.

    `known` holds headers of that log. `reconciled` once ours has no op that is not in it.
    """

    view: View
    op: Op
    commit: Op
    known: dict[int, Header]
    leading: bool
    reconciled: bool = False
    written: bool = False
    request_due: int = 0
    source: int = -1


class Purpose(IntEnum):
    """What the disk is read for."""

    COMMIT = 1
    SERVE_FRAMES = 2
    SERVE_HEADERS = 3
    REPAIR = 4
    SERVE_SNAPSHOT = 5
    SERVE_HISTORY = 6
    OWN_HISTORY = 7


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A read that is under way: what for, for whom, and how often the log had been cut before.

    `digest` is that of our snapshot when it began.
    """

    purpose: Purpose
    peer: int
    cuts: int
    digest: bytes


class State:
    """All of a replica's memory. The sub-protocols are functions over it."""

    def __init__(self, config: Config, recovered: Recovered, prng: Random) -> None:
        """Take up what was recovered; nothing is decided yet."""
        block = recovered.superblock
        durable = block.view_state
        identity = block.identity
        assert (identity.cluster, identity.group) == (config.cluster, config.group)
        assert (identity.index, identity.replicas) == (config.index, config.replicas)
        assert len(durable.members) == config.replicas and durable.log_view <= durable.view
        self.config = config
        self.prng = prng
        self.index = config.index
        self.replicas = config.replicas
        self.peers = tuple(at for at in range(config.replicas) if at != config.index)
        self.incarnation = identity.incarnation
        self.members = list(durable.members)
        # Incarnations only grow, by the log alone, so their sum says how many replacements.
        self.replacements_durable = sum(durable.members)
        self.epoch = durable.epoch
        self.status = NORMAL
        self.view = durable.view
        self.log_view = durable.log_view
        self.view_headers = durable.headers
        self.recovering = durable.recovering
        self.view_durable = durable.view
        self.log_view_durable = durable.log_view
        self.recovering_durable = durable.recovering
        self.view_write_number = 0
        self._view_writes: deque[tuple[int, View, View, Op, int]] = deque()
        self.log = Log(recovered.base, recovered.headers, recovered.faulty)
        self.cuts = 0
        self.snapshot = block.snapshot
        self.transfer: Transfer | None = None
        self.transfer_due = 0
        self.given_at = 0
        self.backfill = backfill_of(recovered)
        self.commit: Op = block.snapshot.op
        # More was there to be emitted than one step may: the next tick goes on.
        self.left = False
        self.applied_op: Op = block.snapshot.op
        self.applied_head = block.snapshot.outcomes if block.snapshot.op else NO_HASH
        top = self.log.header(self.log.head)
        stamped = top.commit if top is not None else Op(0)
        # Every header names an op that is committed, also one whose frame has not come yet.
        named = max((header.commit for header in durable.headers), default=Op(0))
        self.commit_max: Op = max(durable.commit, stamped, named, self.commit)
        # While this view's log is not ours yet: the op up to which ours is certainly committed.
        self.frozen: Op = Op(min(self.commit_max, self.log.head))
        self.targets: dict[int, Header] = {}
        self.clock = Clock(config)
        self.now = 0
        self.out: list[Effect] = []
        self.unwritten: list[Frame] = []
        # (view, op) that each peer has promised to hold, by its word to us as its primary.
        self.promised: list[tuple[int, int]] = [(0, 0)] * config.replicas
        # The highest view and op that we acknowledged in this life, and what the disk held at its
        # beginning; None where that is known to be less than it was.
        self.acknowledged = (0, 0)
        sure = recovered.head_certain and not durable.recovering
        self.found = (int(durable.log_view), int(recovered.head)) if sure else None
        self.nonce = 1 + prng.randrange(1 << 63)
        self._start_volatile()
        self.common = self._common()

    def _start_volatile(self) -> None:
        """Set what no view carries over from one life to the next."""
        replicas = self.replicas
        assert replicas > 0
        # -- the primary's
        self.leading = False
        self.pending: deque[Proposal] = deque()
        self.pending_bytes = 0
        self.acked: list[int] = [0] * replicas
        self.rounds = [0] * replicas
        self.answered = [0] * replicas
        self.replacements = [0] * replicas
        self.lagging = [False] * replicas
        self.round = 0
        self.heartbeat_due = 0
        self.progress_at = 0
        self.emitted: Op = Op(0)
        self.emitted_at = 0
        self.time_agreed_at = 0
        self.abdicating = False
        self.stepping_down = False
        self.view_start: Op = Op(0)
        self.reads: deque[tuple[int, int, Op]] = deque()
        # -- a backup's
        self.heard_at = 0
        self.heard_round = 0
        self.primary_lost = False
        self.suspect_after = self.jitter(self.config.suspect)
        self.early: dict[int, Frame] = {}
        self.want: Op = Op(0)
        # -- votes and view changes
        self.votes = [False] * replicas
        self.window_due = 0
        self.vote_due = 0
        self.change_due = 0
        self.dvc_due = 0
        self.dvcs: dict[int, m.DoViewChange] = {}
        self.merged: Merged | None = None
        self.installing: Installation | None = None
        self.installed = False
        self.rumour_due = 0
        # -- fetching, serving, reading
        self.peer_up = [True] * replicas
        self.ping_due = 0
        self.fetch_due = 0
        self.fetch_source = -1
        self.repair_due = 0
        self.repair_op: Op = Op(0)
        self.repair_last: Op = Op(0)
        self.repair_hashes: list[bytes] = []
        self.repair_width = 1
        self.repair_writing = 0
        self.repair_source = -1
        self.token = 0
        self.waiting: dict[int, Waiting] = {}

    # -- what is so

    @property
    def following(self) -> bool:
        """Whether the log is part of this view's log, so that its primary's word extends it."""
        return self.status is NORMAL or (self.installed and self.status in RECOVERING)

    @property
    def is_primary(self) -> bool:
        """Whether this replica may take proposals."""
        return (
            self.leading
            and self.status is NORMAL
            and self.log_view_durable == self.view
            and not self.abdicating
            and not self.stepping_down
        )

    @property
    def primary(self) -> int:
        """The index of the primary of the view."""
        return self.primary_of(self.view)

    def primary_of(self, view: int) -> int:
        """The index of the primary of some view."""
        assert view >= 0
        return view % self.replicas

    @property
    def certain(self) -> Op:
        """Ops of this log up to here are committed, whatever the view."""
        if self.following or (self.status is VIEW_CHANGE and self.log_view == self.view):
            return min(self.commit_max, self.log.head)
        work = self.installing
        if work is not None and work.leading and work.reconciled:
            return Op(max(self.frozen, min(work.commit, self.log.head)))
        return self.frozen

    def missing(self, op: int) -> bool:
        """Whether an op of this log came here only as part of a peer's snapshot so far."""
        work = self.backfill
        assert op >= 0
        return work is not None and work.floor < op <= work.proof.op

    def jitter(self, span: int) -> int:
        """Return about as long as `span`, by up to a quarter more or less."""
        assert span > 0
        return span * 3 // 4 + self.prng.randrange(span // 2 + 1)

    # -- effects

    def send(self, to: int, message: m.Message) -> None:
        """Let a message go if it may."""
        assert to != self.index
        if GATES[type(message)](self):
            self.out.append(Send(to, message))
        else:
            mark("vsr.message_held_by_gate")

    def broadcast(self, message: m.Message, to: Iterable[int] | None = None) -> None:
        """Let a message go to all others, or to those named, if it may."""
        if not GATES[type(message)](self):
            mark("vsr.message_held_by_gate")
            return
        assert self.status is not HALTED
        for peer in self.peers if to is None else to:
            self.out.append(Send(peer, message))

    def append(self, frame: Frame) -> None:
        """Add a frame to the log; `flush` hands it to the writer."""
        self.log.append(frame)
        # What its primary had applied is committed. Nobody else may say so for long, and what is
        # told of the end of a log is bounded only because this much of it is certain.
        self.commit_max = max(self.commit_max, frame.header.commit)
        self.unwritten.append(frame)
        target = self.targets.pop(frame.header.op, None)
        assert target is None or target.hash == frame.header.hash

    def flush(self) -> bool:
        """Hand the writer what was appended; whether there was anything."""
        came = bool(self.unwritten)
        if came:
            frames = tuple(self.unwritten)
            self.unwritten.clear()
            self.log.asked(frames[-1].header)
            self.out.append(WriteFrames(frames))
        assert not self.unwritten
        return came

    def cut(self, after: Op) -> None:
        """Forget the ops after `after`, in memory and on disk."""
        assert after >= self.commit, "what was emitted as committed stays"
        self.flush()
        mark("vsr.log_cut")
        self.log.cut(after)
        self.cuts += 1
        self.out.append(CutLog(after))

    def write_view_state(self) -> None:
        """Ask for the protocol's memory, as it is now, to be made durable."""
        self.flush()
        assert len(self.view_headers) <= PIPELINE_OPS_MAX + 2
        assert self.log_view <= self.view
        self.common = self._common()
        self.view_write_number += 1
        number, known = self.view_write_number, sum(self.members)
        self._view_writes.append((number, self.view, self.log_view, self.recovering, known))
        state = ViewState(
            view=self.view,
            log_view=self.log_view,
            commit=self.certain,
            epoch=self.epoch,
            members=tuple(self.members),
            headers=self.view_headers,
            recovering=self.recovering,
        )
        self.out.append(WriteViewState(self.view_write_number, state))

    def view_state_written(self, number: int) -> None:
        """Note which memory is durable now."""
        while self._view_writes and self._view_writes[0][0] <= number:
            _, view, log_view, recovering, known = self._view_writes.popleft()
            assert view >= self.view_durable and log_view >= self.log_view_durable
            self.view_durable, self.log_view_durable = view, log_view
            self.recovering_durable, self.replacements_durable = recovering, known

    def halt(self, kind: HaltKind, reason: str) -> None:
        """Stop for good."""
        assert reason
        mark("vsr.halt")
        self.status = HALTED
        self.leading = False
        self.out.append(Halt(reason, kind))

    def role_changed(self, dropped: bool) -> None:
        """Tell that status, view or primary is another one."""
        assert self.view >= self.view_durable
        self.out.append(RoleChanged(self.view, self.primary, dropped))

    def reads_for(self, purpose: Purpose, peer: int = -1) -> bool:
        """Whether such a read is under way."""
        assert len(self.waiting) <= len(Purpose) * self.replicas
        return any(w.purpose == purpose and w.peer == peer for w in self.waiting.values())

    def next_token(self, purpose: Purpose, peer: int = -1) -> int:
        """Return a number for a read of the disk that no other read had."""
        assert not self.reads_for(purpose, peer)
        self.token += 1
        self.waiting[self.token] = Waiting(purpose, peer, self.cuts, self.snapshot.digest)
        return self.token

    def _common(self) -> dict[str, Any]:
        """What every message says of its sender."""
        assert self.view >= 0
        return {
            "cluster": self.config.cluster,
            "group": self.config.group,
            "epoch": self.epoch,
            "view": self.view,
            "sender": self.index,
            "incarnation": self.incarnation,
        }


def backfill_of(recovered: Recovered) -> Backfill | None:
    """Return what is missing if another replica's snapshot was installed and its history is not."""
    block, base = recovered.superblock, recovered.base
    if not block.gap_end or base is None:
        return None
    assert block.gap_after < block.gap_end <= base.op
    proof = Proof(base.op, base.hash, block.snapshot.outcomes)
    return Backfill(proof, block.gap_after, own=True)


def suffix(s: State) -> tuple[Header, ...]:
    """Return the end of this view's log as far as it is known here, oldest first.

    It holds every op that may not be committed, and one more. Headers that StartView announced
    count even where the frame has not come yet: somebody may have acknowledged it.
    """
    assert s.log_view == s.view, "of an older view the end was written down when it was left"
    log = s.log
    low = max(min(s.commit_max, log.head), 1)
    known = [log.headers[op] for op in range(low, log.head + 1)]
    ahead = [s.targets[op] for op in sorted(s.targets) if op > log.head]
    if ahead and ahead[0].op > log.head + 1:
        mark("vsr.suffix_with_gap")
        return tuple(ahead)
    known += ahead
    assert not known or known[-1].op - known[0].op == len(known) - 1
    return tuple(known)


def _always(_: State) -> bool:
    return True


def _view_durable(s: State) -> bool:
    return s.view_durable == s.view


def _voter(s: State) -> bool:
    whole = s.recovering_durable == 0 and s.status in (NORMAL, VIEW_CHANGE)
    return whole and s.view_durable == s.view


def _in_view_change(s: State) -> bool:
    return _voter(s) and s.status is VIEW_CHANGE


def _primary(s: State) -> bool:
    return s.leading and s.status is NORMAL and s.log_view_durable == s.view


def _backup(s: State) -> bool:
    normal = s.status is NORMAL and s.log_view_durable == s.view
    return normal and not s.leading and s.recovering_durable == 0


GATES: dict[type, Callable[[State], bool]] = {
    m.Ping: _always,
    m.Pong: _always,
    m.RequestStartView: _always,
    m.RequestHeaders: _always,
    m.RequestFrames: _always,
    m.Replaced: _always,
    m.Promised: _always,
    # What these say is committed, or about the sender's disk: true in any view.
    m.RequestSnapshot: _always,
    m.SnapshotOffer: _always,
    m.RequestSnapshotPart: _always,
    m.SnapshotPart: _always,
    m.RequestHistory: _always,
    m.HistoryPart: _always,
    m.Headers: _view_durable,
    m.Frames: _view_durable,
    m.StartViewChange: _voter,
    m.DoViewChange: _in_view_change,
    m.Prepare: _primary,
    m.Heartbeat: _primary,
    m.StartView: _primary,
    m.PrepareOk: _backup,
}
