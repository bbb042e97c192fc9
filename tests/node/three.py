"""A group of three on disks in memory: real nodes, stores, writers; time and network are ours."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from simulation.disk import SimDisk, lose_everything
from simulation.writer import Writer
from tests.node.lone import CLUSTER, DIRECTORY, GROUP, REGION
from veritydb.kernel.state import KERNEL_VERSION, genesis
from veritydb.node import effects as fx
from veritydb.node import events as ev
from veritydb.node.config import NodeConfig
from veritydb.node.node import Node
from veritydb.node.state import load
from veritydb.storage.store import Store
from veritydb.types.durable import Identity
from veritydb.types.entry import Entry, EntryHeader, Kind, with_body
from veritydb.types.labels import Region
from veritydb.types.limits import MS_NS, SECOND_NS
from veritydb.types.outcome import Outcome
from veritydb.vsr import events as vsr
from veritydb.vsr import messages
from veritydb.vsr.config import Config
from veritydb.wire import log

SNAPSHOT_ENTRIES = 10
TRANSFER_OPS = 12
PART_BYTES = 3_000


class Member:
    """One replica of the group."""

    def __init__(self, group: "Three", index: int) -> None:
        self.group = group
        self.index = index
        self.up = False
        self.answers: dict[int, Outcome] = {}
        self.installed: list[fx.InstallSnapshot] = []
        self.format(0)

    def format(self, incarnation: int) -> None:
        """Begin with an empty disk."""
        self.disk = SimDisk()
        self.identity = Identity(
            cluster=CLUSTER,
            group=GROUP,
            region=REGION,
            index=self.index,
            replicas=3,
            incarnation=incarnation,
        )
        Store.format(self.disk, self.identity)

    def start(self) -> None:
        self.store, recovered = Store.open(self.disk, self.identity)
        config = NodeConfig(
            vsr=Config(
                cluster=CLUSTER,
                group=GROUP,
                index=self.index,
                replicas=3,
                kernel=KERNEL_VERSION,
                transfer_ops=TRANSFER_OPS,
                part_bytes=PART_BYTES,
            ),
            genesis=genesis(GROUP, Region(REGION), DIRECTORY),
            decode=log.decode,
            snapshot_entries=SNAPSHOT_ENTRIES,
        )
        named = recovered.superblock.snapshot.op
        self.node = Node(
            config, recovered, self.store.read_snapshot() if named else None, Random(self.index)
        )
        self.writer = Writer(self.store)
        self.up = True

    def crash(self) -> None:
        """Lose what was not synced."""
        self.up = False
        self.disk.crash(lose_everything)

    def step(self, event: ev.Event) -> None:
        """Take in one event and all that follows from it here."""
        events = deque([event])
        while events and self.up:
            for effect in self.node.step(events.popleft()):
                answer = self.perform(effect)
                if answer is not None:
                    events.append(answer)
            events += self.writer.turn()

    def perform(self, effect: Any) -> ev.Event | None:
        if isinstance(effect, fx.Send):
            data = b"".join(messages.encode(effect.message))
            self.group.wire.append((self.index, effect.to, data))
        elif isinstance(effect, fx.Reply):
            self.answers[effect.token] = effect.outcome
        elif isinstance(effect, fx.TakeSnapshot):
            self.writer.queue.append(lambda: self.write_snapshot(effect))
        elif type(effect) in READS:
            return READS[type(effect)](self.store, effect)
        elif isinstance(effect, WRITES):
            if isinstance(effect, fx.InstallSnapshot):
                self.installed.append(effect)
            self.writer.queue.append(effect)
        assert not isinstance(effect, fx.Halt), effect
        return None

    def write_snapshot(self, effect: fx.TakeSnapshot) -> ev.Event:
        composer = self.store.begin_snapshot(effect.base, effect.outcomes)
        for chunk in effect.chunks:
            composer.add(chunk)
        return ev.SnapshotWritten(composer.finish())


WRITES = (
    *(fx.WriteFrames, fx.RepairFrame, fx.CutLog, fx.WriteSuperblock, fx.AppendOutcomes),
    *(fx.SaveSnapshot, fx.InstallSnapshot, fx.WriteHistory, fx.CloseGap),
)


def checked(store: Store, effect: fx.CheckSnapshot) -> ev.Event:
    base, chunks = store.received(effect.ref)
    return ev.SnapshotLoaded(effect.ref, base, load(chunks))


def history(store: Store, effect: fx.ReadHistory) -> ev.Event:
    found, rotten = store.read_history(effect.first, effect.last, effect.bytes_max, effect.proof)
    return vsr.HistoryRead(effect.token, found, rotten)


READS: dict[type, Callable[[Store, Any], ev.Event]] = {
    fx.CheckSnapshot: checked,
    fx.ReadHistory: history,
    fx.ReadSnapshot: lambda store, e: vsr.SnapshotRead(
        e.token, e.at, store.read_snapshot_raw(e.ref, e.at, e.size)
    ),
    fx.ReadFrames: lambda store, e: vsr.FramesRead(
        e.token, e.first, tuple(store.read_frames(e.first, e.last, e.bytes_max))
    ),
    fx.ReadHeaders: lambda store, e: vsr.HeadersRead(
        e.token, e.first, tuple(store.read_headers(e.first, e.last))
    ),
}


class Three:
    """The members and what is on its way between them."""

    def __init__(self) -> None:
        self.now = 0
        self.token = 0
        self.wire: deque[tuple[int, int, bytes]] = deque()
        self.lost: Callable[[messages.Message], bool] = lambda message: False
        self.members = [Member(self, index) for index in range(3)]
        for member in self.members:
            member.start()
        self.run(1_000)

    def run(self, milliseconds: int) -> None:
        """Let time pass, tick by tick."""
        for _ in range(milliseconds // 10):
            self.now += 10 * MS_NS
            for member in self.members:
                if member.up:
                    wall = 1_700_000_000 * SECOND_NS + self.now
                    member.step(vsr.Tick(SECOND_NS + self.now, wall))
            while self.wire:
                _, to, data = self.wire.popleft()
                message = messages.decode(data)
                if self.members[to].up and not self.lost(message):
                    self.members[to].step(vsr.Received(message))

    def until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until something is so."""
        for _ in range(1_000):
            if condition():
                return
            self.run(10)
        raise AssertionError("it never happened")

    def primary(self) -> Member:
        """The one that takes requests."""
        self.until(lambda: any(m.up and m.node.replica.is_primary for m in self.members))
        return next(m for m in self.members if m.up and m.node.replica.is_primary)

    def ask(self, entry: Entry) -> Outcome:
        """Have a request agreed on."""
        member = self.primary()
        self.token += 1
        token = self.token
        member.step(ev.Submitted(token, entry))
        self.until(lambda: token in member.answers)
        return member.answers[token]

    def replace(self, member: Member) -> None:
        """Give a member's index to an empty disk."""
        member.crash()
        incarnation = member.identity.incarnation + 1
        header = EntryHeader(kind=Kind.REPLACE_REPLICA, events=member.index, expected=incarnation)
        assert self.ask(with_body(header, b"")).accepted
        member.format(incarnation)
        member.start()
