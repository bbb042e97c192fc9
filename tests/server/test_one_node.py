"""One real node under bad input and bad luck, over the raw protocol where the SDK would not go."""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.nodes import PATIENCE, REGION, Nodes, free_ports
from tests.server.raw import Raw, raw
from veritydb.client.sync import Client
from veritydb.client.values import RecordedEvent, Truncated
from veritydb.server.config import split_address
from veritydb.types.entry import EntryHeader, Kind, make
from veritydb.types.errors import EdgeCode
from veritydb.types.event import Event
from veritydb.types.ids import StreamId, TenantId
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.outcome import Code
from veritydb.types.retention import Retention
from veritydb.wire.batch import encode_batch

pytestmark = pytest.mark.cluster
HERE = Region(REGION)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """One node, with a peer address that nobody uses."""
    with Nodes(tmp_path_factory.mktemp("one"), 1) as made:
        made.make()
        made.ready()
        yield made


def new_stream(nodes: Nodes, name: str) -> int:
    """Make a stream; its id."""
    with nodes.client() as db:
        made = db.create_stream(name, tenant=1, data_class=DataClass.PHI, placement=HERE)
        return int(made.id)


def entry_of(stream: int, payload: bytes = b"x", **more: Any) -> bytes:
    """One event as a client encodes it."""
    batch = encode_batch([Event("T", payload)], os.urandom(16))
    header = EntryHeader(
        kind=Kind.APPEND,
        parts=batch.parts,
        tenant=TenantId(1),
        stream=StreamId(stream),
        events=batch.events,
        body_len=len(batch.body),
        crc=batch.crc,
        **more,
    )
    return make(header, batch.body).data


def test_plain_events_of_a_foreign_client(nodes: Nodes) -> None:
    new_stream(nodes, "plain")

    async def work(one: Raw) -> None:
        streams = await one.streams()
        ref = {"tenant": 1, "named": {"name": "plain", "placement": {"region": REGION}}}
        events = [{"type": "A", "payload": b"one"}, {"type": "B", "payload": b"two"}]
        res = (await streams.publish(req={"stream": ref, "events": events})).res
        assert (res.appended.base, res.appended.count) == (0, 2)
        again = {"stream": ref, "events": events, "expected": {"offset": 7}}
        res = (await streams.publish(req=again)).res
        assert res.refused.code == Code.WRONG_EXPECTED_OFFSET and res.refused.actual == 2
        assert str(res.refused.applied) == "no"
        page = (await streams.read(req={"stream": ref, "plain": True})).res.page
        assert [e.payload for i in page.items for e in i.events] == [b"one", b"two"]
        assert [len(e.id) for i in page.items for e in i.events] == [16, 16]
        back = {"stream": ref, "plain": True, "backwards": True, "from": {"end": None}, "limit": 1}
        page = (await streams.read(req=back)).res.page
        assert [e.payload for i in page.items for e in i.events] == [b"two"]
        assert page.next == 1 and not page.done

    raw(nodes, work)


def test_bad_entries_are_refused_by_name_and_quote_nothing(nodes: Nodes) -> None:
    stream = new_stream(nodes, "bad")
    good = entry_of(stream)
    flipped = bytearray(good)
    flipped[-1] ^= 1
    cases = {
        b"": EdgeCode.INVALID_INPUT,
        b"secret" * 50: EdgeCode.INVALID_INPUT,
        bytes(flipped): EdgeCode.INVALID_INPUT,
        good + b"x": EdgeCode.INVALID_INPUT,
        entry_of(stream, actor=5): EdgeCode.INVALID_INPUT,
        entry_of(stream, session=9, number=1, client=b"z" * 16): EdgeCode.INVALID_INPUT,
        entry_of(99 << 48 | 1): EdgeCode.UNKNOWN_GROUP,
        entry_of(stream + 1_000): Code.NO_SUCH_STREAM,
    }

    async def work(one: Raw) -> None:
        streams = await one.streams()
        for data, code in cases.items():
            refused = (await streams.append(entry=data)).res.refused
            assert refused.code == code, refused
            assert str(refused.applied) == "no"
            assert "secret" not in refused.message
        assert (await streams.append(entry=good)).res.appended.base == 0

    raw(nodes, work)


def test_what_may_not_be_asked_has_typed_refusals(nodes: Nodes) -> None:
    new_stream(nodes, "asked")

    async def work(one: Raw) -> None:
        streams = await one.streams()
        named = {"tenant": 1, "named": {"name": "asked"}}
        events = [{"type": "A", "payload": b"x"}]

        async def refused(call: Any) -> int:
            code: int = (await call).res.refused.code
            return code

        geo = {"stream": named, "events": events, "durability": "geoDurable"}
        assert await refused(streams.publish(req=geo)) == Code.NOT_SUPPORTED
        big = {"stream": named, "events": [{"type": "A", "payload": bytes((1 << 20) + 1)}]}
        assert await refused(streams.publish(req=big)) == EdgeCode.TOO_LARGE
        none = {"stream": named, "events": []}
        assert await refused(streams.publish(req=none)) == EdgeCode.INVALID_INPUT
        # Its id will be forgotten one day, and then nothing tells a retry from a first sending.
        undated = {"stream": named, "events": events, "batchId": b"b" * 16}
        assert await refused(streams.publish(req=undated)) == EdgeCode.INVALID_INPUT
        make = {"tenant": 1, "dataClass": "phi", "placement": {"region": REGION}}
        long = {**make, "name": "x" * 256}
        assert await refused(streams.create(req=long)) == EdgeCode.TOO_LARGE
        loose = {**make, "name": "e\u0301"}
        assert await refused(streams.create(req=loose)) == Code.NAME_INVALID
        away = {**make, "name": "a", "placement": {"region": "eu-west-1"}}
        assert await refused(streams.create(req=away)) == Code.NO_SUCH_REGION
        nowhere = {**make, "name": "a", "placement": {"unspecified": None}}
        assert await refused(streams.create(req=nowhere)) == EdgeCode.INVALID_INPUT
        unknown = {"tenant": 2, "named": {"name": "asked"}}
        assert await refused(streams.read(req={"stream": unknown})) == Code.NO_SUCH_STREAM
        future = {"stream": named, "consistency": {"atLeast": [{"group": 1, "op": 1 << 40}]}}
        late = streams.read(req={**future, "timeoutMs": 100})
        assert await refused(late) == EdgeCode.DEADLINE

    raw(nodes, work)


def test_what_the_schema_does_not_know_is_the_callers_mistake(nodes: Nodes) -> None:
    folder = nodes.folder / "schemas"
    folder.mkdir()
    for file in Path("schemas").glob("*.capnp"):
        text = file.read_text().replace("deidentified @3;", "deidentified @3; later @4;")
        text = text.replace("region @2 :Text;", "region @2 :Text; elsewhere @3 :Void;")
        text = text.replace("  name @1 :Text;\n  dataClass", "  name @1 :Data;\n  dataClass")
        (folder / file.name).write_text(text)
    where = split_address(nodes.config.nodes[0].client)
    command = [sys.executable, "-m", "tests.server.foreign", str(folder), *map(str, where)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    *refused, last = ended.stdout.splitlines()
    assert last == "ok" and len(refused) == 4
    for line in refused:
        assert line.startswith(f"{EdgeCode.INVALID_INPUT} ") and "secret" not in line
    assert "handler.failed" not in (nodes.folder / "n1.log").read_text()


def test_phi_for_the_global_group_is_refused_and_audited(nodes: Nodes) -> None:
    async def work(one: Raw) -> None:
        streams = await one.streams()
        req = {"tenant": 77, "name": "m4rk3r", "dataClass": "phi", "placement": {"global": None}}
        for _ in range(20):
            res = (await streams.create(req=req)).res
            assert res.refused.code == Code.PLACEMENT_REFUSED
        audit = (await one.session.audit()).audit
        times = 0
        while times < 20:
            page = (await audit.list(tenant=77, group=0)).res.page
            records = [
                bytes(i.record) for op in page.ops for i in op.items if i.which() == "record"
            ]
            times = sum(struct.unpack_from("<I", record, 40)[0] for record in records)
            # Folded: no more than one entry a second and a first.
            assert len(records) <= 20
        assert times == 20

    raw(nodes, work)
    with nodes.client() as db:
        assert [one.tenant for one in db.list_streams(tenant=77)] == []
    for path in nodes.data("n1").rglob("*"):
        assert not path.is_file() or b"m4rk3r" not in path.read_bytes()
    assert "m4rk3r" not in nodes.log("n1")


@pytest.mark.parametrize("which", ["client", "peer"])
def test_hostile_bytes_end_only_their_own_connection(nodes: Nodes, which: str) -> None:
    address = split_address(getattr(nodes.config.nodes[0], which))
    dice = random.Random(7)
    junk = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        struct.pack("<II", 0, 0x7FFFFFFF),
        struct.pack("<II", 0xFFFFFFF0, 1),
        *(dice.randbytes(dice.randrange(1, 2_000)) for _ in range(60)),
    ]
    for data in junk:
        with socket.create_connection(address, timeout=PATIENCE) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            # It is closed by the other side, whatever came.
            try:
                while sock.recv(65_536):
                    pass
            except ConnectionResetError:
                pass
    with nodes.client() as db:
        assert db.status()[0].ready


def test_a_thousand_idle_connections_and_one_that_works(nodes: Nodes) -> None:
    address = split_address(nodes.config.nodes[0].client)
    idle = [socket.create_connection(address, timeout=PATIENCE) for _ in range(500)]
    stream = new_stream(nodes, "idle")

    async def work(one: Raw) -> None:
        streams = await one.streams()
        assert (await streams.append(entry=entry_of(stream))).res.appended.count == 1

    raw(nodes, work)
    for sock in idle:
        sock.close()


def test_a_client_that_never_reads_costs_little_memory(nodes: Nodes) -> None:
    stream = new_stream(nodes, "slow")
    pid = nodes.processes["n1"].pid
    payload = os.urandom(900_000)

    async def work(one: Raw) -> None:
        streams = await one.streams()
        for _ in range(8):
            assert (await streams.append(entry=entry_of(stream, payload))).res.appended.count == 1
        await streams.read(req={"stream": {"tenant": 1, "id": stream}, "maxBytes": 8 << 20})
        before = resident(pid)
        ref = {"stream": {"tenant": 1, "id": stream}, "maxBytes": 8 << 20}
        reads = [streams.read(req=ref) for _ in range(200)]
        one.gate.hold()
        # What goes over another connection is answered all the same, while the other takes nothing.
        with nodes.client() as db:
            for number in range(50):
                db.publish(tenant=1, stream="plain2", payloads=[b"%d" % number])
        assert resident(pid) - before < 200 << 20
        one.gate.release()
        for read in reads:
            assert (await read).res.page.end == 8

    with nodes.client() as db:
        db.create_stream("plain2", tenant=1, data_class=DataClass.PHI, placement=HERE)
    raw(nodes, work)


def resident(pid: int) -> int:
    """The memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_retention_gives_reads_a_typed_answer(nodes: Nodes) -> None:
    with nodes.client() as db:
        stream = db.create_stream("kept", tenant=1, data_class=DataClass.PHI, placement=HERE)
        for number in range(10):
            stream.append([Event("T", b"%d" % number)])
        stream.set_retention(Retention(max_events=4))
        found = list(stream.read(from_offset=0))
        assert found[0] == Truncated(0, 6)
        assert [one.payload for one in found if isinstance(one, RecordedEvent)] == [
            b"6",
            b"7",
            b"8",
            b"9",
        ]


def test_it_comes_back_with_everything_after_being_killed(nodes: Nodes) -> None:
    with nodes.client() as db:
        stream = db.create_stream("again", tenant=1, data_class=DataClass.PHI, placement=HERE)
        for number in range(20):
            stream.append([Event("T", b"%d" % number)])
        elsewhere = db.create_stream("g", tenant=1, data_class=DataClass.NON_PHI, placement=GLOBAL)
        elsewhere.append([Event("T", b"global")])
    nodes.signal("n1", signal.SIGKILL)
    nodes.kill("n1")
    nodes.start("n1")
    nodes.ready()
    with nodes.client() as db:
        found = list(db.stream("again", tenant=1).read(from_offset=0))
        assert [one.payload for one in found if isinstance(one, RecordedEvent)] == [
            b"%d" % number for number in range(20)
        ]
        assert len(list(db.stream("g", tenant=1).read(from_offset=0))) == 1


def test_a_second_process_is_refused(nodes: Nodes) -> None:
    kept = nodes.processes["n1"]
    assert nodes.start("n1").wait(PATIENCE) == 73
    assert "in use" in nodes.log("n1")
    nodes.processes["n1"] = kept


def test_an_address_in_use_is_named(nodes: Nodes, tmp_path: Path) -> None:
    with Nodes(tmp_path, 1) as other:
        port = other.config.nodes[0].client.rpartition(":")[2]
        with socket.create_server(("127.0.0.1", int(port))):
            other.make()
            assert other.processes["n1"].wait(PATIENCE) == 75
        assert f"127.0.0.1:{port}" in other.log("n1")
    assert free_ports(1)
    with Client(nodes.url, timeout=PATIENCE) as db:
        assert db.status()[0].ready
