"""A connection that carries bytes: what nodes say to each other, as it stands on the wire.

Bytes arrive in pieces of any size, so that frames come in parts; where a connection ends between
two of them, the rest of a frame never comes.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from shell_simulation.loop import ProcessLoop
from shell_simulation.network import Connection
from shell_simulation.world import World

TORN_PPM = 100_000


class Pipe:
    """One side's transport."""

    def __init__(
        self,
        connection: Connection,
        number: int,
        world: World,
        loop: ProcessLoop,
        protocol: asyncio.BufferedProtocol,
        sending: Callable[[bytes], bytes],
    ) -> None:
        """`sending` gets all that is written, and returns what is sent; or raises Died."""
        self._connection = connection
        self._number = number
        self._loop = loop
        self._protocol = protocol
        self._sending = sending
        self._choices = world.choices
        self._closing = False
        self._over = False
        side = connection.sides[number]
        side.stream = self
        side.ended = lambda: loop.call_soon(self._end)
        loop.call_soon(protocol.connection_made, self)

    # -- what arrives

    def arrive(self, data: bytes) -> None:
        """Bytes from the other side."""
        self._loop.call_soon(self._take, data)

    def _take(self, data: bytes) -> None:
        while data and not self._closing:
            room = memoryview(self._protocol.get_buffer(-1))
            piece = data[: len(room)]
            room[: len(piece)] = piece
            self._protocol.buffer_updated(len(piece))
            data = data[len(piece) :]

    def _end(self) -> None:
        if not self._over:
            self._over = self._closing = True
            self._protocol.connection_lost(None)

    # -- what the protocol uses of a transport

    def write(self, data: bytes) -> None:
        """See asyncio."""
        data = self._sending(data)
        if self._choices.chance("pipe.torn", TORN_PPM):
            at = self._choices.choose("pipe.where", len(data))
            self._send(data[:at])
            data = data[at:]
        self._send(data)

    def _send(self, data: bytes) -> None:
        other = self._connection.sides[1 - self._number]
        self._connection.send(1 - self._number, lambda: other.stream.arrive(data))

    def get_extra_info(self, _name: str) -> Any:
        """See asyncio. There is no socket."""
        return None

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._closing

    def close(self) -> None:
        """See asyncio."""
        self._closing = True
        self._connection.close(self._number)

    def abort(self) -> None:
        """See asyncio. What was written is under way already."""
        self.close()
