"""What three nodes answer to input that is wrong, too large, or not of this world."""

import asyncio
import os
import random
import socket
from collections.abc import Callable
from typing import Any

import capnp
import pytest

from nemesis.nodes import Nodes
from tests.cluster.helpers import SYDNEY, TENANT, fresh_name, make_stream, payloads_everywhere
from tests.server.raw import connect
from veritydb.client.core import Core
from veritydb.client.sync import Client, Stream
from veritydb.client.values import ANY, NO_STREAM, STREAM_EXISTS, Durability, PublishOptions
from veritydb.errors import (
    InvalidInput,
    NoSuchStream,
    NotSupported,
    OriginConflict,
    PlacementRefused,
    StreamExists,
    StreamSealed,
    TooLarge,
    UnreachablePlacement,
    VerityError,
    WrongExpectedOffset,
)
from veritydb.server.config import split_address
from veritydb.types.errors import Applied
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.limits import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    METADATA_BYTES_MAX,
    MIB,
    NAME_BYTES_MAX,
)
from veritydb.wire.schemas import load

pytestmark = pytest.mark.cluster

SECRET = "S3cr3t-in-the-input"
Wrong = Callable[[Client, Stream], object]


def big(count: int, size: int) -> list[Event]:
    return [Event("T", bytes(size))] * count


WRONG: dict[str, tuple[type[VerityError], Wrong]] = {
    "event": (TooLarge, lambda db, s: s.append([Event("T", bytes(EVENT_BYTES_MAX + 1))])),
    "batch by bytes": (TooLarge, lambda db, s: s.append(big(9, BATCH_BYTES_MAX // 8))),
    "batch by count": (TooLarge, lambda db, s: s.append(big(BATCH_EVENTS_MAX + 1, 0))),
    "metadata": (
        TooLarge,
        lambda db, s: s.append([Event("T", b"", metadata=bytes(METADATA_BYTES_MAX + 1))]),
    ),
    "type": (InvalidInput, lambda db, s: s.append([Event(SECRET * 20, b"")])),
    "empty batch": (InvalidInput, lambda db, s: s.append([])),
    "name": (TooLarge, lambda db, s: phi(db, "n" * (NAME_BYTES_MAX + 1))),
    "name in bytes": (TooLarge, lambda db, s: phi(db, "é" * NAME_BYTES_MAX)),
    "empty name": (InvalidInput, lambda db, s: phi(db, "")),
    "name with control characters": (InvalidInput, lambda db, s: phi(db, f"{SECRET}\n")),
    "name that is no text": (InvalidInput, lambda db, s: phi(db, "\ud800")),
    "expected beyond": (WrongExpectedOffset, lambda db, s: s.append(big(1, 1), expected=7)),
    "expected before": (WrongExpectedOffset, lambda db, s: s.append(big(1, 1), expected=0)),
    "expected nothing": (
        WrongExpectedOffset,
        lambda db, s: s.append(big(1, 1), expected=NO_STREAM),
    ),
    "negative offset": (InvalidInput, lambda db, s: s.append(big(1, 1), expected=-1)),
    "unknown stream": (NoSuchStream, lambda db, s: db.stream(SECRET, tenant=TENANT)),
    "another's stream": (NoSuchStream, lambda db, s: db.stream(s.name, tenant=TENANT + 1)),
    "unknown stream, by publish": (
        NoSuchStream,
        lambda db, s: db.publish(
            tenant=TENANT, stream=SECRET, payloads=[SECRET.encode()], opts=PublishOptions()
        ),
    ),
    "no region": (UnreachablePlacement, lambda db, s: phi(db, SECRET, Region("us-east-1"))),
    "PHI for all": (PlacementRefused, lambda db, s: phi(db, SECRET, GLOBAL)),
    "another class": (
        StreamExists,
        lambda db, s: db.create_stream(
            s.name, tenant=TENANT, data_class=DataClass.NON_PHI, placement=SYDNEY
        ),
    ),
    "origin with a gap": (
        OriginConflict,
        lambda db, s: s.append(big(1, 1), origin=b"o" * 16, origin_seq=9),
    ),
    "origin of a wrong size": (InvalidInput, lambda db, s: s.append(big(1, 1), origin=b"o")),
    "durability": (
        NotSupported,
        lambda db, s: s.append(big(1, 1), durability=Durability.GEO_DURABLE),
    ),
    "truncate beyond the end": (InvalidInput, lambda db, s: s.truncate(99)),
    "read before nothing": (InvalidInput, lambda db, s: list(s.read(-1))),
}


def phi(db: Client, name: str, where: Any = SYDNEY) -> Stream:
    return db.create_stream(name, tenant=TENANT, data_class=DataClass.PHI, placement=where)


def test_each_mistake_has_its_error_and_changes_nothing(nodes: Nodes) -> None:
    with nodes.client() as db:
        stream = make_stream(db, "mistakes")
        with pytest.raises(WrongExpectedOffset):
            stream.append(big(1, 1), expected=STREAM_EXISTS)
        stream.append([Event("Good", b"good")] * 3, expected=NO_STREAM)
        for what, (kind, wrong) in WRONG.items():
            with pytest.raises(kind) as caught:
                wrong(db, stream)
            assert caught.value.applied is Applied.NO, what
            assert SECRET not in str(caught.value), what
            if kind is WrongExpectedOffset:
                assert caught.value.actual == 3, what
            if kind is TooLarge:
                assert caught.value.limit, what
        assert stream.info().next_offset == 3
        # The largest that is allowed, right after all that was not.
        assert stream.append([Event("T", bytes(EVENT_BYTES_MAX))], expected=ANY).base == 3
        assert stream.append(big(7, BATCH_BYTES_MAX // 8)).base == 4
        assert stream.append(big(BATCH_EVENTS_MAX, 0)).base == 11
        phi(db, fresh_name("n").ljust(NAME_BYTES_MAX, "n"))
        stream.seal()
        with pytest.raises(StreamSealed):
            stream.append(big(1, 1))
    assert not [name for name in nodes.names if SECRET in nodes.log(name)]
    [first, *others] = payloads_everywhere(nodes, stream)
    assert len(first) == 11 + BATCH_EVENTS_MAX
    assert others == [first, first]


async def recorded() -> bytes:
    """What a real client sends first."""
    taken: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(await reader.read(1 << 16))
        writer.close()

    server = await asyncio.start_server(record, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stream, _ = await connect("127.0.0.1", port)
    rpc = capnp.TwoPartyClient(stream)
    door = rpc.bootstrap().cast_as(load("veritydb").VerityDb)
    with pytest.raises(capnp.KjException):
        await door.hello(req={"protocolVersion": 1, "client": b"c" * 16})
    rpc.close()
    stream.close()
    server.close()
    await server.wait_closed()
    return b"".join(taken)


def noise(dice: random.Random, real: bytes) -> list[bytes]:
    """Random bytes, pieces of a real conversation, and the same with flipped bits."""
    found = [dice.randbytes(dice.randrange(1, 300)) for _ in range(30)]
    found += [real[: dice.randrange(1, len(real))] for _ in range(20)]
    for _ in range(50):
        bent = bytearray(real)
        for _ in range(dice.randrange(1, 4)):
            bent[dice.randrange(len(bent))] ^= 1 << dice.randrange(8)
        found.append(bytes(bent))
    # Frames that promise very much: many segments, one huge segment.
    return [*found, b"\xff" * 64, b"\x00\x00\x00\x00\xff\xff\xff\x7f" + bytes(100)]


@pytest.mark.parametrize("which", ["client", "peer"])
def test_noise_ends_its_own_connection_only(nodes: Nodes, which: str) -> None:
    dice = random.Random(3)
    real = asyncio.run(capnp.run(recorded()))
    with nodes.client() as db:
        stream = make_stream(db, "noise")
        pids = {name: nodes.pid(name) for name in nodes.names}
        count = 0
        for data in noise(dice, real):
            node = nodes.config.node(dice.choice(nodes.names))
            with socket.create_connection(split_address(getattr(node, which))) as one:
                one.sendall(data)
                if dice.random() < 0.5:
                    # Others are just left, with whatever they had to say.
                    one.shutdown(socket.SHUT_WR)
            count = stream.append([Event("Meanwhile", b"%d" % count)]).next or 0
    assert all(nodes.runs(name) and nodes.pid(name) == pid for name, pid in pids.items())
    nodes.ready()
    assert payloads_everywhere(nodes, stream) == [[b"%d" % n for n in range(count)]] * 3


def test_a_thousand_idle_connections_to_each_port_hinder_nobody(nodes: Nodes) -> None:
    idle: list[socket.socket] = []
    try:
        for number in range(1_000):
            node = nodes.config.node(nodes.names[number % 3])
            address = node.client if number % 2 else node.peer
            idle.append(socket.create_connection(split_address(address)))
        with nodes.client() as db:
            stream = make_stream(db, "idle")
            for number in range(50):
                stream.append([Event("Meanwhile", b"%d" % number)])
    finally:
        for one in idle:
            one.close()
    assert payloads_everywhere(nodes, stream) == [[b"%d" % n for n in range(50)]] * 3


def test_two_clients_with_one_id_lose_and_double_nothing(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = os.urandom(16)
    begin = Core.__init__

    def with_one_id(self: Core, *args: Any, **more: Any) -> None:
        begin(self, *args, **more)
        self.client = self.pool._client = same

    monkeypatch.setattr(Core, "__init__", with_one_id)
    with nodes.client() as one, nodes.client() as two:
        first = make_stream(one, "twins")
        second = two.stream(first.name, tenant=TENANT)
        sent = []
        for number in range(40):
            for handle, who in ((first, b"one"), (second, b"two")):
                payload = b"%s %d" % (who, number)
                # Whatever it is told, it is told the truth.
                appended = handle.append([Event("T", payload)], timeout=20.0)
                sent.append((appended.base, payload))
    everywhere = payloads_everywhere(nodes, first)
    assert everywhere == [[payload for _, payload in sorted(sent)]] * 3
    assert sorted(base for base, _ in sent) == list(range(80))


def test_a_client_that_never_reads_is_held_back_alone(nodes: Nodes) -> None:
    with nodes.client() as db:
        stream = make_stream(db, "greedy")
        for _ in range(8):
            stream.append(big(1, MIB - 100))
        nodes.level()

        async def ask_and_never_read() -> None:
            node = nodes.config.node(nodes.names[0])
            conversation, gate = await connect(*split_address(node.client))
            rpc = capnp.TwoPartyClient(conversation)
            door = rpc.bootstrap().cast_as(load("veritydb").VerityDb)
            session = (await door.hello(req={"protocolVersion": 1})).res.session
            streams = (await session.streams()).streams
            gate.hold()
            asked = {"stream": {"tenant": TENANT, "id": stream.id}, "maxBytes": 8 * MIB}
            waiting = [streams.read(req=asked) for _ in range(100)]
            for number in range(30):
                await asyncio.to_thread(stream.append, [Event("Meanwhile", b"%d" % number)])
            del waiting
            rpc.close()
            conversation.close()

        asyncio.run(capnp.run(ask_and_never_read()))
        assert stream.info().next_offset == 38
    nodes.ready()
