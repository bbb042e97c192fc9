"""One replica in memory: the real node over the real store, its effects performed at once.

Writes are carried out and synced in the order in which they are asked for, and completions are told
to the node after the step that asked. So nothing is acknowledged here either before it is synced.
"""

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple, Protocol

from veritydb.kernel.state import KERNEL_VERSION, genesis
from veritydb.node import effects as fx
from veritydb.node import events as ev
from veritydb.node.config import NodeConfig
from veritydb.node.node import Node
from veritydb.node.runs import runs_of
from veritydb.policy.placement import Directory, placement_of
from veritydb.server import transfer
from veritydb.storage.store import Store
from veritydb.testing.disk import MemoryDisk
from veritydb.types.durable import Identity
from veritydb.types.ids import GroupId, Op
from veritydb.types.outcome import RECORD_BYTES, decode
from veritydb.vsr import events as vsr
from veritydb.vsr import messages
from veritydb.vsr.config import Config
from veritydb.wire import log as commands

CLUSTER = b"veritydb.testing"


class Answer(NamedTuple):
    """What became of a request: it was agreed on, or this replica refused it."""

    outcome: Any = None
    refused: fx.Refuse | None = None


class Place(NamedTuple):
    """Events `base` to `end` of a stream lie in entry `entry` of the op."""

    base: int
    end: int
    op: int
    entry: int


class Group(NamedTuple):
    """One replication group of the cluster; `region` is "" for the global one."""

    number: GroupId
    region: str
    replicas: int
    directory: Directory


class Wire(Protocol):
    """What carries messages to the other replicas of the group."""

    def __call__(self, group: int, source: int, target: int, data: bytes) -> None:
        """Take a message along, or lose it."""


class Replica:
    """Replica `index` of a group. `crash` loses what was not synced; `start` recovers."""

    def __init__(self, group: Group, index: int, wire: Wire) -> None:
        """Has an empty, formatted disk and is not running."""
        self.group = group
        self.index = index
        self.up = False
        self._wire = wire
        self._incarnation = 0
        self.format(0)

    def format(self, incarnation: int) -> None:
        """Begin with an empty disk, as this incarnation of the replica."""
        self.disk = MemoryDisk()
        self.identity = Identity(
            cluster=CLUSTER,
            group=self.group.number,
            region=self.group.region,
            index=self.index,
            replicas=self.group.replicas,
            incarnation=incarnation,
        )
        self.places: dict[int, list[Place]] = {}
        Store.format(self.disk, self.identity)

    def start(self) -> None:
        """Recover what the disk holds and take part again."""
        assert not self.up
        self.store, recovered = Store.open(self.disk, self.identity)
        group = self.group
        config = NodeConfig(
            vsr=Config(
                cluster=CLUSTER,
                group=group.number,
                index=self.index,
                replicas=group.replicas,
                kernel=KERNEL_VERSION,
            ),
            genesis=genesis(group.number, placement_of(group.region), group.directory),
            decode=commands.decode,
        )
        named = recovered.superblock.snapshot.op
        chunks = self.store.read_snapshot() if named else None
        self.node = Node(config, recovered, chunks, Random(self.index))
        self.answers: dict[int, Answer] = {}
        self.fresh: dict[int, Op | None] = {}
        self.halted: str | None = None
        self.up = True

    def crash(self) -> None:
        """End as a process does whose machine loses power."""
        self.up = False
        self.disk.crash()

    @property
    def leads(self) -> bool:
        """Whether it is a primary that serves."""
        return self.up and self.node.replica.is_primary and self.node.ready

    # -- steps

    def receive(self, data: bytes) -> None:
        """Take in a message of a peer."""
        self.step(vsr.Received(messages.decode(data)))

    def step(self, event: ev.Event) -> None:
        """Take in one event and everything that follows from it here."""
        events = deque([event])
        while events and self.halted is None:
            for effect in self.node.step(events.popleft()):
                perform = PERFORM.get(type(effect))
                answer = perform(self, effect) if perform is not None else None
                if answer is not None:
                    events.append(answer)

    def _send(self, effect: fx.Send) -> None:
        data = b"".join(messages.encode(effect.message))
        self._wire(self.group.number, self.index, effect.to, data)

    def _reply(self, effect: fx.Reply) -> None:
        self.answers[effect.token] = Answer(outcome=effect.outcome)

    def _refuse(self, effect: fx.Refuse) -> None:
        self.answers[effect.token] = Answer(refused=effect)

    def _read_ready(self, effect: fx.ReadIndexReady) -> None:
        self.fresh[effect.token] = effect.commit

    def _halt(self, effect: fx.Halt) -> None:
        self.halted = effect.reason

    # -- the disk

    def _write_frames(self, effect: fx.WriteFrames) -> ev.Event:
        self.store.append(effect.frames)
        last = effect.frames[-1].header
        return vsr.FramesWritten(last.op, last.hash)

    def _repair(self, effect: fx.RepairFrame) -> ev.Event:
        self.store.repair([effect.frame])
        return vsr.FrameRepaired(effect.frame.header.op, effect.frame.header.hash)

    def _cut(self, effect: fx.CutLog) -> ev.Event:
        self.store.cut(effect.after)
        return vsr.LogCut(effect.after)

    def _superblock(self, effect: fx.WriteSuperblock) -> ev.Event:
        self.store.write_superblock(effect.view_state, effect.snapshot)
        return ev.SuperblockWritten(effect.number)

    def _outcomes(self, effect: fx.AppendOutcomes) -> None:
        self.store.append_outcomes(effect.first, effect.data)

    def _snapshot(self, effect: fx.TakeSnapshot) -> ev.Event:
        composer = self.store.begin_snapshot(effect.base, effect.outcomes)
        for chunk in effect.chunks:
            composer.add(chunk)
        return ev.SnapshotWritten(composer.finish())

    def _transfer_write(self, effect: transfer.Write) -> ev.Event:
        event = transfer.write(self.store, effect, lambda work: work())
        if isinstance(effect, fx.WriteHistory) and isinstance(event, vsr.HistoryWritten):
            at = 0
            for frame in effect.history.frames:
                end = at + frame.header.entry_count * RECORD_BYTES
                records = effect.history.records
                outcomes = [decode(records, one) for one in range(at, end, RECORD_BYTES)]
                self._learn(frame.header.op, runs_of(frame, outcomes))
                at = end
        return event

    def _transfer_read(self, effect: Any) -> ev.Event:
        return transfer.read(self.store, effect)

    def _read_frames(self, effect: fx.ReadFrames) -> ev.Event:
        found = self.store.read_frames(effect.first, effect.last, effect.bytes_max)
        return vsr.FramesRead(effect.token, effect.first, tuple(found))

    def _read_headers(self, effect: fx.ReadHeaders) -> ev.Event:
        found = self.store.read_headers(effect.first, effect.last)
        return vsr.HeadersRead(effect.token, effect.first, tuple(found))

    # -- where events are

    def _index(self, effect: fx.IndexRuns) -> None:
        self._learn(effect.op, effect.runs)

    def _learn(self, op: int, runs: Iterable[fx.Run]) -> None:
        for run in runs:
            self._add(run.stream, Place(run.base, run.base + run.count, op, run.entry))

    def _add(self, stream: int, place: Place) -> None:
        known = self.places.setdefault(stream, [])
        if not known or known[-1].base < place.base:
            known.append(place)
        elif all(each.base != place.base for each in known):
            # What a peer's history tells lies before what is known.
            known.append(place)
            known.sort()


PERFORM: dict[type, Callable[[Replica, Any], ev.Event | None]] = {
    fx.Send: Replica._send,
    fx.Reply: Replica._reply,
    fx.Refuse: Replica._refuse,
    fx.ReadIndexReady: Replica._read_ready,
    fx.Halt: Replica._halt,
    fx.WriteFrames: Replica._write_frames,
    fx.RepairFrame: Replica._repair,
    fx.CutLog: Replica._cut,
    fx.WriteSuperblock: Replica._superblock,
    fx.AppendOutcomes: Replica._outcomes,
    fx.TakeSnapshot: Replica._snapshot,
    fx.ReadFrames: Replica._read_frames,
    fx.ReadHeaders: Replica._read_headers,
    fx.IndexRuns: Replica._index,
    fx.SaveSnapshot: Replica._transfer_write,
    fx.InstallSnapshot: Replica._transfer_write,
    fx.WriteHistory: Replica._transfer_write,
    fx.CloseGap: Replica._transfer_write,
    fx.ReadSnapshot: Replica._transfer_read,
    fx.ReadHistory: Replica._transfer_read,
    fx.CheckSnapshot: Replica._transfer_read,
}
"""What is not here needs nothing done: nobody is woken, and space is not short in memory."""
