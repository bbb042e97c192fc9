"""A group of one on a disk in memory: the real node, store and writer; time is the test's."""

from random import Random

from simulation.disk import SimDisk
from simulation.writer import Writer
from veritydb.kernel.state import KERNEL_VERSION, genesis
from veritydb.node.config import NodeConfig
from veritydb.node.effects import (
    AppendOutcomes,
    CutLog,
    Effect,
    Halt,
    IndexRuns,
    Refuse,
    RepairFrame,
    Reply,
    Run,
    TakeSnapshot,
    WriteFrames,
    WriteSuperblock,
)
from veritydb.node.events import Event, SnapshotWritten, Submitted
from veritydb.node.node import Node
from veritydb.policy.placement import Directory
from veritydb.storage.store import Store
from veritydb.types.durable import Identity, SnapshotRef
from veritydb.types.entry import Entry
from veritydb.types.ids import GroupId
from veritydb.types.labels import Region
from veritydb.types.limits import MS_NS, SECOND_NS
from veritydb.types.outcome import Outcome
from veritydb.vsr.config import Config
from veritydb.vsr.effects import ReadFrames, ReadHeaders
from veritydb.vsr.events import FramesRead, HeadersRead, Tick
from veritydb.wire import log

CLUSTER = bytes(range(16))
GROUP = GroupId(1)
REGION = "au-syd"
DIRECTORY = Directory(groups=((0, ""), (1, REGION)))
IDENTITY = Identity(cluster=CLUSTER, group=GROUP, region=REGION, index=0, replicas=1, incarnation=0)
WRITES = (WriteFrames, RepairFrame, CutLog, WriteSuperblock, AppendOutcomes)


class Site:
    """One node. `start` is also a restart: everything but the disk is forgotten."""

    def __init__(self, snapshot_entries: int = 1_000) -> None:
        self.disk = SimDisk()
        Store.format(self.disk, IDENTITY)
        self.snapshot_entries = snapshot_entries
        self.now = SECOND_NS
        self.token = 0
        self.start()

    def start(self) -> None:
        self.reopen()
        for _ in range(10):
            self.tick()

    def reopen(self) -> None:
        """A node from what the disk holds, to which nothing has happened yet."""
        self.store, recovered = Store.open(self.disk, IDENTITY)
        ref = recovered.superblock.snapshot
        config = NodeConfig(
            vsr=Config(cluster=CLUSTER, group=GROUP, index=0, replicas=1, kernel=KERNEL_VERSION),
            genesis=genesis(GROUP, Region(REGION), DIRECTORY),
            decode=log.decode,
            snapshot_entries=self.snapshot_entries,
        )
        chunks = self.store.read_snapshot() if ref.op else None
        self.node = Node(config, recovered, chunks, Random(1))
        self.writer = Writer(self.store)
        self.replies: dict[int, Outcome] = {}
        self.refusals: dict[int, Refuse] = {}
        self.runs: list[Run] = []
        self.halted: str | None = None

    def tick(self) -> None:
        self.now += 10 * MS_NS
        self.step(Tick(self.now, 1_700_000_000 * SECOND_NS + self.now))

    def ask(self, entry: Entry) -> Outcome:
        """Submit a request and return what became of it."""
        token = self.submit(entry)
        return self.replies[token]

    def submit(self, entry: Entry) -> int:
        self.token += 1
        self.step(Submitted(self.token, entry))
        return self.token

    def step(self, event: Event) -> None:
        """Feed one event, and everything that follows from it without time passing."""
        events: list[Event] = [event]
        while events:
            for effect in self.node.step(events.pop(0)):
                answer = self.perform(effect)
                if answer is not None:
                    events.append(answer)
            events += self.writer.turn()

    def perform(self, effect: Effect) -> Event | None:
        if isinstance(effect, Reply):
            self.replies[effect.token] = effect.outcome
        elif isinstance(effect, Refuse):
            self.refusals[effect.token] = effect
        elif isinstance(effect, IndexRuns):
            self.runs += effect.runs
        elif isinstance(effect, Halt):
            self.halted = effect.reason
        elif isinstance(effect, ReadFrames):
            found = self.store.read_frames(effect.first, effect.last, effect.bytes_max)
            return FramesRead(effect.token, effect.first, tuple(found))
        elif isinstance(effect, ReadHeaders):
            headers = self.store.read_headers(effect.first, effect.last)
            return HeadersRead(effect.token, effect.first, tuple(headers))
        elif isinstance(effect, TakeSnapshot):
            self.writer.turn()
            return SnapshotWritten(self.write_snapshot(effect))
        elif isinstance(effect, WRITES):
            self.writer.queue.append(effect)
        return None

    def write_snapshot(self, effect: TakeSnapshot) -> SnapshotRef:
        composer = self.store.begin_snapshot(effect.base, effect.outcomes)
        for chunk in effect.chunks:
            composer.add(chunk)
        return composer.finish()
