"""Processes that end, stand still, crawl, or never come back."""

from collections.abc import Mapping

from simulation.cluster import Box
from simulation.nemesis.stage import Family, Strike
from simulation.world import MS, SECOND
from veritydb.vsr.events import StepDown


class Processes(Family):
    """What happens to whole nodes."""

    @property
    def faults(self) -> Mapping[str, Strike]:
        """By class."""
        return {
            "crash": self._crash,
            "crash-inside": self._crash_inside,
            "crash-loop": self._crash_loop,
            "power-cut": self._power_cut,
            "pause": self._pause,
            "slow": self._slow,
            "gone": self._gone,
            "step-down": self._step_down,
        }

    def stop(self) -> None:
        """All come up, at their usual pace."""
        for box in self.cluster.boxes:
            box.crash_in = None
            box.gone = False
            self._recover(box)
            box.resume()
            box.start()

    def _crash(self) -> None:
        box = self.stage.up("crash.who")
        if box is not None:
            self.stage.fired("crash")
            self.stage.killed(box)

    def _crash_inside(self) -> None:
        """Between two effects of some later step, or two operations of the disk."""
        box = self.stage.up("crash.who")
        if box is None:
            return
        self.stage.fired("crash-inside")
        if self.choices.choose("crash.where", 2) or not box.hosts:
            box.crash_in = self.choices.choose("crash.effect", 12)
        else:
            host = self.choices.pick("crash.host", list(box.hosts.values()))
            self.cluster.disks[host.key].fail_after(self.choices.choose("crash.operation", 12))

    def _crash_loop(self) -> None:
        """It comes up and ends again, a few times, never for long."""
        box = self.stage.up("loop.who")
        if box is not None:
            self.stage.fired("crash-loop")
            self._round(box, self.choices.between("loop.rounds", 2, 6))

    def _round(self, box: Box, rounds: int) -> None:
        box.die("crash loop")
        self.world.after(self.choices.exponential("loop.down", 50 * MS), box.start)
        if rounds and not self.stage.stopped:
            lives = self.choices.log_uniform("loop.lives", 5 * MS, 500 * MS)
            self.world.after(lives, self._round, box, rounds - 1)

    def _power_cut(self) -> None:
        """All machines at once."""
        self.stage.fired("power-cut")
        for box in self.cluster.boxes:
            self.stage.fell(box, "power cut")

    def _pause(self) -> None:
        box = self.stage.up("pause.who")
        if box is not None:
            self.stage.fired("pause")
            box.pause()
            long = self.choices.log_uniform("pause.long", 20 * MS, 2 * SECOND)
            self.world.after(long, box.resume)

    def _slow(self) -> None:
        """Neither dead nor well: its disk and its links take their time."""
        box = self.stage.up("slow.who")
        if box is not None and not box.slow:
            self.stage.fired("slow")
            box.slow = self.choices.log_uniform("slow.by", 2 * MS, 200 * MS)
            self.cluster.network.slow[box.index] = box.slow
            self.world.note(box.name, (), "slow by", box.slow // MS, "ms")
            long = self.choices.log_uniform("slow.long", 100 * MS, 2 * SECOND)
            self.world.after(long, self._recover, box)

    def _recover(self, box: Box) -> None:
        box.slow = 0
        self.cluster.network.slow.pop(box.index, None)

    def _gone(self) -> None:
        """One node goes away and does not come back before people look, or everything heals."""
        if any(box.gone for box in self.cluster.boxes) or len(self.cluster.boxes) < 3:
            return
        box = self.stage.box("gone.who")
        self.stage.fired("gone")
        box.crash("gone")
        box.gone = True

    def _step_down(self) -> None:
        leading = [
            (box, host)
            for box in self.cluster.boxes
            if box.up and not box.paused
            for host in box.hosts.values()
            if host.node.replica.is_primary
        ]
        if leading:
            self.stage.fired("step-down")
            box, host = self.choices.pick("step-down.who", leading)
            box.run(box.life, host.step, StepDown())
