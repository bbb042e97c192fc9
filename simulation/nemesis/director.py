"""Which fault strikes when: each class at its own rate, and each at least once in a run."""

from collections.abc import Callable

from simulation.cluster import Cluster
from simulation.nemesis.clocks import Clocks
from simulation.nemesis.core import Core
from simulation.nemesis.disks import Disks
from simulation.nemesis.links import Links
from simulation.nemesis.operations import Operations
from simulation.nemesis.processes import Processes
from simulation.nemesis.promises import Promises
from simulation.nemesis.rot import Rot
from simulation.nemesis.squeeze import Squeeze
from simulation.nemesis.stage import Stage
from simulation.operator import Operator
from simulation.world import MS, SECOND

PROD_EVERY = 100 * MS
PROD_AGAIN = 300 * MS
"""What has not struck is given so much time before it is tried again."""
PATIENCE = 1 * SECOND
"""Without an answer for so long, nothing new goes wrong until there is one. Likewise while a
replica waits to be replaced, or for others to hold what it may have forgotten."""
RELIEF = 2 * SECOND
"""After so long, what people can mend from outside is mended."""
MOST = 550
"""Of a thousand parts of a run: by then every class that was drawn begins to strike."""
LAST = ("gone",)
"""What comes when all else has struck: the budget allows little afterwards."""


class Nemesis:
    """Draws faults until it is told to stop."""

    def __init__(self, cluster: Cluster, operator: Operator, clients: int) -> None:
        """Nothing happens before `start`."""
        self._world = cluster.world
        self._choices = cluster.world.choices
        self._plan = cluster.plan
        self._stage = stage = Stage(cluster, operator, clients)
        squeeze = Squeeze(stage)
        self._families = (
            Links(stage),
            Clocks(stage),
            Disks(stage),
            Rot(stage, squeeze),
            Promises(stage),
            Operations(stage, squeeze),
            Processes(stage),
        )
        self._faults = {
            name: fault for family in self._families for name, fault in family.faults.items()
        }
        self.core = Core(stage)
        self._strikes = dict.fromkeys(self._plan.nemeses, 0)
        self._prodded = dict.fromkeys(self._plan.nemeses, -PROD_AGAIN)
        self._begin_at = {name: self._first(name) for name in self._plan.nemeses}
        self._answers = self._answered_at = self._whole_at = 0
        self.left: Callable[[], int] = lambda: 0
        """How many requests are still to be made."""

    def _first(self, name: str) -> int:
        """How far the run has to be for a class to strike for the first time."""
        return self._choices.between("first." + name, MOST // 8, MOST)

    def _progress(self) -> int:
        """How far the run is, of a thousand: by the requests made, or else by what happened."""
        plan = self._plan
        made = (plan.requests - self.left()) * 1000 // max(plan.requests, 1)
        happened = self._world.events * 1000 // plan.events if plan.events else 0
        return max(made, happened)

    def start(self) -> None:
        """Begin to draw."""
        for name in self._plan.nemeses:
            if name not in LAST:
                self._again(name)
        self._prod()

    def stop(self) -> None:
        """No more new faults; what was broken is mended, in some runs only within a core."""
        self._stage.stopped = True
        for family in self._families:
            family.stop()
        if self._plan.core:
            self.core.leave()

    def missing(self) -> list[str]:
        """The classes of the plan that have not struck yet."""
        counts = self._world.counts
        return [name for name in self._plan.faults if not counts.get("fault." + name)]

    def _again(self, name: str) -> None:
        delay = self._choices.exponential("nemesis." + name, self._plan.nemeses[name])
        self._world.after(delay, self._in_time, name)

    def _in_time(self, name: str) -> None:
        if not self._stage.stopped:
            if not self._starved():
                self._strike(name)
            self._again(name)

    def _prod(self) -> None:
        """Have what has not struck yet strike, once enough requests were made."""
        if self._stage.stopped:
            return
        missing = [name for name in self.missing() if name in self._strikes]
        if self._starved() and self._world.now - self._answered_at > RELIEF:
            # People come and look: clocks are set, cables plugged in, machines switched on.
            self._answered_at = self._world.now
            self._relieve()
        progress = self._progress()
        for name in missing:
            if name in LAST and len(missing) > 1:
                continue
            rested = self._world.now - self._prodded[name] >= PROD_AGAIN
            if rested and progress >= self._begin_at[name] and not self._starved():
                self._prodded[name] = self._world.now
                self._strike(name)
        self._world.after(PROD_EVERY, self._prod)

    def _relieve(self) -> None:
        self._world.note("world", (), "relief")
        self._stage.network.heal()
        for box in self._stage.cluster.boxes:
            box.clock.correct()
            if box.gone:
                box.gone = False
                box.start()

    def _hurt(self) -> bool:
        """Whether a replica has been waiting for long for the others to hold or replace it."""
        now = self._world.now
        if not self._stage.waiting():
            self._whole_at = now
        return now - self._whole_at > PATIENCE

    def _starved(self) -> bool:
        """Whether nobody has had an answer for long: then nothing is left to go wrong."""
        if self._hurt():
            return True
        answers = self._world.counts.get("client.answers", 0)
        if answers != self._answers:
            self._answers, self._answered_at = answers, self._world.now
        return self._world.now - self._answered_at > PATIENCE

    def _strike(self, name: str) -> None:
        self._strikes[name] += 1
        self._choices.apart(f"{name}#{self._strikes[name]}", self._faults[name])
