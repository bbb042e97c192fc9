"""A node inside the process: three faces, the same files as a server's, and typed refusals."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trio

import veritydb.aio
import veritydb.trio
from veritydb import embedded
from veritydb.client.values import NO_STREAM, RecordedEvent
from veritydb.node.config import NodeConfig
from veritydb.server import node_server
from veritydb.server.failures import DataDirError, InUse, NotInitialised, WrongRegion
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Region

PAYLOADS = [b"one", b"two", b"three"]


def fill(path: Path) -> None:
    """Make a directory with one stream."""
    with embedded.open(path, "au-syd") as db:
        stream = db.create_stream(
            "notes", tenant=1, data_class=DataClass.PHI, placement=Region("au-syd")
        )
        done = stream.append([Event("T", payload) for payload in PAYLOADS], expected=NO_STREAM)
        assert done.offsets == range(3)


def test_what_was_written_is_there_again_on_every_face(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    with embedded.open(tmp_path / "data") as db:
        found = list(db.stream("notes", tenant=1).read(from_offset=0))
        assert [one.payload for one in found if isinstance(one, RecordedEvent)] == PAYLOADS

    async def with_asyncio() -> None:
        async with veritydb.aio.open(tmp_path / "data") as db:
            stream = await db.stream("notes", tenant=1)
            found = [one async for one in stream.read(from_offset=0)]
            assert [one.payload for one in found if isinstance(one, RecordedEvent)] == PAYLOADS

    asyncio.run(with_asyncio())

    async def with_trio() -> None:
        async with veritydb.trio.open(tmp_path / "data") as db:
            stream = await db.stream("notes", tenant=1)
            found = [one async for one in stream.read(from_offset=0)]
            assert [one.payload for one in found if isinstance(one, RecordedEvent)] == PAYLOADS

    trio.run(with_trio)


def test_a_cluster_of_one_holds_the_global_group_too(tmp_path: Path) -> None:
    with embedded.open(tmp_path / "data") as db:
        stream = db.create_stream("open", tenant=1, data_class=DataClass.NON_PHI, placement=GLOBAL)
        stream.append([Event("T", b"x")])
        (status,) = db.status()
        assert status.ready and [one.role for one in status.groups] == ["primary", "primary"]


def test_directories_are_refused_with_types(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    with pytest.raises(WrongRegion, match="made for region au-syd, not eu-west-1"):
        embedded.open(tmp_path / "data", "eu-west-1")
    with embedded.open(tmp_path / "data"), pytest.raises(InUse):
        embedded.open(tmp_path / "data")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "file").write_text("not ours")
    with pytest.raises(NotInitialised):
        embedded.open(tmp_path / "strange")


def test_it_can_be_opened_and_closed_often(tmp_path: Path) -> None:
    for number in range(8):
        with embedded.open(tmp_path / "data") as db:
            if number == 0:
                db.create_stream(
                    "notes", tenant=1, data_class=DataClass.PHI, placement=Region("local")
                )
            db.stream("notes", tenant=1).append([Event("T", b"%d" % number)])
    with embedded.open(tmp_path / "data") as db:
        assert db.stream("notes", tenant=1).info().next_offset == 8


def snapshot_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a snapshot taken after each forty entries."""

    def often(**options: Any) -> NodeConfig:
        return NodeConfig(**{**options, "snapshot_entries": 40})

    monkeypatch.setattr(node_server, "NodeConfig", often)


def test_snapshots_are_taken_while_it_works_and_begun_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_often(monkeypatch)
    folder = tmp_path / "data" / "groups" / "1-local"
    with embedded.open(tmp_path / "data") as db:
        stream = db.create_stream(
            "notes", tenant=1, data_class=DataClass.PHI, placement=Region("local")
        )
        for number in range(200):
            stream.append([Event("T", b"%d" % number)])
    # The one before goes a little after the new one counts, or at the next start.
    assert 1 <= len(list((folder / "snapshots").glob("*.snap"))) <= 2
    for file in folder.glob("index.db*"):
        file.unlink()
    with embedded.open(tmp_path / "data") as db:
        stream = db.stream("notes", tenant=1)
        stream.append([Event("T", b"200")])
        found = list(stream.read(from_offset=0))
        assert [one.payload for one in found if isinstance(one, RecordedEvent)] == [
            b"%d" % number for number in range(201)
        ]
        proofs = db.audit_verify(1)
        assert proofs


def test_a_snapshot_that_has_rotted_in_its_middle_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are read last of all, and not while the directory is opened."""
    snapshot_often(monkeypatch)
    with embedded.open(tmp_path / "data") as db:
        stream = db.create_stream(
            "notes", tenant=1, data_class=DataClass.PHI, placement=Region("local")
        )
        for number in range(100):
            stream.append([Event("T", b"%d" % number)])
    for file in (tmp_path / "data" / "groups" / "1-local" / "snapshots").glob("*.snap"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    with pytest.raises(DataDirError, match="snapshot has rotted"):
        embedded.open(tmp_path / "data")
