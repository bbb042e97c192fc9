"""Calls over a connection: pycapnp's RPC, as far as the rest of the server needs to know of it."""

from collections.abc import Awaitable
from typing import Any, Protocol

import capnp

from veritydb.server.gate import Gate, connect

# In words of 8 bytes: the largest message, an append of a whole batch or an op, and its surrounds.
MESSAGE_WORDS_MAX = (32 << 20) // 8


class Line(Protocol):
    """Our side of a connection to another node. `capability` is what it lets us call."""

    gate: Any
    capability: Any

    def ended(self) -> Awaitable[None]:
        """Wait until the other side is gone."""

    def close(self) -> None:
        """End it."""


class RpcLine:
    """A `Line` over a socket."""

    def __init__(self, stream: Any, gate: Gate, interface: Any) -> None:
        """Use `dial`."""
        self.gate = gate
        self._stream = stream
        self._client = capnp.TwoPartyClient(stream, traversal_limit_in_words=MESSAGE_WORDS_MAX)
        self.capability = self._client.bootstrap().cast_as(interface)

    def ended(self) -> Awaitable[None]:
        """See `Line`."""
        ended: Awaitable[None] = self._client.on_disconnect()
        return ended

    def close(self) -> None:
        """See `Line`."""
        self._client.close()
        self._stream.close()


async def dial(host: str, port: int, interface: Any) -> RpcLine:
    """Connect to a node that offers `interface` to whoever does. Raises OSError."""
    stream, gate = await connect(host, port)
    try:
        return RpcLine(stream, gate, interface)
    except BaseException:
        stream.close()
        raise


async def serve(stream: Any, offered: Any) -> None:
    """Let whoever connected call what is offered, until it is gone."""
    server = capnp.TwoPartyServer(
        stream, bootstrap=offered, traversal_limit_in_words=MESSAGE_WORDS_MAX
    )
    try:
        await server.on_disconnect()
    finally:
        server.close()
        stream.close()
