"""Connecting pycapnp to a node, over TCP or a socket that is there already."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import capnp

from veritydb.client.routing import split_address
from veritydb.wire.joining import Joining

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
