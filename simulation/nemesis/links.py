"""Links that are cut, stall, or lose what they are told to lose."""

from collections.abc import Mapping

from simulation.choices import PPM
from simulation.nemesis.stage import Family, Strike
from simulation.network import cut
from simulation.world import MS, SECOND

KINDS = (
    *(("Heartbeat",), ("Prepare",), ("PrepareOk",)) * 3,
    ("StartViewChange",),
    ("DoViewChange",),
    ("StartView",),
    ("Frames", "Headers"),
    ("Ping", "Pong"),
    ("SnapshotOffer", "SnapshotPart", "HistoryPart"),
)


class Links(Family):
    """What happens to the network as a whole, beside what each packet meets."""

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {
            "cut": self._cut,
            "clog": self._clog,
            "kind-loss": self._kind_loss,
            "oversize": self._oversize,
        }

    def stop(self) -> None:
        """Every link works, and quickly."""
        self.cluster.network.calm()

    def _cut(self) -> None:
        victim = self.stage.box("cut.victim")
        leaders = [box for box in self.cluster.boxes if box.leads]
        if leaders and self.choices.choose("cut.leader", 2):
            # One that does not know yet that it leads no more does the most harm.
            victim = self.choices.pick("cut.victim", leaders)
        nodes = len(self.cluster.boxes)
        shape, links = cut(self.world, nodes, self.stage.clients, victim.index)
        if links:
            self.stage.fired("cut")
            self.world.note("network", (), "cut", shape)
            self.cluster.network.block(links)
            self._heal_later()

    def _clog(self) -> None:
        """Some links hold back what is sent, and let go of all of it at once."""
        nodes = range(len(self.cluster.boxes))
        pairs = [(a, b) for a in nodes for b in nodes if a != b]
        links = [pair for pair in pairs if self.choices.chance("clog.link", PPM // 3)]
        if links:
            self.world.note("network", (), "clogged", len(links), "links")
            self.cluster.network.clog(set(links))
            long = self.choices.log_uniform("clog.long", 20 * MS, 1 * SECOND)
            self.world.after(long, self.cluster.network.release)

    def _kind_loss(self) -> None:
        """Messages of one kind get lost, from everybody or from one node."""
        kinds = self.choices.pick("kinds.what", KINDS)
        source = self.choices.choose("kinds.from", 2 * len(self.cluster.boxes))
        self.world.note("network", (), "loses", *kinds)
        everybody = source >= len(self.cluster.boxes)
        self.cluster.network.lose_kinds(kinds, None if everybody else source)
        self._heal_later()

    def _oversize(self) -> None:
        box = self.stage.box("oversize.who")
        leaders = [each for each in self.cluster.boxes if each.leads]
        if leaders and self.choices.choose("oversize.leader", 3):
            box = self.choices.pick("oversize.who", leaders)
        self.world.note("network", (), "loses what is big from", box.name)
        self.cluster.network.lose_big_from(box.index)
        self._heal_later()

    def _heal_later(self) -> None:
        long = self.choices.log_uniform("cut.long", 50 * MS, 2 * SECOND)
        self.world.after(long, self._heal)

    def _heal(self) -> None:
        if not self.stage.stopped:
            self.world.note("network", (), "heal")
            self.cluster.network.heal()
