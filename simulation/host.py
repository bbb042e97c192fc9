"""One replica and what surrounds it: performs a node's effects as the server does."""

from collections.abc import Callable, Iterator
from traceback import format_exc
from typing import Any, Protocol

from simulation import forgery
from simulation.calls import Answered, Call, Denied, ReadCall, ReadReply, Refused
from simulation.checkers.base import Replica, Watch
from simulation.facts import sent_fact, standing, state_of
from simulation.index import Index
from simulation.ledger import Ledger
from simulation.network import Packet
from simulation.once import asked, received
from simulation.reads import tokens_from
from simulation.topology import Group
from simulation.world import MS, Failure, World
from simulation.writer import Writer
from veritydb.kernel.admission import admit
from veritydb.node import effects as fx
from veritydb.node import events as ev
from veritydb.node.node import Node
from veritydb.node.state import BadSnapshot, load
from veritydb.storage.disk import DiskFull, NoSuchFile
from veritydb.storage.errors import Damaged
from veritydb.storage.store import Store
from veritydb.types import entry as entries
from veritydb.types.entry import Kind
from veritydb.types.frame import Frame, Header
from veritydb.types.history import History
from veritydb.types.ids import Op
from veritydb.types.outcome import Code
from veritydb.vsr import effects as vsr_fx
from veritydb.vsr import events as vsr_ev
from veritydb.vsr import messages

FULL_RETRY = 50 * MS
SCRUB_BYTES_MAX = 1 << 30
NOBODY = (-1, 0)
"""Who waits for what a node asked for itself."""


class Died(Exception):
    """The process of this machine ends here: a planned crash, or a disk that failed."""


class Machine(Protocol):
    """What a host needs of the machine it runs on."""

    index: int
    life: int
    crash_in: int | None
    slow: int

    def post(self, delay: int, call: Callable[..., None], *args: Any) -> None:
        """Call later, unless this life of the machine is over by then."""

    def send(self, packet: Packet) -> None:
        """Put a packet on the network."""


class Surroundings(Protocol):
    """What a host needs of the run."""

    world: World
    watch: Watch
    frames: dict[bytes, Frame]
    indexes: dict[Replica, Index]
    ledger: Ledger

    def cutting(self, host: "Host", headers: list[Header]) -> None:
        """The writer is about to cut these off the log."""

    def written(self, host: "Host", event: ev.Event) -> None:
        """Something is durable, says the writer."""


class Host:
    """A running replica: gone with the process."""

    def __init__(
        self,
        cluster: Surroundings,
        machine: Machine,
        group: Group,
        index: int,
        store: Store,
        node: Node,
        latencies: tuple[int, int],
    ) -> None:
        """`latencies` are the mean times of a write and a read."""
        self.world = cluster.world
        self.watch = cluster.watch
        self._cluster = cluster
        self.machine = machine
        self.group = group
        self.index = index
        self.key: Replica = (group.number, index)
        self.name = f"g{group.number}r{index}"
        self.store = store
        self.node = node
        self.writer = Writer(store)
        self.writer.erased = lambda headers: cluster.cutting(self, headers)
        self.writing = False
        self.erased: set[tuple[Op, int]] = set()
        """Entries whose events this process has erased."""
        self._stream_index = cluster.indexes[self.key]
        self._write_latency, self._read_latency = latencies
        self._tokens = 0
        self._calls: dict[int, tuple[int, int]] = {}
        self._reads: dict[int, tuple[int, ReadCall]] = {}
        self._waiting: list[tuple[int, int, ReadCall]] = []
        self._committed: list[Frame] = []
        self._filling: History | None = None
        self._last: tuple[messages.Message | None, bytes] = (None, b"")
        """What was sent last, and its bytes: most messages go to several."""
        self._listen()

    def _listen(self) -> None:
        """Learn which frames the protocol says are committed; the node keeps that to itself."""
        commit, committed = self.node._commit, self._committed

        def listening(frame: Frame, out: list[fx.Effect]) -> None:
            committed.append(frame)
            commit(frame, out)

        setattr(self.node, "_commit", listening)  # noqa: B010

    # -- steps

    def state(self) -> tuple[Any, ...]:
        """Role, view, commit, applied and op, for the timeline."""
        return state_of(self.node)

    def step(self, event: ev.Event) -> None:
        """Hand the node an event and perform what it asks for."""
        try:
            effects = self.node.step(event)
        except Exception as error:
            self.world.note(self.name, self.state(), f"raised on {type(event).__name__}")
            raise Failure(f"raised-{type(error).__name__}", format_exc()) from error
        if not effects and type(event) is vsr_ev.Tick and not self._waiting:
            return
        what = type(event).__name__
        if type(event) is vsr_ev.Received:
            message = event.message
            what = f"< {type(message).__name__} v{message.view} from {message.sender}"
        self.world.note(self.name, self.state(), what)
        self.watch.now = self.world.now
        for effect in effects:
            if self.machine.crash_in is not None:
                self._crash_point(self.machine.crash_in)
            perform = PERFORM.get(type(effect))
            if perform is not None:
                perform(self, effect)
        assert not self._committed, "a commit whose outcomes were not stored"
        self.watch.stepped(self.key, standing(self.machine.life, self.node.replica))
        if self._waiting:
            self._answer_reads()

    def _crash_point(self, effects_left: int) -> None:
        if effects_left == 0:
            self.machine.crash_in = None
            raise Died("crash between two effects")
        self.machine.crash_in = effects_left - 1

    # -- messages

    def _send(self, effect: vsr_fx.Send) -> None:
        message = effect.message
        if type(message) is messages.PrepareOk:
            self._cluster.ledger.acknowledged(self.key, message.view, message.op)
        self.watch.sent(sent_fact(self.key, self.machine.life, effect.to, message))
        if message is not self._last[0]:
            self._last = (message, b"".join(messages.encode(message)))
        data = self._last[1]
        self.world.count("messages")
        target = self.group.nodes[effect.to]
        tag = ("peer", self.group.number, type(message).__name__)
        self.machine.send(Packet(self.machine.index, target, tag, data))

    def receive(self, data: bytes, damaged: bool) -> None:
        """Bytes arrived that claim to be a message for this replica."""
        if damaged:
            forgery.try_out(data, self.world.choices)
        try:
            message = received(data)
        except messages.BadMessage:
            self.world.count("messages.bad")
            return
        if damaged:
            self.watch.misread(self.key, type(message).__name__)
        self.step(vsr_ev.Received(message))

    # -- clients

    def call(self, source: int, call: Call, data: bytes) -> None:
        """A client's request, checked as the edge of a server does."""
        try:
            entry, command = asked(data)
        except entries.BadEntry:
            self.world.count("entries.bad")
            return
        code = admit(self.node.kernel, entry.header, command)
        if code != Code.OK:
            self.world.count(f"edge.{code.name}")
            self._to_client(source, Denied(call.key, code))
            if self.node.replica.is_primary:
                self._audit(entry.header, code)
            return
        if self.writer.full:
            self.world.count("edge.read-only")
            self._to_client(source, Refused(call.key, fx.RefuseReason.OVERLOADED, None))
            return
        self._tokens += 1
        self._calls[self._tokens] = (source, call.key)
        self.step(ev.Submitted(self._tokens, entry))

    def _audit(self, header: entries.EntryHeader, code: Code) -> None:
        """Have the refusal itself agreed on: fixed fields, nothing of what was refused."""
        refused = entries.EntryHeader(
            kind=Kind.REFUSED, tenant=header.tenant, expected=int(code), events=1
        )
        self._tokens += 1
        self.step(ev.Submitted(self._tokens, entries.with_body(refused, b"")))

    def _reply(self, effect: fx.Reply) -> None:
        source, key = self._calls.pop(effect.token, NOBODY)
        self._to_client(source, Answered(key, self.index, effect.outcome))

    def _refuse(self, effect: fx.Refuse) -> None:
        source, key = self._calls.pop(effect.token, NOBODY)
        self._to_client(source, Refused(key, effect.reason, effect.redirect))

    def _to_client(self, source: int, tag: object) -> None:
        if source != NOBODY[0]:
            self.machine.send(Packet(self.machine.index, source, tag, b""))

    # -- reads

    def read(self, source: int, call: ReadCall) -> None:
        """A client's read: at once, or as of a commit that a quorum confirms."""
        if not self.node.ready:
            reason = fx.RefuseReason.NOT_READY
            self._to_client(source, Refused(call.key, reason, None))
        elif call.fresh:
            self._tokens += 1
            self._reads[self._tokens] = (source, call)
            self.step(vsr_ev.ReadIndex(self._tokens))
        else:
            self._show(source, call)

    def _read_ready(self, effect: vsr_fx.ReadIndexReady) -> None:
        source, call = self._reads.pop(effect.token)
        if effect.commit is None:
            reason = fx.RefuseReason.NOT_PRIMARY
            self._to_client(source, Refused(call.key, reason, None))
        else:
            self._waiting.append((effect.commit, source, call))

    def _answer_reads(self) -> None:
        ready = [row for row in self._waiting if row[0] <= self.node.applied]
        if ready:
            self._waiting = [row for row in self._waiting if row[0] > self.node.applied]
            for _, source, call in ready:
                self._show(source, call)

    def _show(self, source: int, call: ReadCall) -> None:
        """Answer from the state of this moment, and with a few events from the log."""
        record = self.node.kernel.streams.records.get(call.stream)
        if record is None:
            reason = fx.RefuseReason.NOT_READY
            self._to_client(source, Refused(call.key, reason, None))
            return
        first = max(call.first, record.floor)
        tokens = tokens_from(self.store, self._stream_index, call.stream, first)
        # The index may know of ops that this life of the process has not applied again yet.
        del tokens[max(0, record.next - first) :]
        tag = ReadReply(
            key=call.key,
            replica=self.index,
            applied=self.node.applied,
            next=record.next,
            floor=record.floor,
            first=first,
            tokens=tuple(tokens),
        )
        self._to_client(source, tag)

    # -- the disk

    def _write_frames(self, effect: vsr_fx.WriteFrames) -> None:
        for frame in effect.frames:
            # The first is whole; later ones may come from a peer that erased some of it.
            self._cluster.frames.setdefault(frame.header.hash, frame)
        self._write(effect)

    def _write(self, effect: Any) -> None:
        self.writer.queue.append(effect)
        if not self.writing:
            self.writing = True
            self._schedule_turn()

    def write_job(self, job: Callable[[], None]) -> None:
        """Have the writer do something in its turn."""
        self._write(job)

    def _schedule_turn(self) -> None:
        mean = self._write_latency
        if all(type(write) is fx.AppendOutcomes for write in self.writer.queue):
            mean //= 10
        delay = mean // 4 + self.world.choices.exponential("disk.write", mean) + self.machine.slow
        self.machine.post(delay, self._turn)

    def _cut(self, effect: vsr_fx.CutLog) -> None:
        self.watch.cut(self.key, effect.after)
        self._write(effect)

    def _write_superblock(self, effect: fx.WriteSuperblock) -> None:
        self.watch.asked(self.key, effect.number, effect.view_state, effect.snapshot)
        self._write(effect)

    @property
    def reading(self) -> int:
        """How many clients wait for what they want to read."""
        return len(self._reads) + len(self._waiting)

    def scrub(self) -> None:
        """Read all of the log, as a server's readers do in time, and tell of what has rotted."""
        block = self.store.superblock
        frames = self.store.read_frames(Op(1), self.store.head, SCRUB_BYTES_MAX)
        for op, frame in enumerate(frames, start=1):
            if frame is None and not block.gap_after < op <= block.gap_end:
                self.world.count("scrub.rotten")
                self.step(vsr_ev.FrameRotten(Op(op)))

    def _turn(self) -> None:
        # Whether it ends well or not: after a failed write nothing more is ever written.
        self.writing = False
        done = self.writer.turn()
        for event in done:
            if isinstance(event, vsr_ev.HistoryWritten):
                assert self._filling is not None
                self._stream_index.fill(self._filling)
            self._cluster.written(self, event)
            self.step(event)
        if (self.writer.queue or self.writer.full) and not self.writing:
            self.writing = True
            if self.writer.full:
                # Nobody is told that there is space again; it is tried now and then.
                self.machine.post(FULL_RETRY, self._turn)
            else:
                self._schedule_turn()

    def _later(self, call: Callable[..., None], *args: Any) -> None:
        mean = self._read_latency
        delay = self.world.choices.exponential("disk.read", mean) + self.machine.slow
        self.machine.post(delay, call, *args)

    def _read_frames(self, effect: vsr_fx.ReadFrames) -> None:
        self._later(self._frames_read, effect)

    def _frames_read(self, effect: vsr_fx.ReadFrames) -> None:
        frames = self.store.read_frames(effect.first, effect.last, effect.bytes_max)
        self.step(vsr_ev.FramesRead(effect.token, effect.first, tuple(frames)))

    def _read_headers(self, effect: vsr_fx.ReadHeaders) -> None:
        self._later(self._headers_read, effect)

    def _headers_read(self, effect: vsr_fx.ReadHeaders) -> None:
        headers = self.store.read_headers(effect.first, effect.last)
        self.step(vsr_ev.HeadersRead(effect.token, effect.first, tuple(headers)))

    # -- a peer's snapshot, and ours for peers

    def _read_part(self, effect: vsr_fx.ReadSnapshot) -> None:
        self._later(self._part_read, effect)

    def _part_read(self, effect: vsr_fx.ReadSnapshot) -> None:
        try:
            data = self.store.read_snapshot_raw(effect.ref, effect.at, effect.size)
        except NoSuchFile:
            self.step(vsr_ev.SnapshotRead(effect.token, effect.at, None))
            return
        self.step(vsr_ev.SnapshotRead(effect.token, effect.at, data))

    def _check_snapshot(self, effect: vsr_fx.CheckSnapshot) -> None:
        self._later(self._snapshot_checked, effect)

    def _snapshot_checked(self, effect: vsr_fx.CheckSnapshot) -> None:
        try:
            base, pieces = self.store.received(effect.ref)
            loaded = ev.SnapshotLoaded(effect.ref, base, load(pieces))
        except (Damaged, BadSnapshot):
            self.world.count("transfers.refused")
            self.step(vsr_ev.SnapshotRefused(effect.ref.op))
            return
        self.step(loaded)

    def _install(self, effect: vsr_fx.InstallSnapshot) -> None:
        self.world.count("transfers")
        self.watch.installed(self.key, effect.ref.op, effect.ref.outcomes)
        self._write(effect)

    def _read_history(self, effect: vsr_fx.ReadHistory) -> None:
        self._later(self._history_read, effect)

    def _history_read(self, effect: vsr_fx.ReadHistory) -> None:
        found, rotten = self.store.read_history(
            effect.first, effect.last, effect.bytes_max, effect.proof
        )
        self.step(vsr_ev.HistoryRead(effect.token, found, rotten))

    def _write_history(self, effect: vsr_fx.WriteHistory) -> None:
        self._filling = effect.history
        self._write(effect)

    # -- what was agreed on

    def _outcomes(self, effect: fx.AppendOutcomes) -> None:
        frame = self._committed.pop(0)
        self.world.count("applied")
        body = self._cluster.frames[frame.header.hash].body if frame.holes else frame.body
        self.watch.applied(self.key, frame.header, body, effect.data)
        self._write(effect)

    def _index(self, effect: fx.IndexRuns) -> None:
        self._stream_index.add(effect)

    def _snapshot(self, effect: fx.TakeSnapshot) -> None:
        self._slice(effect, effect.chunks, [])

    def _slice(self, effect: fx.TakeSnapshot, chunks: Iterator[bytes], made: list[bytes]) -> None:
        """Take a chunk of the snapshot now and the next one a moment later."""
        chunk = next(chunks, None)
        if chunk is not None:
            made.append(chunk)
            self.machine.post(MS, self._slice, effect, chunks, made)
            return

        def write() -> ev.Event:
            composer = None
            try:
                composer = self.store.begin_snapshot(effect.base, effect.outcomes)
                for each in made:
                    composer.add(each)
                written = ev.SnapshotWritten(composer.finish())
            except DiskFull:
                # Without a newer snapshot a restart replays more; nothing else is lost.
                if composer is not None:
                    composer.abandon()
                self.world.count("snapshots.no-space")
                return ev.SnapshotAbandoned()
            self.world.count("snapshots")
            return written

        self._write(write)

    def _halt(self, effect: vsr_fx.Halt) -> None:
        self.world.note(self.name, self.state(), "halt", effect.reason)
        raise Halted(effect)

    def _role(self, effect: vsr_fx.RoleChanged) -> None:
        self.world.count("role-changes")


class Halted(Exception):
    """A replica asked to be stopped."""

    def __init__(self, effect: vsr_fx.Halt) -> None:
        """Why is in the effect."""
        super().__init__(effect.reason)
        self.effect = effect


PERFORM: dict[type, Callable[[Host, Any], None]] = {
    vsr_fx.Send: Host._send,
    vsr_fx.WriteFrames: Host._write_frames,
    vsr_fx.RepairFrame: Host._write,
    vsr_fx.CutLog: Host._cut,
    fx.WriteSuperblock: Host._write_superblock,
    fx.AppendOutcomes: Host._outcomes,
    vsr_fx.ReadFrames: Host._read_frames,
    vsr_fx.ReadHeaders: Host._read_headers,
    fx.Reply: Host._reply,
    fx.Refuse: Host._refuse,
    vsr_fx.ReadIndexReady: Host._read_ready,
    fx.IndexRuns: Host._index,
    fx.TakeSnapshot: Host._snapshot,
    vsr_fx.ReadSnapshot: Host._read_part,
    vsr_fx.SaveSnapshot: Host._write,
    vsr_fx.CheckSnapshot: Host._check_snapshot,
    vsr_fx.InstallSnapshot: Host._install,
    vsr_fx.ReadHistory: Host._read_history,
    vsr_fx.WriteHistory: Host._write_history,
    vsr_fx.CloseGap: Host._write,
    vsr_fx.Halt: Host._halt,
    vsr_fx.RoleChanged: Host._role,
}
