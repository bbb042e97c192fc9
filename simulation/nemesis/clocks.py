"""Wall clocks that jump, stop, and are put right. How fast clocks run is decided by the plan."""

from collections.abc import Mapping

from simulation.nemesis.stage import Family, Strike
from simulation.world import MS, SECOND

YEAR = 365 * 24 * 3600 * SECOND


class Clocks(Family):
    """What happens to the time of day."""

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {"clock": self._clock}

    def stop(self) -> None:
        """Time service is back everywhere."""
        for box in self.cluster.boxes:
            box.clock.correct()

    def _clock(self) -> None:
        box = self.stage.box("clock.who")
        what = self.choices.choose("clock.what", 5)
        before = box.clock.wall()
        if what == 0:
            box.clock.correct()
            if box.clock.wall() == before:
                return
        elif what == 1:
            box.clock.freeze()
        else:
            # A quorum of clocks is believed: what it once said, log time can never take back. So
            # only one clock at a time may be far ahead, and none where it is the only one.
            others = [each.clock.led for each in self.cluster.boxes if each is not box]
            most = YEAR if max(others, default=YEAR) <= 5 * SECOND else 5 * SECOND
            far = self.choices.log_uniform("clock.far", MS, most)
            box.clock.jump(far if self.choices.choose("clock.sign", 2) else -far)
        self.stage.fired("clock")
