"""A group of replicas in one thread, with disks that do what they are told and a network of queues.

A test decides what is delivered: `settle` runs until nothing happens without time passing, `run`
lets time pass. Disks finish their work in order, but only when the test lets them (`disk_held`).
"""

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from random import Random

import msgspec

from veritydb.types import entry, outcome
from veritydb.types.durable import Identity, Recovered, SnapshotRef, Superblock, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import GroupId, Op, View
from veritydb.types.limits import KIB, MS_NS, SECOND_NS
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages
from veritydb.vsr.config import Config, Status
from veritydb.vsr.messages import Message
from veritydb.vsr.replica import Replica

CLUSTER = bytes(range(16))
GROUP = GroupId(3)
EPOCH_NS = 1_700_000_000 * SECOND_NS
# Small, so that tests fill the pipeline with little.
EAGER_BYTES = 64 * KIB


def proposal(text: str) -> ev.Proposal:
    """One request whose body is `text`."""
    made = entry.with_body(entry.EntryHeader(kind=entry.Kind.COMMAND), text.encode())
    return ev.Proposal(made.data, made.leaf)


def texts(frame: Frame) -> list[str]:
    """What the requests of a frame said."""
    walk = entry.split(frame.body, frame.header.entry_count)
    return [frame.body[start + entry.HEADER_BYTES : end].decode() for _, start, end in walk]


class Disk:
    """What survives a crash: the log by op, what has rotted, and the protocol's memory."""

    def __init__(self, index: int, replicas: int, incarnation: int = 0) -> None:
        self.frames: dict[int, Frame] = {}
        self.rotten: set[int] = set()
        self.rotten_records: set[int] = set()
        self.head_certain = True
        self.identity = Identity(
            cluster=CLUSTER,
            group=GROUP,
            region="",
            index=index,
            replicas=replicas,
            incarnation=incarnation,
        )
        self.state = ViewState(
            view=View(0),
            log_view=View(0),
            commit=Op(0),
            epoch=0,
            members=(0,) * replicas,
            headers=(),
        )

    def headers(self) -> tuple[Header, ...]:
        return tuple(self.frames[op].header for op in sorted(self.frames))

    def recovered(self) -> Recovered:
        block = Superblock(
            sequence=1,
            parent=NO_HASH,
            identity=self.identity,
            view_state=self.state,
            snapshot=SnapshotRef(),
        )
        return Recovered(
            superblock=block,
            base=None,
            headers=self.headers(),
            faulty=tuple(sorted(self.rotten)),
            head_certain=self.head_certain,
        )


class Site:
    """One replica, its disk and what came out of it."""

    def __init__(self, group: "Group", index: int) -> None:
        self.group = group
        self.index = index
        self.disk = Disk(index, group.replicas)
        self.replica: Replica | None = None
        self.held = False
        self.writes: deque[fx.Effect] = deque()
        self.inbox: deque[ev.Event] = deque()
        self.committed: list[Frame] = []
        self.heads = [NO_HASH]
        self.ready_reads: dict[int, Op | None] = {}
        self.roles: list[fx.RoleChanged] = []
        self.halted: fx.Halt | None = None
        self.asked: list[fx.Effect] = []
        self.wall_offset = 0

    @property
    def live(self) -> Replica:
        assert self.replica is not None
        return self.replica

    def start(self) -> None:
        config = Config(
            cluster=CLUSTER,
            group=GROUP,
            index=self.index,
            replicas=self.group.replicas,
            kernel=1,
            transfer_ops=self.group.transfer_ops,
            eager_bytes=EAGER_BYTES,
        )
        self.committed = []
        self.heads = [NO_HASH]
        self.halted = None
        self.replica = Replica(config, self.disk.recovered(), Random(self.group.prng.random()))
        self.tick()

    def crash(self) -> None:
        """Lose everything that is not durable."""
        self.replica = None
        self.writes.clear()
        self.inbox.clear()

    def tick(self) -> None:
        wall = EPOCH_NS + self.group.now + self.wall_offset
        self.step(ev.Tick(SECOND_NS + self.group.now, wall))

    def step(self, event: ev.Event) -> None:
        if self.replica is None:
            return
        for effect in self.replica.step(event):
            self.perform(effect)

    def perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Send(to=to, message=message):
                self.group.carry(self.index, to, message)
            case fx.WriteFrames() | fx.CutLog() | fx.WriteViewState() | fx.RepairFrame():
                self.writes.append(effect)
            case fx.Commit(frame=frame):
                assert frame.header.op == len(self.committed) + 1
                self.committed.append(frame)
                self.group.agreed(frame)
                self.heads.append(outcome.chain(self.heads[-1], [frame.header.hash]))
                stamped = frame.header.outcomes
                assert stamped == self.heads[frame.header.commit]
                self.live.applied(frame.header.op, self.heads[-1])
                for text in texts(frame):
                    if text.startswith("replace "):
                        _, index, incarnation = text.split()
                        self.live.replace_member(int(index), int(incarnation), frame.header.op)
            case fx.ReadFrames():
                self.inbox.append(self.read_frames(effect))
            case fx.ReadHeaders(token=token, first=first, last=last):
                headers = self.read_headers(first, last)
                self.inbox.append(ev.HeadersRead(token, first, headers))
            case fx.ReadIndexReady(token=token, commit=commit):
                self.ready_reads[token] = commit
            case fx.RoleChanged():
                self.roles.append(effect)
            case fx.Halt():
                self.halted = effect
            case _:
                self.asked.append(effect)

    def read_headers(self, first: int, last: int) -> tuple[Header, ...]:
        found: list[Header] = []
        for op in range(first, last + 1):
            if op not in self.disk.frames or op in self.disk.rotten_records:
                break
            found.append(self.disk.frames[op].header)
        return tuple(found)

    def read_frames(self, effect: fx.ReadFrames) -> ev.FramesRead:
        found: list[Frame | None] = []
        size = 0
        for op in range(effect.first, effect.last + 1):
            frame = self.disk.frames.get(op)
            if frame is None:
                break
            size += len(frame.body)
            if found and size > effect.bytes_max:
                break
            lost = op in self.disk.rotten or op in self.disk.rotten_records
            found.append(None if lost else frame)
        return ev.FramesRead(effect.token, effect.first, tuple(found))

    def write_one(self) -> None:
        """Let the disk finish its oldest write."""
        effect = self.writes.popleft()
        match effect:
            case fx.WriteFrames(frames=frames):
                for frame in frames:
                    assert frame.header.op - 1 in self.disk.frames or frame.header.op == 1
                    assert frame.header.op - 1 == max(self.disk.frames, default=0)
                    self.disk.frames[frame.header.op] = frame
                last = frames[-1].header
                self.inbox.append(ev.FramesWritten(last.op, last.hash))
            case fx.CutLog(after=after):
                for op in [op for op in self.disk.frames if op > after]:
                    del self.disk.frames[op]
                    self.disk.rotten.discard(op)
                self.inbox.append(ev.LogCut(after))
            case fx.WriteViewState(number=number, state=state):
                self.disk.state = state
                if state.recovering == 0 and self.live.status == Status.NORMAL:
                    self.disk.head_certain = True
                self.inbox.append(ev.ViewStateWritten(number))
            case fx.RepairFrame(frame=frame):
                assert self.disk.frames[frame.header.op].header.hash == frame.header.hash
                self.disk.rotten.discard(frame.header.op)
                self.disk.rotten_records.discard(frame.header.op)
                self.inbox.append(ev.FrameRepaired(frame.header.op, frame.header.hash))


class Group:
    """The replicas and the network between them."""

    def __init__(self, replicas: int = 3, seed: int = 1, start: bool = True) -> None:
        self.replicas = replicas
        self.transfer_ops = 20_000
        self.prng = Random(seed)
        self.now = 0
        self.wire: deque[tuple[int, int, Message]] = deque()
        self.cut_links: set[tuple[int, int]] = set()
        self.filter: Callable[[int, int, Message], bool] = lambda _from, _to, _message: True
        self.sent: list[tuple[int, int, Message]] = []
        self.canon: list[bytes] = []
        self.sites = [Site(self, index) for index in range(replicas)]
        if start:
            for site in self.sites:
                site.start()
            self.settle()

    def agreed(self, frame: Frame) -> None:
        """Every replica, in all its lives, commits the same."""
        op = frame.header.op
        if op <= len(self.canon):
            assert self.canon[op - 1] == frame.header.hash, f"op {op} was agreed on twice"
        else:
            assert op == len(self.canon) + 1
            self.canon.append(frame.header.hash)

    def carry(self, source: int, to: int, message: Message) -> None:
        """Put a message on the wire, as bytes would arrive."""
        self.check_gate(source, message)
        again = messages.decode(b"".join(messages.encode(message)))
        assert again == message
        self.sent.append((source, to, again))
        if (source, to) not in self.cut_links and self.filter(source, to, again):
            self.wire.append((source, to, again))

    def check_gate(self, source: int, message: Message) -> None:
        """Nothing leaves that implies what a crash right now would forget."""
        state = self.sites[source].disk.state
        frames = self.sites[source].disk.frames
        if isinstance(message, messages.PrepareOk):
            assert state.view == state.log_view == message.view
            assert message.op == 0 or frames[message.op].header.hash == message.hash
            assert not state.recovering
        if isinstance(message, messages.DoViewChange):
            assert state.view == message.view and state.log_view == message.log_view
            assert state.headers == message.headers
        if isinstance(message, messages.StartView | messages.Prepare | messages.Heartbeat):
            assert state.view == state.log_view == message.view
        if isinstance(message, messages.StartViewChange):
            assert state.view == message.view

    def settle(self, limit: int = 100_000) -> None:
        """Run until nothing is left to do without time passing."""
        for _ in range(limit):
            busy = False
            for site in self.sites:
                if site.replica is None:
                    continue
                if site.inbox:
                    site.step(site.inbox.popleft())
                    busy = True
                elif site.writes and not site.held:
                    site.write_one()
                    busy = True
            if self.wire:
                _, to, message = self.wire.popleft()
                self.sites[to].step(ev.Received(message))
                busy = True
            if not busy:
                return
        raise AssertionError("the group does not come to rest")

    def run(self, milliseconds: int) -> None:
        """Let time pass, tick by tick."""
        for _ in range(milliseconds // 10):
            self.now += 10 * MS_NS
            for site in self.sites:
                site.tick()
            self.settle()

    def until(self, condition: Callable[[], bool], milliseconds: int = 10_000) -> int:
        """Let time pass until something is so; return how much did."""
        started = self.now
        while not condition():
            assert self.now - started < milliseconds * MS_NS, "it never happened"
            self.run(10)
        return (self.now - started) // MS_NS

    def primary(self) -> Site:
        """The one that takes proposals, waiting for it if need be."""
        self.until(lambda: any(s.replica is not None and s.live.is_primary for s in self.sites))
        found = [s for s in self.sites if s.replica is not None and s.live.is_primary]
        return max(found, key=lambda site: site.live.view)

    def propose(self, *words: str) -> None:
        """Hand requests to the primary and let the group work."""
        self.primary().step(ev.Proposed(tuple(proposal(word) for word in words)))
        self.settle()

    def words(self, index: int) -> list[str]:
        """What a replica has committed in this life."""
        return [text for frame in self.sites[index].committed for text in texts(frame)]

    def partition(self, *indexes: int) -> None:
        """Cut these off from the others, both ways."""
        inside = set(indexes)
        for a in range(self.replicas):
            for b in range(self.replicas):
                if (a in inside) != (b in inside):
                    self.cut_links.add((a, b))

    def heal(self) -> None:
        """Mend all links."""
        self.cut_links.clear()
        self.filter = lambda _from, _to, _message: True

    def same_logs(self) -> None:
        """All live replicas hold the same frames."""
        logs = [site.disk.headers() for site in self.sites if site.replica is not None]
        assert all(log == logs[0] for log in logs)
        assert sha256(b"".join(header.hash for header in logs[0])).digest()

    def statuses(self) -> list[Status]:
        """The status of each live replica."""
        return [site.live.status for site in self.sites if site.replica is not None]


def copy_headers(headers: Iterable[Header], **changes: object) -> tuple[Header, ...]:
    """The same headers with something changed, hashes left as they are."""
    return tuple(msgspec.structs.replace(header, **changes) for header in headers)
