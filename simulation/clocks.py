"""Clocks that lie: monotonic ones run at their own rate, wall clocks do anything."""

from simulation.choices import PPM
from simulation.world import MS, SECOND, World

EPOCH = 1_700_000_000 * SECOND
"""Wall time at the start of every run."""
TICK = 10 * MS


class Clock:
    """What one node's machine says the time is.

    The monotonic clock starts anew at zero with the machine, never with a process, and only ever
    goes forward; its rate is within a factor of two of true time. The wall clock has an offset and
    a drift, jumps when told to, and may freeze.
    """

    def __init__(self, world: World, rate_ppm: int, offset: int, drift_ppm: int) -> None:
        """`rate_ppm` is the monotonic rate, a million for a perfect one."""
        assert PPM // 2 <= rate_ppm <= 2 * PPM
        self._world = world
        self._rate = rate_ppm
        self.tick_delay = TICK * PPM // rate_ppm
        """True time between two ticks of this machine."""
        self._offset = offset
        self._drift = drift_ppm
        self._frozen: int | None = None
        self.highest = 0
        """The latest that this clock has ever said."""

    @property
    def led(self) -> int:
        """How far the latest that it ever said is ahead of true time now, ns."""
        return max(0, self.highest - EPOCH - self._world.now)

    def mono(self) -> int:
        """Nanoseconds since the machine started, by its own count."""
        return self._world.now * self._rate // PPM

    def wall(self) -> int:
        """Nanoseconds since 1970, as this machine believes."""
        if self._frozen is not None:
            return self._frozen
        now = self._world.now
        wall = max(0, EPOCH + now + now * self._drift // PPM + self._offset)
        if wall > self.highest:
            self.highest = wall
        return wall

    def jump(self, by: int) -> None:
        """Step the wall clock, forwards or backwards."""
        self._offset += by

    def freeze(self) -> None:
        """The wall clock stops."""
        self._frozen = self.wall()

    def correct(self) -> None:
        """Time service is back: the wall clock is right from now on."""
        self._frozen = None
        self._offset = 0
        self._drift = 0
