"""Data directories: made once, by `init` only, and refused to anybody they do not belong to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.test_config import THREE
from veritydb.server import config as configs
from veritydb.server import datadir
from veritydb.server.failures import (
    AlreadyInitialised,
    ConfigError,
    InUse,
    NotInitialised,
    UnknownFormat,
    WrongCluster,
    WrongNode,
    WrongRegion,
)
from veritydb.server.files import FileDisk
from veritydb.server.peer_memory import PeerMemory, enough
from veritydb.storage.errors import WrongIdentity
from veritydb.storage.store import Store

CONFIG = configs.parse(THREE)


def test_a_directory_is_made_and_opened(tmp_path: Path) -> None:
    home = tmp_path / "a" / "n1"
    datadir.init(CONFIG, "n1", home)
    data = datadir.open_dir(CONFIG, "n1", home)
    assert data.stamp.node == "n1" and data.stamp.region == "au-syd"
    assert len(data.instance) == 16
    assert [data.stamp.incarnation(number) for number in (0, 1)] == [0, 0]
    # A replica with peers is not born before they know it.
    assert not data.is_born("0-global")
    data.set_born("0-global")
    assert data.is_born("0-global") and not data.is_born("1-au-syd")
    who = datadir.identity(CONFIG, "n1", 1, 0)
    assert (who.index, who.replicas, who.region) == (2, 3, "au-syd")
    Store.open(FileDisk(data.group("1-au-syd")), who)
    data.close()


def test_two_directories_of_one_node_differ(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path / "a")
    datadir.init(CONFIG, "n1", tmp_path / "b")
    first, second = (datadir.read_stamp(tmp_path / name).instance for name in "ab")
    assert first != second


def test_only_one_process_has_it_open(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path)
    data = datadir.open_dir(CONFIG, "n1", tmp_path)
    with pytest.raises(InUse, match="in use"):
        datadir.open_dir(CONFIG, "n1", tmp_path)
    with pytest.raises(InUse):
        datadir.init(CONFIG, "n1", tmp_path)
    data.close()
    datadir.open_dir(CONFIG, "n1", tmp_path).close()


def test_an_empty_directory_is_not_made_into_a_node_by_opening_it(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotInitialised, match="replica replace"):
            datadir.open_dir(CONFIG, "n1", path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_made_only_once(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path)
    before = (tmp_path / "node.toml").read_bytes()
    with pytest.raises(AlreadyInitialised):
        datadir.init(CONFIG, "n1", tmp_path)
    (tmp_path / "node.toml").unlink()
    with pytest.raises(AlreadyInitialised, match=r"no node\.toml"):
        datadir.init(CONFIG, "n1", tmp_path)
    (tmp_path / "node.toml").write_bytes(before)
    datadir.open_dir(CONFIG, "n1", tmp_path).close()


def test_an_interrupted_init_can_be_repeated(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path)
    (tmp_path / "node.toml").unlink()
    (tmp_path / "unfinished").touch()
    datadir.init(CONFIG, "n1", tmp_path)
    datadir.open_dir(CONFIG, "n1", tmp_path).close()
    assert not (tmp_path / "unfinished").exists()


def test_it_is_refused_to_anybody_else(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path)
    with pytest.raises(WrongNode, match="belongs to node n1, not n2"):
        datadir.open_dir(CONFIG, "n2", tmp_path)
    other = configs.parse(THREE.replace('"three"', '"four"'))
    with pytest.raises(WrongCluster, match="belongs to cluster"):
        datadir.open_dir(other, "n1", tmp_path)
    named = f'"three"\nid = "{CONFIG.cluster_id.hex()}"'
    moved = THREE.replace('"three"', named).replace("au-syd", "eu-west-1")
    with pytest.raises(WrongRegion, match="made for region au-syd, not eu-west-1"):
        datadir.open_dir(configs.parse(moved), "n1", tmp_path)
    with pytest.raises(ConfigError, match="no node is called"):
        datadir.open_dir(CONFIG, "n9", tmp_path)


def test_a_replaced_replica_carries_its_incarnation(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path, {1: 3})
    data = datadir.open_dir(CONFIG, "n1", tmp_path)
    assert data.stamp.incarnation(1) == 3 and data.stamp.incarnation(0) == 0
    with pytest.raises(WrongIdentity, match="incarnation"):
        Store.open(FileDisk(data.group("1-au-syd")), datadir.identity(CONFIG, "n1", 1, 0))
    data.close()
    with pytest.raises(ConfigError, match="no replica of group 9"):
        datadir.init(CONFIG, "n1", tmp_path / "x", {9: 1})


def test_another_format_is_left_alone(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path)
    stamp = tmp_path / "node.toml"
    text = stamp.read_text().replace("format = 1", "format = 2")
    stamp.write_text(text)
    with pytest.raises(UnknownFormat, match="format 2; this version reads format 1"):
        datadir.open_dir(CONFIG, "n1", tmp_path)
    assert stamp.read_text() == text
    stamp.write_text("\x00 rotten")
    with pytest.raises(UnknownFormat, match="cannot be read"):
        datadir.open_dir(CONFIG, "n1", tmp_path)


def test_peers_are_known_by_their_directories(tmp_path: Path) -> None:
    first, second = b"a" * 16, b"b" * 16
    mine = [(0, 2, 0), (1, 2, 0)]
    memory = PeerMemory(tmp_path)
    assert not memory.stranger(mine, first)
    memory.remember(mine, first)
    assert not memory.stranger(mine, first)
    assert memory.stranger(mine, second)
    again = PeerMemory(tmp_path)
    assert again.stranger(mine[:1], second) and not again.stranger(mine, first)
    # A replacement has another number, and so may have another directory. Only one, though.
    replaced = [(0, 2, 1), (1, 2, 1)]
    assert not again.stranger(replaced, second)
    again.remember(replaced, second)
    assert again.stranger(replaced, first)
    (tmp_path / "peers").write_text('{"format": 2}')
    with pytest.raises(UnknownFormat):
        PeerMemory(tmp_path)


def bent(data: bytes) -> Iterator[bytes]:
    """The same with one bit flipped, for two bits of every byte."""
    for at in range(len(data)):
        for bit in (0, at % 7 + 1):
            yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def test_no_flipped_bit_makes_a_sound_peer_a_stranger(tmp_path: Path) -> None:
    peer, instance = [(0, 2, 0), (1, 2, 0)], b"a" * 16
    memory = PeerMemory(tmp_path)
    memory.remember(peer, instance)
    memory.remember([(1, 0, 3)], b"b" * 16)
    assert not PeerMemory(tmp_path).damaged
    forgotten = refused = 0
    for data in bent((tmp_path / "peers").read_bytes()):
        (tmp_path / "peers").write_bytes(data)
        try:
            again = PeerMemory(tmp_path)
        except UnknownFormat:
            refused += 1
            continue
        assert not again.stranger(peer, instance)
        forgotten += again.damaged
    assert forgotten > len(data)
    assert refused <= 2
    again.remember(peer, instance)
    assert not PeerMemory(tmp_path).damaged


def test_no_flipped_bit_changes_whose_directory_it_is(tmp_path: Path) -> None:
    datadir.init(CONFIG, "n1", tmp_path, {1: 3})
    stamp = tmp_path / "node.toml"
    sound = datadir.read_stamp(tmp_path)
    for data in bent(stamp.read_bytes()):
        stamp.write_bytes(data)
        try:
            found = datadir.read_stamp(tmp_path)
        except UnknownFormat:
            continue
        # In the comment.
        assert found == sound


@pytest.mark.parametrize(("replicas", "needed"), [(1, 0), (3, 2), (5, 3)])
def test_two_sets_of_peers_that_know_a_fresh_replica_overlap(replicas: int, needed: int) -> None:
    assert enough(replicas) == needed
    assert replicas == 1 or 2 * needed > replicas - 1 >= needed
