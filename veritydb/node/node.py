"""One replica of one group: agreement and meaning, and nothing of the world.

The server and the simulator feed it events and perform the effects it returns, in order. One event
is one indivisible step; steps never nest.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from veritydb.kernel.apply import deadline
from veritydb.kernel.state import KernelState
from veritydb.node.applier import Done, Halted, apply_frame
from veritydb.node.config import NodeConfig, Prng
from veritydb.node.effects import (
    AppendOutcomes,
    Effect,
    Halt,
    IndexRuns,
    Refuse,
    RefuseReason,
    Reply,
    RoleChanged,
    TakeSnapshot,
    WriteSuperblock,
)
from veritydb.node.events import (
    Event,
    SnapshotAbandoned,
    SnapshotLoaded,
    SnapshotWritten,
    Submitted,
    SubmittedTogether,
    SuperblockWritten,
)
from veritydb.node.state import Applied, chunks, fresh, load, stands_for
from veritydb.node.waiters import Waiters
from veritydb.types.durable import Recovered, SnapshotRef
from veritydb.types.entry import HEADER_BYTES, Entry, EntryHeader, Kind, with_body
from veritydb.types.frame import Frame
from veritydb.types.ids import Op
from veritydb.types.limits import PIPELINE_OPS_MAX
from veritydb.types.marks import mark
from veritydb.types.outcome import Code, Outcome, decode
from veritydb.vsr import effects as vsr
from veritydb.vsr import events as vsr_events
from veritydb.vsr.config import NORMAL, Status
from veritydb.vsr.replica import Replica
from veritydb.vsr.sessions import Duplicate, New

RETRY_MS = 50
WORDS = {status: status.name.lower().replace("_", "-") for status in Status}
# Frames name the outcome chain at an op at most a pipeline back; twice that never misses one.
HEADS_KEPT = 2 * PIPELINE_OPS_MAX
# While a peer takes our snapshot the next one waits, until so many times as much would be replayed.
PATIENCE = 4


class Node:
    """`replica` agrees on frames, `state` is what the applied ones mean."""

    def __init__(
        self,
        config: NodeConfig,
        recovered: Recovered,
        snapshot: Iterable[bytes] | None,
        prng: Prng,
    ) -> None:
        """Start from what storage found. `snapshot` are the chunks the superblock names, if any.

        Raises BadSnapshot if they do not decode.
        """
        self.config = config
        ref = recovered.superblock.snapshot
        assert (snapshot is None) == (ref.op == 0)
        if snapshot is None:
            self.state = fresh(config.genesis, config.vsr.replicas)
        else:
            self.state = load(snapshot)
            assert self.state.op == ref.op
        assert len(self.state.members) == config.vsr.replicas
        assert self.state.kernel.group == config.vsr.group
        self.replica = Replica(config.vsr, recovered, prng)
        assert self.replica.commit == self.state.op, "agreement and meaning start at one op"
        self.halted: str | None = None
        self._waiters = Waiters()
        self._heads: OrderedDict[int, bytes] = OrderedDict([(self.state.op, self.state.outcomes)])
        self._superblocks = 0
        self._view_states: dict[int, int] = {}
        self._snapshots: dict[int, SnapshotRef] = {}
        self._snapshot_entries = self.state.entries
        self._snapshot_bytes = 0
        self._snapshot_busy = False
        self._loaded: Applied | None = None
        self._begun = ref.op
        self._pulse_due = False
        self._agreed: list[vsr.Effect] = []
        self._tell_members()

    # -- what anybody on the loop's thread may read between steps

    @property
    def kernel(self) -> KernelState:
        """The capabilities' state after `applied`."""
        return self.state.kernel

    @property
    def applied(self) -> Op:
        """The last op whose outcome is known here."""
        return self.state.op

    @property
    def entries(self) -> int:
        """How many entries were applied: the index of the next outcome record."""
        return self.state.entries

    @property
    def outcomes_head(self) -> bytes:
        """The outcome chain's head at `applied`."""
        return self.state.outcomes

    @property
    def ready(self) -> bool:
        """Whether this replica serves: in normal status, with all it knows committed applied."""
        caught_up = self.state.op >= self.replica.commit_max
        return self.halted is None and caught_up and self.replica.status is NORMAL

    @property
    def role(self) -> str:
        """One word for people: primary, backup, backfilling, joining, view-change, halted, ..."""
        if self.halted is not None:
            return "halted"
        assert self.state.op <= self.replica.op
        status = self.replica.status
        if status is not NORMAL:
            return WORDS[status]
        if self.replica.primary == self.config.vsr.index:
            return "primary"
        return "backfilling" if self.replica.missing[1] else "backup"

    # -- the one way in

    def step(self, event: Event) -> list[Effect]:
        """Take in one event and return what is to be done about it."""
        out = self.begin(event)
        return out + self.finish() if self.unfinished else out

    @property
    def unfinished(self) -> bool:
        """Whether `finish` has something to do."""
        return bool(self._agreed)

    def finish(self) -> list[Effect]:
        """Do what the last `begin` has left. Nothing may come in between."""
        out: list[Effect] = []
        effects, self._agreed = self._agreed, []
        if self.halted is not None:
            return out
        try:
            self._translate(effects, out)
        except Halted as reason:
            self._halt(Halt(str(reason)), out)
        return out

    def begin(self, event: Event) -> list[Effect]:
        """The same as `step`, but what takes long and nobody waits for may be left to `finish`.

        A primary waits for the word that a frame is durable, but not for what its backups make of
        the frames before it.
        """
        assert not self._agreed, "a step is finished before the next begins"
        out: list[Effect] = []
        if self.halted is not None:
            return out
        try:
            # Most are these two, and to compare types is the quickest way to see that.
            if type(event) is vsr_events.Tick:
                self._feed(event, out)
                self._tick(out)
            elif type(event) is vsr_events.Received:
                self._feed(event, out)
            elif type(event) is vsr_events.FramesWritten:
                effects = self.replica.step(event)
                kinds = [type(effect) for effect in effects]
                at = kinds.index(vsr.Commit) if vsr.Commit in kinds else len(effects)
                self._translate(effects[:at], out)
                self._agreed = effects[at:]
            elif isinstance(event, SubmittedTogether):
                self._submit(event.requests, out)
            elif isinstance(event, Submitted):
                self._submit((event,), out)
            elif isinstance(event, SuperblockWritten):
                self._superblock_written(event, out)
            elif isinstance(event, SnapshotWritten):
                self._snapshot_written(event, out)
            elif isinstance(event, SnapshotLoaded):
                self._snapshot_loaded(event, out)
            elif isinstance(event, SnapshotAbandoned):
                mark("node.snapshot_abandoned")
                # The next one is due when as much again has been applied.
                assert self._snapshot_busy
                self._snapshot_busy = False
            else:
                self._feed(event, out)
        except Halted as reason:
            self._halt(Halt(str(reason)), out)
        return out

    def _feed(self, event: vsr_events.Event, out: list[Effect]) -> None:
        """Let the replica take a step and translate what it asks for."""
        self._translate(self.replica.step(event), out)

    def _translate(self, effects: Iterable[vsr.Effect], out: list[Effect]) -> None:
        for effect in effects:
            if type(effect) is vsr.Send:
                out.append(effect)
            elif isinstance(effect, vsr.Commit):
                self._commit(effect.frame, out)
            elif isinstance(effect, vsr.WriteViewState):
                number = self._write_superblock(effect, None, out)
                self._view_states[number] = effect.number
            elif isinstance(effect, RoleChanged):
                out.append(effect)
                if effect.dropped:
                    self._drop(out)
            elif isinstance(effect, Halt):
                self._halt(effect, out)
                return
            else:
                if isinstance(effect, vsr.InstallSnapshot):
                    self._begin_again(effect.ref)
                out.append(effect)

    def _halt(self, halt: Halt, out: list[Effect]) -> None:
        self.halted = halt.reason
        self._drop(out)
        out.append(halt)
        assert not len(self._waiters)

    def _drop(self, out: list[Effect]) -> None:
        """Tell everybody who waits that this node can no longer say what became of it."""
        self._pulse_due = False
        out += [Refuse(token, RefuseReason.DROPPED) for token in self._waiters.clear()]
        assert not len(self._waiters)

    # -- requests

    def _submit(self, requests: Iterable[Submitted], out: list[Effect]) -> None:
        """Propose what is new and may be proposed; answer the rest."""
        accepted: list[tuple[int | None, Entry]] = []
        size = 0
        leads = self.replica.is_primary
        timed = leads and self.replica.log_time > 0
        for request in requests:
            token, entry = request.token, request.entry
            assert len(entry.data) == HEADER_BYTES + entry.header.body_len
            if not leads:
                out.append(self._not_primary(token))
                continue
            if self._answered(token, entry.header, timed, out):
                continue
            if not self.replica.can_accept(size + len(entry.data), len(accepted) + 1):
                mark("node.overloaded")
                out.append(Refuse(token, RefuseReason.OVERLOADED, retry_after_ms=RETRY_MS))
                continue
            size += len(entry.data)
            accepted.append((token, entry))
            self._waiters.add(token, entry.header)
        if accepted:
            self._propose(accepted, out)

    def _propose(self, accepted: list[tuple[int | None, Entry]], out: list[Effect]) -> None:
        """Hand on, in one step, what somebody waits for by now, or nobody (without a token)."""
        assert self.replica.is_primary, "only a primary has waiters"
        proposals = [vsr_events.Proposal(entry.data, entry.leaf) for _, entry in accepted]
        self._feed(vsr_events.Proposed(tuple(proposals)), out)

    def _answered(self, token: int, header: EntryHeader, timed: bool, out: list[Effect]) -> bool:
        """Whether a request has its answer already, or waits for that of its first sending.

        `timed`: there is a time that it could be stamped with.
        """
        if header.session:
            seen = self.state.sessions.check(header)
            if isinstance(seen, Duplicate):
                mark("node.repeat_answered")
                out.append(Reply(token, _repeated(decode(seen.outcome))))
                return True
            if not isinstance(seen, New) and not self.replica.ready:
                # What an earlier view left may open the session, or close the gap.
                mark("node.session_not_known_yet")
                out.append(self._not_primary(token))
                return True
            if not isinstance(seen, New):
                out.append(Reply(token, self._refusal(seen.code, header)))
                return True
            if self._waiters.join(token, header):
                mark("node.repeat_waits_too")
                return True
        if not timed:
            # It would wait for as long as the clocks disagree, or until they reach log time.
            mark("node.refused_for_clocks")
            out.append(Refuse(token, RefuseReason.CLOCK, retry_after_ms=RETRY_MS))
            return True
        return False

    def _not_primary(self, token: int) -> Refuse:
        replica = self.replica
        if replica.status is not NORMAL or replica.primary == self.config.vsr.index:
            return Refuse(token, RefuseReason.NOT_READY, retry_after_ms=RETRY_MS)
        assert 0 <= replica.primary < self.config.vsr.replicas
        return Refuse(token, RefuseReason.NOT_PRIMARY, redirect=replica.primary)

    def _refusal(self, code: Code, header: EntryHeader) -> Outcome:
        """An answer from what is known already; no entry of the log says it."""
        assert code not in (Code.OK, Code.DUPLICATE)
        return Outcome(
            code=code,
            kind=header.kind,
            policy=self.state.kernel.policy.version,
            op=self.state.op,
            tenant=header.tenant,
            stream=header.stream,
            base=0,
            count=0,
            entry=0,
        )

    def _tick(self, out: list[Effect]) -> None:
        """Propose that time passes, when something in the kernel waits for that."""
        if self._pulse_due or not self.replica.is_primary:
            return
        due = deadline(self.state.kernel)
        assert due is None or due > 0
        if due is not None and due <= self.replica.log_time:
            mark("node.pulse")
            self._pulse_due = True
            pulse = with_body(EntryHeader(kind=Kind.PULSE), b"")
            self._waiters.add(None, pulse.header)
            self._propose([(None, pulse)], out)

    # -- what was agreed on

    def _commit(self, frame: Frame, out: list[Effect]) -> None:
        header = frame.header
        assert header.op == self.state.op + 1, "ops commit in order, each once"
        known = self._heads.get(header.commit)
        if known is not None and known != header.outcomes:
            mark("node.outcomes_differ")
            raise Halted(f"op {header.op}: its outcomes at op {header.commit} are not ours")
        first = self.state.entries
        done = apply_frame(self.state, frame, self.config.decode, self.config.kernels)
        self.state = done.state
        self._heads[header.op] = done.state.outcomes
        if len(self._heads) > HEADS_KEPT:
            self._heads.popitem(last=False)
        for index, incarnation in done.replaced:
            self.replica.replace_member(index, incarnation, header.op)
        self.replica.applied(header.op, done.state.outcomes)
        assert self.state.op <= self.replica.commit_max
        assert self.state.entries == first + header.entry_count
        out.append(AppendOutcomes(first, done.records))
        if done.runs:
            out.append(IndexRuns(header.op, header.timestamp, done.runs))
        self._answer(header.view, done, out)
        out += done.effects
        self._snapshot_bytes += header.frame_bytes()
        self._maybe_snapshot(frame, out)

    def _answer(self, view: int, done: Done, out: list[Effect]) -> None:
        """Reply to those who wait. What an earlier view proposed has nobody waiting here."""
        if not len(self._waiters) or view != self.replica.view:
            return
        assert len(self._waiters) >= len(done.headers), "this view's entries are all ours"
        for header, outcome in zip(done.headers, done.outcomes, strict=True):
            out += [Reply(token, outcome) for token in self._waiters.take(header)]
            if header.kind is Kind.PULSE:
                self._pulse_due = False

    # -- what must be remembered

    def _write_superblock(
        self, view: vsr.WriteViewState | None, ref: SnapshotRef | None, out: list[Effect]
    ) -> int:
        self._superblocks += 1
        number = self._superblocks
        assert (view is None) != (ref is None)
        if ref is not None:
            self._snapshots[number] = ref
        out.append(WriteSuperblock(number, None if view is None else view.state, ref))
        return number

    def _superblock_written(self, event: SuperblockWritten, out: list[Effect]) -> None:
        assert event.number <= self._superblocks, "a write that was never asked for"
        ref = self._snapshots.pop(event.number, None)
        if ref is not None:
            assert self._snapshot_busy
            self._snapshot_busy = False
            self.replica.snapshot_named(ref)
        view_state = self._view_states.pop(event.number, None)
        if view_state is not None:
            self._feed(vsr_events.ViewStateWritten(view_state), out)

    def _snapshot_written(self, event: SnapshotWritten, out: list[Effect]) -> None:
        """Have it named, unless a peer's newer one has taken its place meanwhile."""
        assert self._snapshot_busy
        if event.ref.op < self._begun:
            mark("node.snapshot_superseded")
            self._snapshot_busy = False
            return
        self._write_superblock(None, event.ref, out)

    def _snapshot_loaded(self, event: SnapshotLoaded, out: list[Effect]) -> None:
        """Keep the state of a peer's snapshot until the replica takes it up."""
        ref = event.ref
        if not stands_for(event.state, ref, event.base, self.state):
            mark("node.snapshot_of_another_log")
            self._feed(vsr_events.SnapshotRefused(ref.op), out)
            return
        self._loaded = event.state
        self._feed(vsr_events.SnapshotChecked(ref, event.base), out)
        if self.replica.taking != ref.op:
            self._loaded = None
        assert self._loaded is None or self._loaded.op > self.state.op

    def _begin_again(self, ref: SnapshotRef) -> None:
        """Go on from the state of a peer's snapshot; the ops in between are not applied here."""
        state = self._loaded
        assert state is not None and state.op == ref.op == self.replica.commit
        assert not len(self._waiters), "only a primary has waiters, and it takes no snapshot"
        self.state, self._loaded = state, None
        self._begun = ref.op
        self._heads = OrderedDict([(state.op, state.outcomes)])
        self._snapshot_entries, self._snapshot_bytes = state.entries, 0
        self._tell_members()

    def _tell_members(self) -> None:
        """Let the replica know whom the state of a snapshot names.

        At a start too: a crash may have come between a peer's snapshot and the next view state.
        """
        for index, incarnation in enumerate(self.state.members):
            if incarnation > self.replica.members[index]:
                mark("node.member_named_by_snapshot")
                self.replica.replace_member(index, incarnation, self.state.op)
        assert len(self.replica.members) == len(self.state.members)

    def _maybe_snapshot(self, frame: Frame, out: list[Effect]) -> None:
        """Ask for a snapshot when a restart would have too much to replay."""
        fresh_entries = self.state.entries - self._snapshot_entries
        assert fresh_entries >= 0
        assert frame.header.op == self.state.op
        patience = PATIENCE if self.replica.giving else 1
        due = (
            fresh_entries >= self.config.snapshot_entries * patience
            or self._snapshot_bytes >= self.config.snapshot_bytes * patience
        )
        if self._snapshot_busy or not due:
            return
        self._snapshot_busy = True
        self._snapshot_entries = self.state.entries
        self._snapshot_bytes = 0
        state = self.state
        out.append(TakeSnapshot(frame.header, state.outcomes, chunks(state)))


def _repeated(first: Outcome) -> Outcome:
    """Mark the answer to a request that was applied before."""
    assert first.op > 0
    return msgspec.structs.replace(first, code=Code.DUPLICATE) if first.accepted else first
