"""What goes wrong, and when: each class of faults at its own rate, within a budget.

The budget keeps a run recoverable. Either frames rot anywhere, but none on two replicas at a time;
or all kinds of things rot, but on one machine. A disk is emptied only while all else is whole.
"""

from collections.abc import Callable

from simulation.checkers.base import Replica
from simulation.cluster import Box, Cluster
from simulation.network import cut
from simulation.operator import Operator
from simulation.topology import Group
from simulation.world import MS, SECOND
from veritydb.storage import names, superblock
from veritydb.storage.disk import DiskError
from veritydb.storage.journal import RECORD_BYTES
from veritydb.types.frame import Header
from veritydb.types.ids import Op
from veritydb.types.limits import MIB
from veritydb.vsr.events import StepDown

WIPES_MAX = 1
YEAR = 365 * 24 * 3600 * SECOND


class Nemesis:
    """Draws faults until it is told to stop."""

    def __init__(self, cluster: Cluster, operator: Operator, clients: int) -> None:
        """Nothing happens before `start`."""
        self._cluster = cluster
        self._world = cluster.world
        self._choices = cluster.world.choices
        self._plan = cluster.plan
        self._operator = operator
        self._clients = clients
        self._stopped = False
        self._strikes = dict.fromkeys(self._plan.nemeses, 0)
        operator.replaced = self._replaced
        self._victim = self._choices.choose("rot.victim", len(cluster.boxes))
        self._rot_all = self._choices.choose("rot.all", 2) == 1
        self._wipes = 0
        self._late: list[int] | None = None
        self._faults: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "crash-inside": self._crash_inside,
            "power-cut": self._power_cut,
            "pause": self._pause,
            "cut": self._cut,
            "oversize": self._oversize,
            "clock": self._clock,
            "rot": self._rot,
            "disk-error": self._disk_error,
            "disk-full": self._disk_full,
            "step-down": self._step_down,
            "wipe": self._wipe,
        }

    def start(self) -> None:
        """Begin to draw."""
        for name in self._plan.nemeses:
            self._again(name)

    def stop(self) -> None:
        """No more faults; what was broken is mended, what is down comes up."""
        self._stopped = True
        self._cluster.network.calm()
        for disk in self._cluster.disks.values():
            disk.capacity = None
            disk.errors = {}
        for box in self._cluster.boxes:
            box.crash_in = None
            box.clock.correct()
            box.resume()
            box.start()

    def _again(self, name: str) -> None:
        delay = self._choices.exponential("nemesis." + name, self._plan.nemeses[name])
        self._world.after(delay, self._strike, name)

    def _strike(self, name: str) -> None:
        if self._stopped:
            return
        self._strikes[name] += 1
        self._choices.apart(f"{name}#{self._strikes[name]}", self._faults[name])
        self._again(name)

    def _box(self, label: str) -> Box:
        return self._choices.pick(label, self._cluster.boxes)

    def _up(self, label: str) -> Box | None:
        running = [box for box in self._cluster.boxes if box.up and not box.paused]
        return self._choices.pick(label, running) if running else None

    # -- processes

    def _crash(self) -> None:
        box = self._up("crash.who")
        if box is not None:
            box.crash("killed")
            self._world.after(self._cluster.downtime(), box.start)

    def _crash_inside(self) -> None:
        """Between two effects of some later step, or two operations of the disk."""
        box = self._up("crash.who")
        if box is None:
            return
        self._world.count("crashes.inside")
        if self._choices.choose("crash.where", 2) or not box.hosts:
            box.crash_in = self._choices.choose("crash.effect", 12)
        else:
            host = self._choices.pick("crash.host", list(box.hosts.values()))
            self._cluster.disks[host.key].fail_after(self._choices.choose("crash.operation", 12))

    def _power_cut(self) -> None:
        """All machines at once."""
        self._world.count("power-cuts")
        for box in self._cluster.boxes:
            if box.up:
                box.crash("power cut")
                self._world.after(self._cluster.downtime(), box.start)

    def _pause(self) -> None:
        box = self._up("pause.who")
        if box is not None:
            self._world.count("pauses")
            box.pause()
            long = self._choices.log_uniform("pause.long", 20 * MS, 5 * SECOND)
            self._world.after(long, box.resume)

    def _step_down(self) -> None:
        box = self._up("step-down.who")
        if box is not None and box.hosts:
            host = self._choices.pick("step-down.host", list(box.hosts.values()))
            box.run(box.life, host.step, StepDown())

    # -- the network

    def _cut(self) -> None:
        shape, links = cut(self._world, len(self._cluster.boxes), self._clients)
        self._world.count("cuts")
        self._world.note("network", (), "cut", shape)
        self._cluster.network.block(links)
        self._heal_later()

    def _oversize(self) -> None:
        box = self._box("oversize.who")
        self._world.note("network", (), "loses what is big from", box.name)
        self._cluster.network.lose_big_from(box.index)
        self._heal_later()

    def _heal_later(self) -> None:
        long = self._choices.log_uniform("cut.long", 50 * MS, 4 * SECOND)
        self._world.after(long, self._heal)

    def _heal(self) -> None:
        self._world.note("network", (), "heal")
        self._cluster.network.heal()

    # -- clocks

    def _clock(self) -> None:
        box = self._box("clock.who")
        what = self._choices.choose("clock.what", 5)
        self._world.count("clock-faults")
        if what == 0:
            box.clock.freeze()
        elif what == 1:
            box.clock.correct()
        else:
            # A quorum of clocks is believed: what it once said, log time can never take back. So
            # only one clock at a time may be far ahead, and none where it is the only one.
            others = [each.clock.led for each in self._cluster.boxes if each is not box]
            most = YEAR if max(others, default=YEAR) <= 5 * SECOND else 5 * SECOND
            far = self._choices.log_uniform("clock.far", MS, most)
            box.clock.jump(far if self._choices.choose("clock.sign", 2) else -far)

    # -- disks

    def _rot(self) -> None:
        """Damage something, at any moment or at the worst one."""
        group = self._choices.pick("rot.group", self._cluster.groups)
        index = self._choices.choose("rot.index", len(group.nodes))
        if self._rot_all:
            if self._victim not in group.nodes:
                return
            index = group.nodes.index(self._victim)
        if self._choices.choose("rot.moment", 2):
            self._damage(group, index)
        else:
            self._squeeze(group, index, self._damage)

    def _squeeze(self, group: Group, index: int, strike: Callable[[Group, int], None]) -> None:
        """Let one replica be all that the next quorum has of the last one, and strike it.

        A minority sleeps, or is cut off from all but the clients, while the rest goes on; then the
        rest is away and the minority is back.
        """
        others = [node for at, node in enumerate(group.nodes) if at != index]
        late = self._choices.sample("squeeze.late", others, len(group.nodes) // 2)
        if self._choices.choose("squeeze.how", 2):
            for node in late:
                self._cluster.boxes[node].pause()
        else:
            rest = [node for node in group.nodes if node not in late]
            self._cluster.network.block({(a, b) for a in late for b in rest})
            self._cluster.network.block({(b, a) for a in late for b in rest})
        delay = self._choices.log_uniform("squeeze.long", 20 * MS, 3 * SECOND)
        self._world.after(delay, self._squeezed, group, index, late, strike)

    def _squeezed(
        self, group: Group, index: int, late: list[int], strike: Callable[[Group, int], None]
    ) -> None:
        if self._stopped:
            return
        self._world.count("squeezes")
        self._heal()
        strike(group, index)
        for at, node in enumerate(group.nodes):
            box = self._cluster.boxes[node]
            if node in late:
                box.resume()
                continue
            box.crash("squeezed")
            stay = SECOND // 10 if at == index else SECOND + self._cluster.downtime()
            self._world.after(self._choices.exponential("squeeze.stay", stay), box.start)

    def _damage(self, group: Group, index: int) -> None:
        """Rot in something that was synced: a frame, or on one machine a record or superblock."""
        key: Replica = (group.number, index)
        what = self._choices.choose("rot.what", 5)
        if self._operator.busy(group.number) or self._gaps(group):
            return
        header = self._rot_where(group, key)
        if header is None:
            return
        if what >= 2 or not self._rot_all:
            at = header.position + self._choices.choose("rot.at", 224 + header.body_len)
            self._rot_bit(key, header, names.segment(header.segment), at)
        elif what >= 1:
            at = header.op * RECORD_BYTES + self._choices.choose("rot.record", 200)
            self._cluster.ruined.add(key)
            self._rot_bit(key, header, names.JOURNAL, at)
            if self._choices.choose("rot.both", 2):
                at = header.position + self._choices.choose("rot.at", 224 + header.body_len)
                self._rot_bit(key, header, names.segment(header.segment), at)
        else:
            # One copy of four; a write may tear two more, so the replica may be lost.
            at = self._choices.choose("rot.copy", 4) * superblock.COPY_BYTES
            at += self._choices.choose("rot.superblock", 1024)
            self._cluster.ruined.add(key)
            self._rot_bit(key, header, names.SUPERBLOCK, at)

    def _rot_where(self, group: Group, key: Replica) -> Header | None:
        """Choose an op that is durable there and rotten nowhere else: mostly one of the last."""
        host = self._cluster.boxes[group.nodes[key[1]]].hosts.get(group.number)
        log = self._cluster.watch.log.get(group.number, [])
        header = None
        if host is not None and self._choices.choose("rot.tail", 3):
            op = Op(max(1, host.store.head - self._choices.choose("rot.back", 3)))
            header = next(iter(host.store.read_headers(op, op)), None)
        elif log:
            header = log[self._choices.choose("rot.op", len(log))].header
        if header is None or not self._cluster.survives(key, header):
            return None
        elsewhere = any(at == (key[0], header.op) for at in self._rotten_ops())
        return None if elsewhere else header

    def _gaps(self, group: Group) -> bool:
        """Whether a replica of the group lacks ops that a peer's snapshot stood for."""
        return any(key[0] == group.number for key in self._cluster.gaps)

    def _rotten_ops(self) -> list[tuple[int, int]]:
        return [(key[0], op) for key, op in self._cluster.rotten]

    def _rot_bit(self, key: Replica, header: Header, name: str, at: int) -> None:
        self._world.count("rot." + name.split("/")[0])
        self._world.note(f"g{key[0]}r{key[1]}", (), "rot at op", header.op, name, at)
        if name != names.SUPERBLOCK:
            self._cluster.rotten[(key, header.op)] = header.hash
        mask = 1 << self._choices.choose("rot.bit", 8)
        self._cluster.disks[key].rot(name, at, mask)

    def _replaced(self, group: Group, index: int) -> None:
        """A replacement is about to start, with an empty disk."""
        late, self._late = self._late, None
        if late is not None and not self._stopped:
            self._squeezed(group, index, late, lambda group, index: None)

    def _disk_error(self) -> None:
        box = self._up("error.who")
        if box is None or not box.hosts:
            return
        host = self._choices.pick("error.host", list(box.hosts.values()))
        disk = self._cluster.disks[host.key]
        self._world.count("disk-errors")
        at = disk.operations + self._choices.choose("error.when", 20)
        disk.errors[at] = DiskError("planned")

    def _disk_full(self) -> None:
        box = self._box("full.who")
        self._world.count("disk-full")
        for group in self._cluster.groups:
            if box.index in group.nodes:
                key = (group.number, group.nodes.index(box.index))
                disk = self._cluster.disks[key]
                disk.capacity = disk.used() + self._choices.choose("full.left", 2) * MIB
                self._world.after(
                    self._choices.log_uniform("full.long", 100 * MS, 5 * SECOND), self._space, key
                )

    def _space(self, key: Replica) -> None:
        self._cluster.disks[key].capacity = None

    def _wipe(self) -> None:
        """A disk is lost and replaced by an empty one."""
        group = self._choices.pick("wipe.group", self._cluster.groups)
        index = self._choices.choose("wipe.index", len(group.nodes))
        broken = {key[0] for key, _ in self._cluster.rotten} | {g for g, _ in self._cluster.ruined}
        whole = group.number not in broken and not self._gaps(group)
        if len(group.nodes) < 3 or self._wipes >= WIPES_MAX or not whole:
            return
        self._wipes += 1
        self._world.count("wipes")
        if self._choices.choose("wipe.moment", 2):
            others = [node for at, node in enumerate(group.nodes) if at != index]
            self._late = self._choices.sample("wipe.late", others, len(group.nodes) // 2)
            for node in self._late:
                self._cluster.boxes[node].pause()
        self._operator.replace(group, index)
