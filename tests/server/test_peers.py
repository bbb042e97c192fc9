"""What a peer says counts only as it was said; a connection that carries nothing more is ended."""

import asyncio
from pathlib import Path
from typing import Any

import capnp

from tests.server.nodes import config_text
from veritydb.server import transport
from veritydb.server.config import parse, split_address
from veritydb.server.datadir import init, open_dir
from veritydb.server.gate import Gate, listen
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.peers import SCHEMA, Peers, PeersServer, check_of


def hello() -> bytes:
    req = SCHEMA.PeerHello.new_message()
    req.protocolVersion = 1
    req.cluster = b"c" * 16
    req.node = "node-1"
    req.instance = b"i" * 16
    for number, to in enumerate(req.init("replicas", 2)):
        to.group, to.index, to.incarnation = number, 2, 5
    req.check = check_of(req)
    return bytes(req.to_bytes())


def sense(data: bytes) -> tuple[object, ...]:
    with SCHEMA.PeerHello.from_bytes(data) as req:
        replicas = [(one.group, one.index, one.incarnation) for one in req.replicas]
        said = (req.protocolVersion, req.cluster, req.node, req.instance, replicas)
        return (*said, req.check == check_of(req))


def test_no_flipped_bit_of_a_hello_passes_its_check() -> None:
    sound = hello()
    *said, holds = sense(sound)
    assert holds
    noticed = 0
    for at in range(len(sound)):
        for bit in range(8):
            bent = sound[:at] + bytes([sound[at] ^ (1 << bit)]) + sound[at + 1 :]
            try:
                *other, holds = sense(bent)
            except Exception:
                # Not a message any more.
                continue
            assert not holds or other == said
            noticed += not holds
    assert noticed > 8 * 40


class Deaf(PeersServer):  # type: ignore[misc]
    """A peer that greets, and to which every other call then fails, as with a damaged name."""

    async def hello_context(self, context: Any) -> None:
        """Welcome."""
        context.results.accepted = True

    async def deliver_context(self, context: Any) -> None:
        """Fail."""
        raise ValueError


def test_a_connection_on_which_calls_fail_is_made_anew(tmp_path: Path) -> None:
    """It would stay up for ever, and the peer would hear nothing."""
    config = parse(config_text(["n1", "n2", "n3"]))
    init(config, "n1", tmp_path / "n1")
    data = open_dir(config, "n1", tmp_path / "n1")
    again = asyncio.Event()
    connections: list[Gate] = []

    async def serve(stream: Any, gate: Gate) -> None:
        connections.append(gate)
        if len(connections) > 2:
            again.set()
        await transport.serve(stream, Deaf())

    async def main() -> None:
        peers = Peers(config, "n1", data, {}, Log("error"), lambda _where, _why: None, Machine())
        link = peers._links["n2"]
        server = await listen(serve, *split_address(config.node("n2").peer))
        keeping = asyncio.create_task(link.keep())
        while not again.is_set():
            # Dropped while there is no connection.
            link.send((b"header", b"body"))
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        server.close()
        for gate in connections:
            gate.close()

    asyncio.run(capnp.run(main()))
    data.close()
