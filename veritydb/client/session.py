"""The client's session in one group: opened when first needed, opened again when it was forgotten.

A request that carries (client, session, number) is applied at most once however often it is sent.
When the session itself is gone (evicted, or the group restored), the request is sent again in a new
one: its batch id, its origin or its exact offset still keep it from being applied twice.
"""

import asyncio
from collections import deque

from veritydb.client.connection import Connection
from veritydb.client.core import Core
from veritydb.client.deadline import Deadline
from veritydb.client.refusal import check_flat
from veritydb.client.window import Window
from veritydb.types.errors import Overloaded, Unavailable


class GroupSession:
    """Gives out request numbers."""

    def __init__(self, core: Core, group: int) -> None:
        """Open nothing yet."""
        self._core = core
        self._group = group
        self._window: Window | None = None
        self._opening: asyncio.Task[int] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, deadline: Deadline) -> tuple[Window, int]:
        """Return the session and the next number in it; waits while too many are outstanding."""
        while True:
            window = self._window
            if window is None:
                await self._open(deadline)
            elif window.has_room:
                return window, window.take()
            else:
                turn = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                await asyncio.wait([turn], timeout=deadline.left)
                if deadline.passed:
                    raise Overloaded("too many requests of this client were outstanding")

    def done(self, window: Window, number: int) -> None:
        """A number's result has arrived, or nobody waits for it."""
        window.done(number)
        while self._waiting and window.has_room:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def forgotten(self, session: int) -> None:
        """The group does not know this session any more."""
        if self._window is not None and self._window.session == session:
            self._window = None
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)

    async def _open(self, deadline: Deadline) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._register())
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        await asyncio.wait([opening], timeout=deadline.left)
        self._core.pool.check()
        if not opening.done():
            raise Unavailable(f"group {self._group} opened no session in time")
        opening.result()

    async def _register(self) -> int:
        async def register(connection: Connection, deadline: Deadline) -> int:
            answer = await connection.call(
                "session", "register", group=self._group, timeoutMs=deadline.left_ms
            )
            session: int = check_flat(answer).session
            return session

        # Registering twice costs the group one session that will be evicted in time.
        return await self._core.on_primary(self._group, register, self._core.deadline(None))

    def _opened(self, opening: "asyncio.Task[int]") -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._window = Window(opening.result())

    async def close(self) -> None:
        """Stop opening."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
