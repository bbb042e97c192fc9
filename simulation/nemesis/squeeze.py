"""Let one replica be all that the next quorum has of the last one, then strike it."""

from collections.abc import Callable

from simulation.nemesis.stage import Stage
from simulation.topology import Group
from simulation.world import MS, SECOND

Hit = Callable[[Group, int], None]


class Squeeze:
    """The worst moment: chance alone seldom meets it."""

    def __init__(self, stage: Stage) -> None:
        """Nothing happens before `begin`."""
        self.stage = stage
        self.cluster = stage.cluster
        self.world = stage.world
        self.choices = stage.choices
        self.under_way = False
        """Whether a minority is away by `begin`."""

    def begin(self, group: Group, index: int, strike: Hit) -> None:
        """Send the minority away.

        A minority sleeps, or is cut off from all but the clients, while the rest goes on; then the
        rest is away and the minority is back.
        """
        others = [node for at, node in enumerate(group.nodes) if at != index]
        late = self.choices.sample("squeeze.late", others, len(group.nodes) // 2)
        if self.choices.choose("squeeze.how", 2):
            for node in late:
                self.cluster.boxes[node].pause()
        else:
            rest = [node for node in group.nodes if node not in late]
            self.cluster.network.block({(a, b) for a in late for b in rest})
            self.cluster.network.block({(b, a) for a in late for b in rest})
        self.under_way = True
        delay = self.choices.log_uniform("squeeze.long", 20 * MS, 3 * SECOND)
        self.world.after(delay, self.end, group, index, late, strike)

    def end(self, group: Group, index: int, late: list[int], strike: Hit) -> None:
        """Strike; the rest goes away and the minority comes back."""
        self.under_way = False
        if self.stage.stopped:
            return
        self.world.count("squeezes")
        self.cluster.network.heal()
        strike(group, index)
        for at, node in enumerate(group.nodes):
            box = self.cluster.boxes[node]
            if node in late:
                box.resume()
                continue
            box.crash("squeezed")
            stay = SECOND // 10 if at == index else SECOND + self.cluster.downtime()
            self.world.after(self.choices.exponential("squeeze.stay", stay), box.start)
