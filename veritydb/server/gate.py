"""Connections: pycapnp's streams over transports that join small writes and can stop reading.

A gate's reading side can be held, which is how a client that asks for more than it takes is slowed
down: what it sends waits in its own kernel.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import capnp

from veritydb.wire.joining import ASKED_IN_VAIN, Joining

UNSENT_MAX = 8 << 20


class Room:
    """What an answer takes of a connection's memory."""

    used = 0


class Gate(Joining):
    """A transport whose reading side can be held."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport, loop)
        self._held = False
        self._promised = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    # -- reading

    def resume_reading(self) -> None:
        """As the protocol asks for it; nothing happens while the gate is held."""
        stopped = self._asked > ASKED_IN_VAIN
        self._asked = 0
        if stopped and not self._held:
            self._transport.resume_reading()

    def hold(self) -> None:
        """Read nothing more until `release`."""
        if not self._held:
            self._held = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read on, if the protocol wants to."""
        if self._held:
            self._held = False
            if self._asked <= ASKED_IN_VAIN and not self._transport.is_closing():
                self._transport.resume_reading()

    # -- writing

    def write(self, data: bytes) -> None:
        """Write soon: together with the rest of this pass of the loop."""
        if self._promised:
            self._promised = max(0, self._promised - len(data))
        if self._waiting:
            self._admit()
        super().write(data)

    def unsent(self) -> int:
        """Bytes of answers that the other side has not taken yet, as far as this side can tell.

        pycapnp queues what the transport does not take, and does not say how much that is. So what
        `room` let in counts until it was written.
        """
        size: int = self._transport.get_write_buffer_size()
        return self._promised + self._size + size

    @contextlib.asynccontextmanager
    async def room(self, expected: int) -> AsyncIterator["Room"]:
        """Wait until an answer of about this size may be made without piling up in memory.

        Whoever makes it says how large it became; what was expected counts until then.
        """
        while self.unsent() >= UNSENT_MAX:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                # Whose turn it was may be gone; somebody else's it is then.
                self._admit()
                raise
        self._promised += expected
        room = Room()
        try:
            yield room
        finally:
            self._promised = max(0, self._promised - expected + room.used)
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self.unsent() < UNSENT_MAX:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                # It takes its room when it runs; the next one is admitted when that is known.
                return

    # -- the rest of a transport, as the protocol uses it

    def abort(self) -> None:
        """Close at once and drop what is left."""
        self._pieces.clear()
        self._size = 0
        self._transport.abort()


Serve = Callable[[Any, Gate], Awaitable[None]]


def protocol_factory(serve: Serve) -> Callable[[], Any]:
    """Make protocols whose connections are handed to `serve(stream, gate)`, one task each."""
    loop = asyncio.get_running_loop()

    def make() -> Any:
        async def connected(stream: Any) -> None:
            gate = Gate(protocol.transport, loop)
            protocol.transport = gate
            await serve(stream, gate)

        protocol = capnp.AsyncIoStream._connect(connected)
        return protocol

    return make


async def adopt(sock: Any, serve: Serve) -> None:
    """Serve one connected socket (the server's end of a socket pair)."""
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(protocol_factory(serve), sock)
