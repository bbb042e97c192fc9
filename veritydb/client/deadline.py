"""How much time a call has left."""

import asyncio
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


class Watch:
    """Ends calls whose time is up, with one timer for all calls of a client.

    One of its own for each would be set and taken back again and again, and hardly ever needed.
    """

    def __init__(self) -> None:
        """There is nothing to watch."""
        self._calls: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def begin(self, call: asyncio.Timeout, deadline: Deadline) -> None:
        """Let `call`, which has been entered without a time, end at its deadline."""
        self._calls[call] = deadline.at
        if self._timer is None or deadline.at < self._timer_at:
            self._set(deadline.at)

    def end(self, call: asyncio.Timeout) -> None:
        """It is over. Its timer stays: by and large the next call needs one soon after."""
        self._calls.pop(call, None)

    def _set(self, at: float) -> None:
        self.close()
        loop = asyncio.get_running_loop()
        self._timer_at = at
        self._timer = loop.call_later(max(0.0, at - time.monotonic()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        loop = asyncio.get_running_loop()
        for call in [call for call, at in self._calls.items() if at <= now]:
            del self._calls[call]
            call.reschedule(loop.time())
        if self._calls:
            self._set(min(self._calls.values()))

    def close(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
