"""The machines of a run: what is running, what is down, what a restart finds."""

from collections.abc import Callable
from typing import Any

from simulation import power
from simulation.calls import Call, ReadCall
from simulation.checkers.base import Replica, Watch
from simulation.choices import PPM
from simulation.clocks import Clock
from simulation.disk import PowerCut, SimDisk
from simulation.evidence import Evidence
from simulation.facts import start_of
from simulation.host import Died, Halted, Host, Machine
from simulation.index import Index
from simulation.ledger import Ledger
from simulation.network import DAMAGED, Network, Packet
from simulation.once import command
from simulation.plan import CLOCK_FAULTS, NODES, Plan
from simulation.topology import CLUSTER, Group, directory, groups
from simulation.world import MS, Failure, World
from veritydb.kernel.state import KERNEL_VERSION, genesis
from veritydb.node import events as ev
from veritydb.node.config import NodeConfig
from veritydb.node.node import Node
from veritydb.storage import journal, names
from veritydb.storage.disk import DiskError, DiskFull
from veritydb.storage.errors import Damaged, NotFormatted
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.store import Store
from veritydb.types.durable import Identity
from veritydb.types.frame import Frame, Header
from veritydb.types.limits import KIB
from veritydb.vsr import events as vsr_ev
from veritydb.vsr.config import Config as VsrConfig
from veritydb.vsr.config import Status

EAGER_BYTES = 2 * KIB, 64 * KIB
"""What must wait before another op is begun, where limits are small and where not."""
PEER_LOST_PPM = 800_000
MACHINE_PPM = 667_000
"""How many processes that end take their machine with them, and what was not synced."""
RETRY_START = 100 * MS
SCRUB_EVERY = 300 * MS
UNKNOWN_KERNEL = "needs kernel version"
NAMED_IN_SUPERBLOCK = (ev.SuperblockWritten, vsr_ev.SnapshotInstalled, vsr_ev.GapClosed)


class Misread(Exception):
    """A start came to nothing because of a read that would come out right now."""


class Box(Machine):
    """One machine: a process that comes and goes, disks that stay, a clock that runs on."""

    def __init__(self, cluster: "Cluster", index: int, clock: Clock) -> None:
        """Switched off."""
        self.cluster = cluster
        self.world = cluster.world
        self.index = index
        self.name = f"node{index}"
        self.clock = clock
        self.life = 0
        self.up = False
        self.paused = False
        self.crash_in: int | None = None
        self.gone = False
        """Whether it stays away until everything heals."""
        self.slow = 0
        """How much longer its disk takes than usual, ns."""
        self.newest = False
        """Whether its program knows the next kernel version, and announces it."""
        self.hosts: dict[int, Host] = {}
        self.lost: set[int] = set()
        """Groups whose replica here cannot start: its disk was destroyed."""
        self._inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    @property
    def leads(self) -> bool:
        """Whether one of its replicas is a primary."""
        return any(host.node.role == "primary" for host in self.hosts.values())

    # -- the process

    def start(self) -> None:
        """Start the process: every replica from what its disk holds."""
        if self.up or self.gone:
            return
        if not self.cluster.may_start(self):
            self.world.after(RETRY_START, self.start)
            return
        self.life += 1
        self.up = True
        self.paused = False
        self.crash_in = None
        self.world.note(self.name, (), "start")
        try:
            for group in self.cluster.groups:
                if self.index in group.nodes and group.number not in self.lost:
                    self._start_replica(group)
        except (DiskFull, DiskError, PowerCut, Died, Misread) as error:
            self.world.count("starts.failed")
            self.crash(type(error).__name__)
            self.world.after(RETRY_START, self.start)
            return
        self._tick()
        self.cluster.announce(self, up=True)

    def _start_replica(self, group: Group) -> None:
        index = group.nodes.index(self.index)
        misread = self.world.counts.get("fault.misread", 0)
        try:
            host = self.cluster.open(self, group, index)
        except (Damaged, NotFormatted) as error:
            self.world.note(self.name, (), "refused to start", error)
            if self.world.counts.get("fault.misread", 0) > misread:
                # What it read was wrong, and will not be when it is read again.
                raise Misread from error
            if (group.number, index) not in self.cluster.ruined:
                raise Failure("refused-to-start", f"{(group.number, index)}: {error}") from error
            self.world.count("starts.refused")
            self.lost.add(group.number)
            self.cluster.damaged(group, index)
            return
        self.hosts[group.number] = host

    def crash(self, why: str, machine: bool = True) -> None:
        """The process ends at once, and if its `machine` does too, what was not synced is lost."""
        if not self.up:
            return
        self.world.count("crashes")
        self.world.note(self.name, (), "crash", why)
        self.up = False
        self.paused = False
        self.crash_in = None
        self._inbox.clear()
        for host in self.hosts.values():
            power.half_write(host, self.cluster.disks[host.key], self.world)
        if machine or not self.cluster.killed(self):
            for host in self.hosts.values():
                self.cluster.cut_power(host.key)
        self.hosts.clear()
        self.cluster.announce(self, up=False)

    def die(self, why: str) -> None:
        """The process ends at once. Often its machine goes on, and keeps what was written."""
        self.crash(why, machine=self.world.choices.chance("crash.machine", MACHINE_PPM))

    def pause(self) -> None:
        """The process stands still; time goes on."""
        if self.up:
            self.world.note(self.name, (), "pause")
            self.paused = True

    def resume(self) -> None:
        """The process goes on with what has piled up."""
        if not self.paused:
            return
        self.world.note(self.name, (), "resume")
        self.paused = False
        waiting, self._inbox = self._inbox, []
        for call, args in waiting:
            self.run(self.life, call, *args)

    # -- everything that happens in the process goes through here

    def run(self, life: int, call: Callable[..., None], *args: Any) -> None:
        """Call, unless the process it was meant for is gone."""
        if life != self.life or not self.up:
            return
        if self.paused:
            self._inbox.append((call, args))
            return
        try:
            call(*args)
        except (Died, DiskError, DiskFull, PowerCut) as error:
            self.die(f"{type(error).__name__} {error}")
            self.world.after(self.cluster.downtime(), self.start)
        except Damaged as error:
            # What is rotten was met while running: the restart decides what that means.
            if not any(host.key in self.cluster.ruined for host in self.hosts.values()):
                raise
            self.crash(f"Damaged {error}")
            self.world.after(self.cluster.downtime(), self.start)
        except Halted as halt:
            self.cluster.halted(self, halt)

    def post(self, delay: int, call: Callable[..., None], *args: Any) -> None:
        """Call later, unless this life of the machine is over by then."""
        self.world.after(delay, self.run, self.life, call, *args)

    def send(self, packet: Packet) -> None:
        """Put a packet on the network."""
        self.cluster.network.send(packet)

    def _tick(self) -> None:
        clock = self.clock
        self.world.after(clock.tick_delay, self.run, self.life, self._tick)
        event = vsr_ev.Tick(clock.mono(), clock.wall())
        for host in list(self.hosts.values()):
            host.step(event)

    def receive(self, packet: Packet) -> None:
        """A packet arrives."""
        if not self.up:
            self.world.count("net.nobody")
            return
        self.run(self.life, self._handle, packet)

    def _handle(self, packet: Packet) -> None:
        tag = packet.tag
        if type(tag) is tuple:
            # What went astray may meet only replicas of other groups: they have to refuse it.
            host = self.hosts.get(tag[1]) or next(iter(self.hosts.values()), None)
            if host is not None:
                host.receive(packet.data, DAMAGED in tag)
        elif isinstance(tag, Call):
            if tag.group in self.hosts:
                self.hosts[tag.group].call(packet.source, tag, packet.data)
        elif isinstance(tag, ReadCall) and tag.group in self.hosts:
            self.hosts[tag.group].read(packet.source, tag)


class Cluster(Evidence):
    """All machines of a run."""

    def __init__(self, world: World, plan: Plan, watch: Watch, network: Network) -> None:
        """Every replica has an empty, stamped directory; nothing runs."""
        self.world = world
        self.plan = plan
        self.watch = watch
        self.network = network
        self.groups = groups(plan.shape)
        self._directory = directory(plan.shape)
        self.disks: dict[Replica, SimDisk] = {}
        self.indexes: dict[Replica, Index] = {}
        self.incarnations: dict[Replica, int] = {}
        self.views: dict[Replica, tuple[int, int]] = {}
        self.gaps: set[Replica] = set()
        """Replicas that took a peer's snapshot and do not have all of the log before it yet."""
        self.frames: dict[bytes, Frame] = {}
        self.stored: dict[bytes, tuple[bytes, bytes]] = {}
        self.rotten: dict[tuple[Replica, int], bytes] = {}
        """The hashes of frames that were damaged on a disk and not yet repaired."""
        self.ruined: set[Replica] = set()
        """Replicas whose disk was damaged so that it may refuse to start."""
        self.suspects: set[Replica] = set()
        """Replicas whose disk may have taken back what it had called durable."""
        self.ledger = Ledger()
        self.outside: set[Replica] = set()
        self.given_up: set[tuple[int, int, int]] = set()
        self.retiring: set[Replica] = set()
        """Replicas that are being replaced: one that still runs has to stop itself."""
        self.replaced: set[Replica] = set()
        """Replicas whose disk was taken away and who got a successor."""
        self.to_client: Callable[[Packet], None] = lambda packet: None
        self.damaged: Callable[[Group, int], None] = lambda group, index: None
        """Called when a replica cannot start because its disk was damaged."""
        self.before_cut: Callable[[Replica, int], None] = lambda key, ops: None
        """Called when so many ops are about to be cut off a replica's log."""
        self.held_back: Callable[[Group, int], None] = lambda group, index: None
        """Called when one may not start yet because its disk may have forgotten."""
        self.boxes = [Box(self, index, self._clock()) for index in range(NODES[plan.shape])]
        for group in self.groups:
            for index in range(len(group.nodes)):
                self.format(group, index, 0)
        network.receive = self._receive

    def _clock(self) -> Clock:
        c, plan = self.world.choices, self.plan

        def within(label: str, bound: int) -> int:
            return c.between(label, -bound, bound) if bound else 0

        for fault in CLOCK_FAULTS:
            if plan.has(fault):
                self.world.count("fault." + fault)
        rate = PPM + within("clock.rate", plan.clock_rate_ppm)
        return Clock(
            self.world,
            rate_ppm=max(rate, PPM // 2),
            offset=within("clock.offset", plan.clock_offset),
            drift_ppm=within("clock.drift", plan.clock_drift_ppm),
        )

    # -- directories

    def identity(self, group: Group, index: int) -> Identity:
        """Who a replica is."""
        return Identity(
            cluster=CLUSTER,
            group=group.number,
            region=group.region,
            index=index,
            replicas=len(group.nodes),
            incarnation=self.incarnations[(group.number, index)],
        )

    def format(self, group: Group, index: int, incarnation: int) -> None:
        """Give a replica an empty disk and stamp it."""
        key = (group.number, index)
        self.incarnations[key] = incarnation
        self.ledger.begins(key)
        self.suspects.discard(key)
        self.ruined.discard(key)
        self.put_disk(key, SimDisk())
        self.indexes[key] = Index()
        self.views[key] = (0, 0)
        self.gaps.discard(key)
        Store.format(self.disks[key], self.identity(group, index))

    def put_disk(self, key: Replica, disk: SimDisk) -> None:
        """Have a replica use a disk."""
        self.disks[key] = disk
        disk.on_fault = lambda name: self.world.count("fault." + name)

    def may_start(self, box: Box) -> bool:
        """Whether enough others hold what this machine's disks may have forgotten."""
        for key in sorted(self.suspects - self.retiring):
            group = self.group(key[0])
            if group.nodes[key[1]] == box.index:
                others = [at for at in range(len(group.nodes)) if at != key[1]]
                witnesses = sum(self._vouches(group, at, key) for at in others)
                if witnesses <= len(group.nodes) // 2:
                    self.held_back(group, key[1])
                    return False
        return True

    def _vouches(self, group: Group, other: int, key: Replica) -> bool:
        host = self.boxes[group.nodes[other]].hosts.get(group.number)
        if host is None or host.node.replica.status is not Status.NORMAL:
            return False
        return self.ledger.vouches(host.key, host.store.head, key)

    def open(self, box: Box, group: Group, index: int) -> Host:
        """Start a replica as a server does: storage first, then the node."""
        key = (group.number, index)
        store, recovered = Store.open(self.disks[key], self.identity(group, index))
        ref = recovered.superblock.snapshot
        snapshot = list(store.read_snapshot()) if ref.op else None
        config = NodeConfig(
            vsr=VsrConfig(
                cluster=CLUSTER,
                group=group.number,
                index=index,
                replicas=len(group.nodes),
                kernel=KERNEL_VERSION + box.newest,
                transfer_ops=self.plan.transfer_ops,
                part_bytes=self.plan.part_bytes,
                eager_bytes=EAGER_BYTES[not self.plan.few],
            ),
            genesis=genesis(group.number, group.placement, self._directory),
            decode=command,
            snapshot_entries=self.plan.snapshot_ops,
            kernels=(KERNEL_VERSION, KERNEL_VERSION + 1)[: 1 + box.newest],
        )
        prng = self.world.choices.random(f"prng.{key}.{box.life}")
        node = Node(config, recovered, snapshot, prng)
        if key in self.suspects:
            self.watch.forgot(key)
        self.watch.begun(key, start_of(node, recovered, self.incarnations[key]))
        self.note_views(key)
        latencies = (self.plan.write_latency, self.plan.read_latency)
        return Host(self, box, group, index, store, node, latencies)

    # -- what happens to machines

    def announce(self, box: Box, up: bool) -> None:
        """Peers notice that a connection to this machine broke, or was made; mostly."""
        for other in self.boxes:
            if other is box or not other.up:
                continue
            if self.network.is_blocked(box.index, other.index):
                continue
            if self.world.choices.chance("peer.noticed", PEER_LOST_PPM):
                other.post(MS, self._noticed, other, box, up)

    def _noticed(self, other: Box, box: Box, up: bool) -> None:
        for group in self.groups:
            host = other.hosts.get(group.number)
            if host is not None and box.index in group.nodes:
                index = group.nodes.index(box.index)
                host.step(vsr_ev.PeerReached(index) if up else vsr_ev.PeerLost(index))

    def killed(self, box: Box) -> bool:
        """Only the process ended: the system keeps what it wrote. False where that is unknown.

        What a disk lied about is seen to be gone only when the power is.
        """
        disks = [self.disks[host.key] for host in box.hosts.values()]
        if not all(disk.honest for disk in disks):
            return False
        for disk in disks:
            disk.kill()
        self.world.count("crashes.process-only")
        return True

    def lose_cache(self, box: Box) -> None:
        """A machine ends on which nothing runs."""
        assert not box.up
        for key in self.disks:
            if self.group(key[0]).nodes[key[1]] == box.index:
                self.cut_power(key)

    def cut_power(self, key: Replica) -> None:
        """What was not synced is lost, kept, or torn."""
        power.cut(self.disks[key], self.world.choices)

    def halted(self, box: Box, halt: Halted) -> None:
        """A replica stopped itself for good, for a reason that is known and right."""
        for number, host in list(box.hosts.items()):
            if host.node.halted is None:
                continue
            if UNKNOWN_KERNEL in host.node.halted and not box.newest:
                self.world.count("fault.kernel")
                box.newest = True
                box.crash("upgraded")
                self.world.after(self.downtime(), box.start)
                return
            if host.key in self.retiring:
                self.world.count("halted.replaced")
            elif host.key in self.suspects:
                self.world.count("halted.forgot")
                self.world.after(0, self.damaged, host.group, host.index)
            else:
                raise Failure("halted", f"{host.name}: {halt}")
            box.lost.add(number)
            self.cut_power(host.key)
            del box.hosts[number]

    def downtime(self) -> int:
        """How long a crashed process stays away."""
        return self.world.choices.exponential("crash.down", self.plan.down)

    def _receive(self, packet: Packet) -> None:
        if packet.target < len(self.boxes):
            self.boxes[packet.target].receive(packet)
        else:
            self.to_client(packet)

    def group(self, number: int) -> Group:
        """The group of a number."""
        return next(group for group in self.groups if group.number == number)

    # -- what is durable, and what is not

    def cutting(self, host: Host, headers: list[Header]) -> None:
        """The writer is about to cut these off a log."""
        self.watch.erased(host.key, headers)
        if headers:
            self.before_cut(host.key, len(headers))

    def written(self, host: Host, event: ev.Event) -> None:
        """Something is durable, says the writer."""
        replica = host.node.replica
        if isinstance(event, vsr_ev.FramesWritten) and replica.primary == host.index:
            # Its own word counts too, and nobody hears it.
            self.ledger.acknowledged(host.key, replica.log_view, event.op)
        if isinstance(event, NAMED_IN_SUPERBLOCK):
            found = self.note_views(host.key)
            if isinstance(event, ev.SuperblockWritten):
                self.watch.remembered(host.key, event.number, found)
        elif isinstance(event, vsr_ev.HistoryWritten):
            self.mended(host.key, event.first)
        elif isinstance(event, vsr_ev.FrameRepaired):
            self.rotten.pop((host.key, event.op), None)

    def recorded(self, key: Replica, op: int) -> Header | None:
        """The header that a replica's journal names, now and without a read that may fail."""
        data = self.disks[key].surviving(names.JOURNAL, op * RECORD_BYTES, RECORD_BYTES)
        return journal.decode(data, op, self.identity(self.group(key[0]), key[1]))[1]

    def kernel_of(self, key: Replica) -> int:
        """The newest version of the kernel that a replica's program knows."""
        return KERNEL_VERSION + self.boxes[self.group(key[0]).nodes[key[1]]].newest

    def scrub(self) -> None:
        """Have everybody read all of its log, over and over, where some of it was damaged."""
        hurt = self.rotten or self.ruined or self.suspects
        for box in self.boxes if hurt else ():
            for host in list(box.hosts.values()):
                if len(host.group.nodes) > 1:
                    box.run(box.life, host.scrub)
        self.world.after(SCRUB_EVERY, self.scrub)
