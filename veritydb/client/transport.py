"""Connecting pycapnp to a node, with the small writes of one pass of the loop joined."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import capnp

from veritydb.client.routing import split_address

JOIN_BELOW = 32 << 10
FLUSH_AT = 256 << 10


class Joining:
    """Stands in for a transport. pycapnp writes every piece of a message by itself."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Write to `transport`."""
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self._scheduled = False

    def __getattr__(self, name: str) -> Any:
        """All that is not about writing is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write soon: together with the rest of this pass of the loop."""
        if len(data) >= JOIN_BELOW:
            self.flush()
            self._transport.write(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > FLUSH_AT:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._later)

    def _later(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

    def write_eof(self) -> None:
        """End the writing side."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Write what is left, then close."""
        self.flush()
        self._transport.close()


Dial = Callable[[str], Awaitable[Any]]
"""Makes a connected AsyncIoStream for an address. Raises OSError."""


async def dial_tcp(address: str) -> Any:
    """Connect to a node over TCP."""
    host, port = split_address(address)
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Any] = loop.create_future()
    transport, protocol = await loop.create_connection(
        lambda: capnp.AsyncIoStream._connect(made.set_result), host.strip("[]"), port
    )
    return await _finished(transport, protocol, made)


def dial_socket(sock: socket.socket) -> Dial:
    """Use a connected socket, once. What an embedded node's client does."""
    left = [sock]

    async def dial(address: str) -> Any:
        if not left:
            raise ConnectionError("the node inside this process has stopped")
        loop = asyncio.get_running_loop()
        made: asyncio.Future[Any] = loop.create_future()
        transport, protocol = await loop.create_connection(
            lambda: capnp.AsyncIoStream._connect(made.set_result), sock=left.pop()
        )
        return await _finished(transport, protocol, made)

    return dial


async def _finished(transport: Any, protocol: Any, made: "asyncio.Future[Any]") -> Any:
    stream = await made
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    protocol.transport = Joining(transport, asyncio.get_running_loop())
    return stream
