"""Links that delay, lose, repeat, reorder, damage and misdirect what is sent, and partitions.

An endpoint is a number: nodes from 0, clients from `CLIENTS`. What travels between nodes is bytes,
so that damage is damage of bytes; the receiver's decoder has to notice.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from simulation.choices import PPM
from simulation.world import MS, SECOND, World

CLIENTS = 1000
SELDOM_SENT = ("Replaced",)
"""Of these kinds hardly a message would ever go astray by the rate of all."""
DAMAGED = "damaged"
"""In the tag of a packet whose bytes are not what was sent: only for whoever checks."""


class NetworkPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What links do. Times in ns, rates per million."""

    delay_min: int = 50_000
    delay_mean: int = 300_000
    heavy_ppm: int = 0
    """A few packets take a hundred times as long."""
    loss_ppm: int = 0
    burst_ppm: int = 0
    """How often a link turns bad; then most of the next packets are lost."""
    burst_packets: int = 1
    """How many packets a link is bad for, on the mean."""
    twice_ppm: int = 0
    replay_ppm: int = 0
    """A packet comes again seconds to minutes later, whoever lives there then."""
    damage_ppm: int = 0
    astray_ppm: int = 0
    """Delivered to another node than the one it was meant for."""
    big_lost_bytes: int = 0
    """Packets above this size never arrive while the fault lasts; 0 for no limit."""


class Packet(msgspec.Struct, frozen=True):
    """One thing on its way. `data` is what may be damaged; `tag` travels safely beside it."""

    source: int
    target: int
    tag: object
    data: bytes

    @property
    def link(self) -> tuple[int, int]:
        """From where to where."""
        return self.source, self.target


def as_tuple(tag: object) -> tuple[object, ...]:
    """A tag that can be added to."""
    return tag if isinstance(tag, tuple) else (tag,)


class Network:
    """All links of a run."""

    def __init__(self, world: World, plan: NetworkPlan, nodes: int) -> None:
        """Deliver nothing until `receive` is set."""
        self._world = world
        self._nodes = nodes
        self.plan = plan
        self.receive: Callable[[Packet], None] = lambda packet: None
        self.watch: Callable[[Packet], None] | None = None
        self.slow: dict[int, int] = {}
        """How much longer packets take from and to a node, ns."""
        self._blocked: set[tuple[int, int]] = set()
        self._clogged: set[tuple[int, int]] = set()
        self._held: list[Packet] = []
        self._bad: set[tuple[int, int]] = set()
        self._oversize_from: int | None = None
        self._kinds: tuple[str, ...] = ()
        self._kinds_from: int | None = None

    def send(self, packet: Packet) -> None:
        """Put a packet on its link."""
        choices, plan, world = self._world.choices, self.plan, self._world
        if self.watch is not None:
            self.watch(packet)
        if self._loses(packet):
            return
        delay = plan.delay_min + choices.exponential("net.delay", plan.delay_mean)
        if plan.heavy_ppm and choices.chance("net.heavy", plan.heavy_ppm):
            world.count("fault.heavy")
            delay *= 100
        if self.slow:
            delay += self.slow.get(packet.source, 0) + self.slow.get(packet.target, 0)
        world.after(delay, self._arrive, self._maybe_spoil(packet))
        if plan.twice_ppm and choices.chance("net.twice", plan.twice_ppm):
            world.count("fault.twice")
            delay += choices.exponential("net.delay", plan.delay_mean)
            world.after(delay, self._arrive, packet)
        if plan.replay_ppm and choices.chance("net.replay", plan.replay_ppm):
            world.count("fault.replay")
            later = choices.log_uniform("net.replay.delay", SECOND // 2, 60 * SECOND)
            world.after(later, self._arrive, packet)

    def _loses(self, packet: Packet) -> bool:
        choices, plan, world = self._world.choices, self.plan, self._world
        if plan.loss_ppm and choices.chance("net.loss", plan.loss_ppm):
            world.count("fault.loss")
            return True
        if plan.burst_ppm and self._in_burst(packet.link):
            world.count("fault.burst")
            return True
        if packet.source == self._oversize_from and len(packet.data) > plan.big_lost_bytes > 0:
            world.count("fault.oversize")
            return True
        if self._kinds and self._kinds_from in (None, packet.source):
            tag = packet.tag
            if type(tag) is tuple and tag[2] in self._kinds:
                world.count("fault.kind-loss")
                return True
        return False

    def _in_burst(self, link: tuple[int, int]) -> bool:
        """Whether a packet falls into a time in which its link loses most (Gilbert and Elliott)."""
        choices = self._world.choices
        if link not in self._bad:
            if choices.chance("net.burst", self.plan.burst_ppm):
                self._bad.add(link)
            return False
        if choices.chance("net.burst.end", PPM // self.plan.burst_packets):
            self._bad.discard(link)
        return choices.chance("net.burst.loss", 4 * PPM // 5)

    def _maybe_spoil(self, packet: Packet) -> Packet:
        """Flip bits, or change the address, where the draw says so."""
        choices, plan = self._world.choices, self.plan
        if packet.target >= CLIENTS or packet.source >= CLIENTS:
            return packet
        astray = plan.astray_ppm
        if astray and type(packet.tag) is tuple and packet.tag[2] in SELDOM_SENT:
            astray = PPM // 2
        if astray and choices.chance("net.astray", astray):
            self._world.count("fault.astray")
            to = choices.choose("net.astray.to", self._nodes - 1)
            return replace(packet, target=to + (to >= packet.target))
        if plan.damage_ppm and packet.data and choices.chance("net.damage", plan.damage_ppm):
            self._world.count("fault.damage")
            data = bytearray(packet.data)
            for _ in range(choices.between("net.damage.bits", 1, 4)):
                bit = choices.choose("net.damage.at", len(data) * 8)
                data[bit // 8] ^= 1 << bit % 8
            if data == packet.data:
                return packet
            return replace(packet, data=bytes(data), tag=(*as_tuple(packet.tag), DAMAGED))
        return packet

    def _arrive(self, packet: Packet) -> None:
        if self._blocked and packet.link in self._blocked:
            self._world.count("net.blocked")
            return
        if self._clogged and packet.link in self._clogged:
            self._world.count("fault.clog")
            self._held.append(packet)
            return
        self.receive(packet)

    # -- partitions

    def block(self, pairs: set[tuple[int, int]]) -> None:
        """Cut these directed links, beside those cut before."""
        self._blocked |= pairs

    def lose_big_from(self, source: int | None) -> None:
        """From this node, large packets are lost and small ones arrive."""
        self._oversize_from = source

    def lose_kinds(self, kinds: tuple[str, ...], source: int | None) -> None:
        """Messages of these kinds are lost, from one node or (None) from all."""
        self._kinds, self._kinds_from = kinds, source

    def clog(self, links: set[tuple[int, int]]) -> None:
        """Hold back what comes through these links."""
        self._clogged |= links

    def release(self) -> None:
        """Let go of all that was held back, the links in any order, at once."""
        held, self._held = self._held, []
        self._clogged.clear()
        first = {link: at for at, link in enumerate(dict.fromkeys(p.link for p in held))}
        order = self._world.choices.sample("clog.order", list(first.values()), len(first))
        for packet in sorted(held, key=lambda packet: order[first[packet.link]]):
            self._world.after(0, self._arrive, packet)

    def heal(self) -> None:
        """Every link works again."""
        self._blocked.clear()
        self._oversize_from = None
        self._kinds = ()

    def calm(self) -> None:
        """No more faults: what is on its way still arrives, all else is quick and certain."""
        self.heal()
        self.release()
        self.slow.clear()
        mean = min(self.plan.delay_mean, 2 * MS)
        self.plan = NetworkPlan(delay_min=self.plan.delay_min, delay_mean=mean)

    def is_blocked(self, source: int, target: int) -> bool:
        """Whether the link is cut in this direction."""
        return (source, target) in self._blocked


SHAPES = (
    *("alone", "island", "halves", "one-way", "bridge", "ring", "partial", "clients", "deaf"),
)


def cut(world: World, nodes: int, clients: int, victim: int) -> tuple[str, set[tuple[int, int]]]:
    """Draw a partition, of one node from the others for the most part: its name and the links."""
    choices = world.choices
    everyone = [*range(nodes), *(CLIENTS + client for client in range(clients))]
    shape = choices.pick("cut.shape", SHAPES)
    others = [end for end in range(nodes) if end != victim]
    if shape == "alone":
        rest = [end for end in everyone if end != victim]
        return shape, {pair for end in rest for pair in ((victim, end), (end, victim))}
    if shape == "island":
        # Clients still reach it.
        return shape, {pair for end in others for pair in ((victim, end), (end, victim))}
    if shape == "halves":
        side = {end for end in everyone if choices.chance("cut.side", PPM // 2)}
        return shape, {(a, b) for a in everyone for b in everyone if (a in side) != (b in side)}
    if shape == "one-way" and others:
        return shape, {(victim, choices.pick("cut.other", others))}
    if shape == "bridge":
        # Only the victim hears everybody.
        return shape, {(a, b) for a in others for b in others if a != b}
    if shape == "ring":
        # Everybody hears only the one before.
        return shape, {
            (a, b) for a in range(nodes) for b in range(nodes) if a != b and (a + 1) % nodes != b
        }
    if shape == "partial":
        pairs = [(a, b) for a in range(nodes) for b in range(a)]
        gone = [pair for pair in pairs if choices.chance("cut.pair", PPM // 2)]
        return shape, {link for a, b in gone for link in ((a, b), (b, a))}
    if shape == "deaf":
        return shape, {(end, victim) for end in others}
    reached = [end for end in everyone if end >= CLIENTS]
    return "clients", {pair for end in reached for pair in ((victim, end), (end, victim))}
