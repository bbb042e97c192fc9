"""How much time a call has left."""

import time

from veritydb.types.errors import InvalidInput

DEFAULT_TIMEOUT_S = 10.0
TIMEOUT_MAX_S = 86_400.0


class Deadline:
    """A moment of the monotonic clock by which a call must have ended."""

    __slots__ = ("at",)

    def __init__(self, timeout: float) -> None:
        """Begin now. Raises InvalidInput for what is no length of time."""
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise InvalidInput("a timeout is a number of seconds")
        if not 0 < timeout <= TIMEOUT_MAX_S:
            raise InvalidInput(f"a timeout is more than 0 and at most {TIMEOUT_MAX_S:.0f} seconds")
        self.at = time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when there are none."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self.at

    @property
    def left_ms(self) -> int:
        """What a node is told. At least 1, because 0 would mean no bound."""
        return max(1, int(self.left * 1000))
