"""The client protocol by hand, for what the SDK would never do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import capnp

from tests.server.nodes import PATIENCE, Nodes
from veritydb.server.config import split_address
from veritydb.server.gate import Gate
from veritydb.wire.schemas import load


async def connect(host: str, port: int) -> tuple[Any, Gate]:
    """Connect to a node: (stream, gate)."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Any] = loop.create_future()
    transport, protocol = await loop.create_connection(
        lambda: capnp.AsyncIoStream._connect(made.set_result), host, port
    )
    stream = await made
    gate = Gate(transport, loop)
    protocol.transport = gate
    return stream, gate


class Raw:
    """A connection by hand."""

    def __init__(self, rpc: Any, gate: Gate, session: Any) -> None:
        self.rpc = rpc
        self.gate = gate
        self.session = session

    async def streams(self) -> Any:
        """The capability."""
        return (await self.session.streams()).streams


def raw(
    nodes: Nodes,
    work: Callable[[Raw], Awaitable[None]],
    client: bytes = b"c" * 16,
    node: str = "n1",
) -> None:
    """Do something with a connection of one's own."""

    async def main() -> None:
        stream, gate = await connect(*split_address(nodes.config.node(node).client))
        rpc = capnp.TwoPartyClient(stream)
        try:
            door = rpc.bootstrap().cast_as(load("veritydb").VerityDb)
            answer = await door.hello(req={"protocolVersion": 1, "client": client})
            async with asyncio.timeout(PATIENCE):
                await work(Raw(rpc, gate, answer.res.session))
        finally:
            rpc.close()
            stream.close()

    asyncio.run(capnp.run(main()))
