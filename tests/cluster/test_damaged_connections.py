"""A network that damages what it carries: typed errors only, and nothing twice."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from nemesis.nodes import Nodes
from tests.cluster.helpers import SYDNEY, TENANT, fresh_name, payloads_everywhere
from veritydb import aio
from veritydb.client import client as client_module
from veritydb.client.transport import dial_tcp
from veritydb.errors import VerityError
from veritydb.server.config import split_address
from veritydb.types.event import Event
from veritydb.types.labels import DataClass

pytestmark = pytest.mark.cluster

APPENDS = 150


class Network:
    """Stands between a client and all nodes. While `bad`, it flips a bit now and then."""

    def __init__(self, addresses: list[str]) -> None:
        self.bad = False
        self.damaged = 0
        self._addresses = addresses
        self._dice = random.Random(9)
        self._ways: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen for each of the nodes."""
        async with contextlib.AsyncExitStack() as stack:
            for address in self._addresses:
                server = await asyncio.start_server(self._carrier(address), "127.0.0.1", 0)
                stack.callback(server.close)
                port = server.sockets[0].getsockname()[1]
                self._ways[address] = f"127.0.0.1:{port}"
            yield

    async def dial(self, address: str) -> object:
        """What the client uses in place of its own."""
        return await dial_tcp(self._ways[address])

    def _carrier(self, address: str):  # type: ignore[no-untyped-def]
        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(*split_address(address))
            try:
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            except OSError:
                pass
            finally:
                far_writer.transport.abort()
                writer.transport.abort()

        return carry

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self.bad and self._dice.random() < 0.1:
                bent = bytearray(data)
                bent[self._dice.randrange(len(bent))] ^= 1 << self._dice.randrange(8)
                data = bytes(bent)
                self.damaged += 1
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


def test_damage_on_the_way_is_a_typed_error_or_none(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network([node.client for node in nodes.config.nodes])
    acknowledged = 0

    async def main() -> None:
        nonlocal acknowledged
        async with network.running(), aio.connect(nodes.url, timeout=20.0) as db:
            stream = await db.create_stream(
                name, tenant=TENANT, data_class=DataClass.PHI, placement=SYDNEY
            )
            network.bad = True
            for number in range(APPENDS):
                with contextlib.suppress(VerityError):
                    await stream.append([Event("Sent", b"%d" % number)], timeout=5.0)
                    acknowledged += 1
            network.bad = False
            # Once it carries what it is given again, all is as if nothing had been.
            await stream.append([Event("Sent", b"%d" % APPENDS)], timeout=20.0)

    name = fresh_name("damaged")
    monkeypatch.setattr(client_module, "dial_tcp", network.dial)
    asyncio.run(main())
    monkeypatch.undo()
    assert network.damaged > APPENDS // 20
    with nodes.client() as db:
        everywhere = payloads_everywhere(nodes, db.stream(name, tenant=TENANT, placement=SYDNEY))
    first = everywhere[0]
    assert everywhere == [first] * 3
    # What is stored carries checksums all the way; an answer does not, so only most are true.
    assert len(set(first)) == len(first) > acknowledged // 2 > 0
    assert set(first) <= {b"%d" % number for number in range(APPENDS + 1)}
    assert first[-1] == b"%d" % APPENDS
