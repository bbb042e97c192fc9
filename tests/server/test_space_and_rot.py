"""Real nodes whose files change under them: rot, a lost index, space given back, no space left."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.nodes import PATIENCE, REGION, Nodes, group_of
from tests.server.raw import Raw, raw
from veritydb.client.sync import Client
from veritydb.client.values import RecordedEvent, Truncated
from veritydb.server.datadir import identity
from veritydb.server.files import FileDisk
from veritydb.storage.store import Store
from veritydb.types.errors import EdgeCode, ReadOnly
from veritydb.types.event import Event
from veritydb.types.ids import Op
from veritydb.types.labels import DataClass, Region
from veritydb.types.retention import Retention

pytestmark = pytest.mark.cluster
HERE = Region(REGION)
GROUP = "1-au-syd"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Nodes]:
    """One node that is ready."""
    with Nodes(tmp_path, 1) as nodes:
        nodes.make()
        nodes.ready()
        yield nodes


def used(path: Path) -> int:
    """Bytes that the files below a folder really take."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that a node does by itself."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def payloads(db: Client, name: str) -> list[bytes]:
    """What a stream holds."""
    found = db.stream(name, tenant=1).read(from_offset=0)
    return [item.payload for item in found if isinstance(item, RecordedEvent)]


def test_a_deleted_index_is_rebuilt_while_the_node_serves(one: Nodes) -> None:
    with one.client() as db:
        stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=HERE)
        for number in range(50):
            stream.append([Event("T", b"%d" % number)])
    assert one.stop("n1") == 0
    for file in (one.data("n1") / "groups" / GROUP).glob("index.db*"):
        file.write_bytes(os.urandom(5_000))
    one.start("n1")
    one.ready()
    with one.client() as db:
        db.stream("notes", tenant=1).append([Event("T", b"50")])
        assert payloads(db, "notes") == [b"%d" % number for number in range(51)]


def test_rot_is_found_at_start_and_the_op_is_named(one: Nodes) -> None:
    with one.client() as db:
        stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=HERE)
        for number in range(5):
            stream.append([Event("T", b"payload-%d" % number)])
    assert one.stop("n1") == 0
    flip(one.data("n1"), b"payload-3")
    assert one.start("n1").wait(PATIENCE) in (70, 73)
    assert re.search(r"op \d+.* byte \d+", one.log("n1"))


def flip(data: Path, marker: bytes) -> None:
    """Change one bit of a payload in the log."""
    (segment,) = (data / "groups" / GROUP / "segments").glob("*1.log")
    with segment.open("r+b") as file:
        content = file.read()
        at = content.index(marker)
        file.seek(at)
        file.write(bytes([content[at] ^ 1]))


def test_rot_is_mended_from_the_peers_and_never_served(tmp_path: Path) -> None:
    with Nodes(tmp_path, 3) as nodes:
        nodes.make()
        nodes.ready()
        with nodes.client() as db:
            stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=HERE)
            for number in range(20):
                stream.append([Event("T", b"payload-%d" % number)])
            nodes.level()
            victim = next(name for name in nodes.names if name != nodes.primary())
            assert nodes.stop(victim) == 0
            flip(nodes.data(victim), b"payload-7")
            nodes.start(victim)
            nodes.level()
        wanted = [b"payload-%d" % number for number in range(20)]
        with Client(nodes.url_of(victim), timeout=PATIENCE) as db:
            until(lambda: payloads(db, "notes") == wanted)
        assert nodes.stop(victim) == 0
        disk = FileDisk(nodes.data(victim) / "groups" / GROUP)
        store, recovered = Store.open(disk, identity(nodes.config, victim, 1, 0))
        assert recovered.faulty == () and store.head >= 20
        disk.close()


def test_rot_under_a_running_node_is_mended_too(tmp_path: Path) -> None:
    with Nodes(tmp_path, 3) as nodes:
        nodes.make()
        nodes.ready()
        with nodes.client() as db:
            stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=HERE)
            for number in range(20):
                stream.append([Event("T", b"payload-%d" % number)])
            nodes.level()
        victim = next(name for name in nodes.names if name != nodes.primary())
        # A fresh start has nothing in memory, so what is read comes from the disk.
        assert nodes.stop(victim) == 0
        nodes.start(victim)
        nodes.level()
        flip(nodes.data(victim), b"payload-7")
        wanted = [b"payload-%d" % number for number in range(20)]
        codes: list[int] = []

        async def work(one: Raw) -> None:
            ref = {"tenant": 1, "named": {"name": "notes"}}
            streams = await one.streams()
            while True:
                res = (await streams.read(req={"stream": ref, "plain": True})).res
                if res.which() == "page":
                    found = [event.payload for item in res.page.items for event in item.events]
                    assert found == wanted
                    return
                codes.append(res.refused.code)

        raw(nodes, work, node=victim)
        assert set(codes) == {EdgeCode.CORRUPT}
        assert "frame.rotten" in nodes.log(victim)
        nodes.level()


def test_space_below_the_floor_is_given_back(one: Nodes) -> None:
    size = 900_000
    with one.client() as db:
        stream = db.create_stream("bulk", tenant=1, data_class=DataClass.PHI, placement=HERE)
        beside = db.create_stream("beside", tenant=1, data_class=DataClass.PHI, placement=HERE)
        for number in range(80):
            stream.append([Event("T", number.to_bytes(4, "big") + bytes(size))])
            beside.append([Event("T", b"%d" % number)])
        segments = one.data("n1") / "groups" / GROUP / "segments"
        before = used(segments)
        stream.set_retention(Retention(max_events=2))
        until(lambda: used(segments) < before - 50 * size)
        found = list(stream.read(from_offset=0))
        assert found[0] == Truncated(0, 78) and len(found) == 3
        assert len(payloads(db, "beside")) == 80
    assert one.stop("n1") == 0
    disk = FileDisk(one.data("n1") / "groups" / GROUP)
    _, recovered = Store.open(disk, identity(one.config, "n1", 1, 0))
    assert recovered.faulty == ()
    disk.close()
    one.start("n1")
    one.ready()
    with one.client() as db:
        assert len(payloads(db, "beside")) == 80


def test_a_node_short_of_disk_only_reads(tmp_path: Path) -> None:
    with Nodes(tmp_path, 1) as nodes:
        nodes.make()
        nodes.ready()
        with nodes.client() as db:
            stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=HERE)
            stream.append([Event("T", b"before")])
        assert nodes.stop("n1") == 0
        text = nodes.file.read_text()
        # More than any disk has: the node is short of space from the start.
        reserve = "drain_ms = 1000\ndisk_reserve_mib = 1048576"
        nodes.file.write_text(text.replace("drain_ms = 1000", reserve))
        nodes.start("n1")
        nodes.ready()
        with nodes.client() as db:
            with pytest.raises(ReadOnly):
                db.stream("notes", tenant=1).append([Event("T", b"after")], timeout=2)
            assert payloads(db, "notes") == [b"before"]
            assert {one.role for one in db.status()[0].groups} == {"read-only"}


def test_rot_that_nobody_asks_for_is_found_and_mended(tmp_path: Path) -> None:
    """A start looks only behind the last snapshot."""
    with Nodes(tmp_path, 3, "snapshot_entries = 100") as nodes:
        nodes.make()
        nodes.ready()
        with nodes.client() as db:
            stream = db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=HERE)
            for number in range(150):
                stream.append([Event("T", b"payload-%03d-" % number)])
            nodes.level()
        victim = next(name for name in nodes.names if name != nodes.primary())
        until(lambda: " snapshot " in nodes.log(victim))
        # By then the index is on disk too: to make up for it a start would read the log itself.
        until(lambda: " scrubbed " in nodes.log(victim))
        assert nodes.stop(victim) == 0
        flip(nodes.data(victim), b"payload-007-")
        nodes.start(victim)
        until(lambda: re.search(r"frame.rotten .*group=1 ", nodes.log(victim)) is not None)
        nodes.level()
        until(lambda: group_of(nodes.status()[victim], 1).rotten == 0)
        assert nodes.stop(victim) == 0
        store, _ = Store.open(FileDisk(nodes.data(victim) / "groups" / GROUP))
        assert None not in store.read_frames(Op(1), store.head, 1 << 30)
