"""One group's replica in the world: the only place where a `Node` is stepped.

Whoever has an event posts it, on the loop's thread, and the effects are performed before `post`
returns. Steps never nest: what is posted during a step waits for its end. Nothing here awaits.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from veritydb.node import effects as fx
from veritydb.node.events import Event, Submitted, SubmittedTogether
from veritydb.node.node import Node
from veritydb.server.gathering import Gathering
from veritydb.server.log import Log
from veritydb.server.machine import MACHINE, Machine
from veritydb.server.refusals import Refused
from veritydb.types.entry import Entry
from veritydb.types.errors import EdgeCode
from veritydb.types.limits import OP_ENTRIES_MAX
from veritydb.types.outcome import Outcome
from veritydb.vsr.events import ReadIndex, Tick
from veritydb.vsr.messages import Message

BUCKET_NS = 50_000_000
# Without a tick for so long the node's idea of the time is no good to stamp an entry with.
STALE_NS = 100_000_000
APPLIERS_KEPT = 64
# What an op of so many bytes costs by itself is little beside what the bytes cost.
WORTH_AN_OP_BYTES = 256 << 10
# Projections and consumers look for themselves when they start.
UNHEARD = frozenset((fx.WakeProjection, fx.WakeConsumer))

REASONS = {
    fx.RefuseReason.NOT_PRIMARY: EdgeCode.NOT_PRIMARY,
    fx.RefuseReason.NOT_READY: EdgeCode.NOT_READY,
    fx.RefuseReason.OVERLOADED: EdgeCode.OVERLOADED,
    fx.RefuseReason.CLOCK: EdgeCode.CLOCK,
    fx.RefuseReason.DROPPED: EdgeCode.DROPPED,
}


class World(Protocol):
    """What performs the effects that a group cannot perform by itself."""

    def send(self, to: int, message: Message) -> None:
        """Hand a message to a peer, or drop it."""

    def at_once(self, work: Callable[[], None]) -> None:
        """Do something, and send what it has to say before anything else is done."""

    def let_go(self) -> None:
        """Send what was said so far."""

    def write(self, effect: Any) -> None:
        """Queue a write."""

    def read_frames(self, effect: fx.ReadFrames) -> None:
        """Read, then post `FramesRead`."""

    def read_headers(self, effect: fx.ReadHeaders) -> None:
        """Read, then post `HeadersRead`."""

    def index(self, effect: fx.IndexRuns) -> None:
        """Tell the stream index."""

    def applied(self, op: int) -> None:
        """All of this and earlier ops was told."""

    def snapshot(self, effect: fx.TakeSnapshot) -> None:
        """Write it in slices, then post `SnapshotWritten`."""

    def transfer(self, effect: Any) -> None:
        """Read for a peer, or check or take up what came from one."""

    def reclaim(self, effect: fx.Reclaim) -> None:
        """Give space back later."""

    def halt(self, effect: fx.Halt) -> None:
        """Stop: this replica must do nothing more."""

    def crashed(self, error: Exception) -> None:
        """A step failed in its middle: this process must not go on."""

    def address(self, index: int) -> str:
        """The client address of a replica."""

    def writable(self) -> bool:
        """Whether the disk has room."""


class Group:
    """Steps one node, performs its effects, and knows who waits for what."""

    def __init__(
        self,
        number: int,
        node: Node,
        world: World,
        log: Log,
        machine: Machine = MACHINE,
    ) -> None:
        """Make it on the loop's thread, before anything is posted."""
        self.number = number
        self.node = node
        self.failed = False
        self._world = world
        self._log = log
        self._wall, self._now = machine.wall_ns, machine.monotonic_ns
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Event] = deque()
        self._submitted: list[Submitted] = []
        self._submitted_bytes = 0
        self._gathering = Gathering()
        self._looking = False
        self._on_its_way = False
        self._timer: asyncio.TimerHandle | None = None
        self._stepping = False
        self._going_on = False
        self._tokens = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._buckets: dict[int, list[int]] = {}
        self._ticked = self._now()
        self._next_bucket = self._ticked // BUCKET_NS
        self._appliers: list[tuple[int, int]] = []
        self._applied = node.applied
        self._perform = self._table()

    # -- events in, effects out

    def post(self, event: Event) -> None:
        """Step the node with an event, now or as soon as the running step has ended."""
        self._queue.append(event)
        if not self._stepping:
            self._run()

    def post_all(self, events: list[Event]) -> None:
        """Post several events at once."""
        self._queue.extend(events)
        if not self._stepping:
            self._run()

    def _run(self) -> None:
        self._stepping = True
        node = self.node
        try:
            while self._queue and not self.failed:
                self._carry_out(node.begin(self._queue.popleft()))
                if node.unfinished:
                    self._world.let_go()
                    self._carry_out(node.finish())
        except Exception as error:
            # Half performed effects cannot be taken back: nothing may follow them.
            self.failed = True
            self._world.crashed(error)
        finally:
            self._stepping = False
        applied = self.node.applied
        if applied != self._applied:
            self._applied = applied
            self._world.applied(applied)
            self._wake_appliers()
            if self._on_its_way and applied == self.node.replica.op:
                self._on_its_way = False
                self._gathering.ended(self._now())
            if self.node.replica.left and not self._going_on:
                self._going_on = True
                self._loop.call_soon(self._go_on)
        if self._submitted and not self._looking:
            self._look()

    def _go_on(self) -> None:
        """A step applies only so much, so that all else has its turn in between."""
        self._going_on = False
        if not self.failed:
            self.tick()

    def _carry_out(self, effects: list[fx.Effect]) -> None:
        perform = self._perform
        for effect in effects:
            kind = type(effect)
            if kind not in UNHEARD:
                perform[kind](effect)

    def _table(self) -> dict[type, Callable[[Any], None]]:
        world = self._world
        return {
            fx.Send: lambda e: world.send(e.to, e.message),
            fx.WriteFrames: world.write,
            fx.RepairFrame: world.write,
            fx.CutLog: world.write,
            fx.WriteSuperblock: world.write,
            fx.AppendOutcomes: world.write,
            fx.ReadFrames: world.read_frames,
            fx.ReadHeaders: world.read_headers,
            fx.IndexRuns: world.index,
            fx.TakeSnapshot: world.snapshot,
            fx.ReadSnapshot: world.transfer,
            fx.ReadHistory: world.transfer,
            fx.CheckSnapshot: world.transfer,
            fx.InstallSnapshot: world.transfer,
            fx.SaveSnapshot: world.write,
            fx.WriteHistory: world.write,
            fx.CloseGap: world.write,
            fx.Reclaim: world.reclaim,
            fx.Reply: self._reply,
            fx.Refuse: self._refuse,
            fx.ReadIndexReady: lambda e: self._resolve(e.token, e.commit),
            fx.RoleChanged: self._role_changed,
            fx.Halt: self._halt,
        }

    def tick(self) -> None:
        """Time passed. Also ends what has waited too long."""
        now = self._ticked = self._now()
        self.post(Tick(now, self._wall()))
        bucket = now // BUCKET_NS
        while self._next_bucket < bucket:
            for token in self._buckets.pop(self._next_bucket, ()):
                self._expire(token)
            self._next_bucket += 1

    # -- who waits

    def _wait(self, timeout_ms: int) -> tuple[int, asyncio.Future[Any]]:
        self._tokens += 1
        token = self._tokens
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[token] = future
        due = (self._now() + timeout_ms * 1_000_000) // BUCKET_NS + 1
        bucket = self._buckets.get(due)
        if bucket is None:
            bucket = self._buckets[due] = []
        bucket.append(token)
        return token, future

    def _resolve(self, token: int, value: Any) -> None:
        future = self._waiting.pop(token, None)
        if future is not None and not future.done():
            future.set_result(value)

    def _expire(self, token: int) -> None:
        if token in self._waiting:
            self._resolve(token, Refused(EdgeCode.DEADLINE))

    def _reply(self, effect: fx.Reply) -> None:
        self._resolve(effect.token, effect.outcome)

    def _refuse(self, effect: fx.Refuse) -> None:
        redirect = "" if effect.redirect is None else self._world.address(effect.redirect)
        refused = Refused(
            REASONS[effect.reason], redirect=redirect, retry_after_ms=effect.retry_after_ms
        )
        self._resolve(effect.token, refused)

    async def submit(self, entry: Entry, timeout_ms: int) -> Outcome:
        """Have an entry agreed on and return what became of it. Raises Refused."""
        if self.failed:
            raise Refused(EdgeCode.STOPPING)
        if not self._world.writable():
            raise Refused(EdgeCode.READ_ONLY, retry_after_ms=1_000)
        if self._now() - self._ticked > STALE_NS:
            # After a pause of the process calls come before timers. Stamped with the time before
            # the pause, an entry would seem to come from the future, and be refused for it.
            self.tick()
        token, future = self._wait(timeout_ms)
        self._submitted.append(Submitted(token, entry))
        self._submitted_bytes += len(entry.data)
        gathering = self._gathering
        gathering.calls += 1
        gathering.most = max(gathering.most, gathering.calls)
        # While others are on their way, or waited for, only enough is a reason to look.
        waits = self._on_its_way or self._timer is not None
        enough = len(self._submitted) >= gathering.most
        if not waits or enough or self._submitted_bytes >= WORTH_AN_OP_BYTES:
            self._look_soon()
        try:
            answer = await future
        finally:
            gathering.calls -= 1
        if isinstance(answer, Refused):
            raise answer
        outcome: Outcome = answer
        return outcome

    def _look_soon(self) -> None:
        """Look at what waits together with all that comes in this pass of the loop."""
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Hand over what waits, unless more should share its op."""
        self._looking = False
        node, count = self.node, len(self._submitted)
        if self.failed or not count:
            return
        many = count >= OP_ENTRIES_MAX or self._submitted_bytes >= node.config.vsr.eager_bytes
        if many or not node.replica.is_primary:
            # Enough for an op of their own; or the node will say why they cannot be proposed.
            self._hand_over()
        elif node.applied == node.replica.op:
            wait = self._gathering.wait_ns(count, self._now())
            if not wait or self._submitted_bytes >= WORTH_AN_OP_BYTES:
                self._hand_over()
            elif self._timer is None:
                self._timer = self._loop.call_later(wait / 1e9, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._gathering.in_vain()
        self._hand_over()

    def _hand_over(self) -> None:
        """Have what waits proposed: it is one step, and one op."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        requests, self._submitted = self._submitted, []
        self._submitted_bytes = 0
        self._gathering.proposed(self._now())
        self._world.at_once(partial(self.post, SubmittedTogether(tuple(requests))))
        replica = self.node.replica
        # Not so if all were answered or refused at once.
        self._on_its_way = replica.op > self.node.applied or replica.pending_entries > 0

    async def read_index(self, timeout_ms: int) -> None:
        """Wait until what was committed when this was called is applied here. Raises Refused."""
        if not self.node.replica.is_primary:
            raise self.not_primary()
        token, future = self._wait(timeout_ms)
        self.post(ReadIndex(token))
        commit = await future
        if isinstance(commit, Refused):
            commit.maybe_applied = False
            raise commit
        if commit is None:
            raise self.not_primary()
        await self.reached(commit, timeout_ms)

    async def reached(self, op: int, timeout_ms: int) -> None:
        """Wait until `op` is applied here. Raises Refused when that takes too long."""
        if self.node.applied >= op:
            return
        token, future = self._wait(timeout_ms)
        heapq.heappush(self._appliers, (op, token))
        refused = await future
        if refused is not None:
            self._forget_appliers()
            refused.maybe_applied = False
            raise refused

    def _forget_appliers(self) -> None:
        """Let go of those that wait no longer: what a token names may never come."""
        if len(self._appliers) > 2 * len(self._waiting) + APPLIERS_KEPT:
            self._appliers = [one for one in self._appliers if one[1] in self._waiting]
            heapq.heapify(self._appliers)

    def _wake_appliers(self) -> None:
        while self._appliers and self._appliers[0][0] <= self._applied:
            self._resolve(heapq.heappop(self._appliers)[1], None)

    @property
    def serves(self) -> bool:
        """Whether this replica does its part: leads, or follows without lagging much.

        One that has no room on its disk does so only as long as there is nothing left to write.
        """
        replica = self.node.replica
        room = self._world.writable() or replica.op == replica.commit_max
        return not self.failed and self.node.halted is None and replica.ready and room

    @property
    def leads(self) -> bool:
        """Whether this is the primary and has applied all that earlier views left."""
        return self.node.replica.is_primary and self.serves

    def not_primary(self) -> Refused:
        """The refusal that says where the primary is, as far as this node knows."""
        replica = self.node.replica
        address = self.primary_address()
        if not self.serves or replica.is_primary or not address:
            return Refused(EdgeCode.NOT_READY, retry_after_ms=50)
        return Refused(EdgeCode.NOT_PRIMARY, redirect=address)

    def primary_address(self) -> str:
        """The client address of this view's primary."""
        return self._world.address(self.node.replica.primary)

    def stop(self) -> None:
        """Refuse everybody who still waits. What they asked for may yet be applied."""
        self.failed = True
        if self._timer is not None:
            self._timer.cancel()
        for token in list(self._waiting):
            self._resolve(token, Refused(EdgeCode.STOPPING, maybe_applied=True))

    def outstanding(self) -> int:
        """How many wait for an answer."""
        return len(self._waiting)

    # -- what happened

    def _role_changed(self, effect: fx.RoleChanged) -> None:
        self._log.info(
            "role", group=self.number, role=self.node.role, view=effect.view, primary=effect.primary
        )

    def _halt(self, effect: fx.Halt) -> None:
        self._log.error("halted", group=self.number, reason=effect.reason)
        self.failed = True
        self._world.halt(effect)
