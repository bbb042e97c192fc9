"""What retention gives up is gone from the disks, is said to be gone, and the rest is whole."""

import itertools
import os
from collections.abc import Iterator

import pytest

from nemesis.nodes import Nodes, three_nodes, veritydb
from tests.cluster.helpers import TENANT, bytes_on_disk, make_stream
from veritydb.client.sync import Client
from veritydb.client.values import RecordedEvent, Truncated
from veritydb.types.event import Event
from veritydb.types.limits import MIB, SEGMENT_BYTES
from veritydb.types.retention import Retention

pytestmark = pytest.mark.cluster

KEPT = 3


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes whose every byte is checked in the end."""
    with Nodes(tmp_path_factory.mktemp("retention"), three_nodes("retention")) as made:
        made.up()
        yield made


def test_space_is_given_back_and_reads_say_so(nodes: Nodes) -> None:
    with nodes.client() as db:
        stream = make_stream(db, "kept-for-a-while")
        other = make_stream(db, "kept-for-ever")
        # Only what lies in segments that are full is given back.
        count = SEGMENT_BYTES // MIB + 8
        for number in range(count):
            stream.append([Event("Scan", bytes([number]) + os.urandom(MIB - 5_000))])
            other.append([Event("Note", b"%d" % number)])
        nodes.level()
        before = {name: bytes_on_disk(nodes.data(name)) for name in nodes.names}
        assert all(size > SEGMENT_BYTES for size in before.values())
        stream.set_retention(Retention(max_events=KEPT))
        floor = count - KEPT
        for name in nodes.names:
            read_until_floor(db, stream.name, name, floor)
        # Who asks for what is gone gets a typed answer, and then the rest.
        gone, *rest = stream.read(0)
        assert gone == Truncated(0, floor)
        assert [r.payload[0] for r in rest if isinstance(r, RecordedEvent)] == list(
            range(floor, count)
        )
        info = stream.info()
        assert (info.floor, info.next_offset) == (floor, count)
        # The neighbour in the same ops is untouched.
        assert [r.payload for r in other.read(0) if isinstance(r, RecordedEvent)] == [
            b"%d" % number for number in range(count)
        ]
        # After the grace period, and the next of its rounds, the space comes back on every node.
        for name in nodes.names:
            for _ in itertools.count():
                if bytes_on_disk(nodes.data(name)) < before[name] - SEGMENT_BYTES // 2:
                    break
                stream.append([Event("Tick", b"time passes in the log")])
    nodes.stop()
    for name in nodes.names:
        checked = veritydb("verify", str(nodes.data(name)))
        assert checked.returncode == 0, checked.stdout.decode()
    nodes.up()
    nodes.level()
    with nodes.client() as db:
        stream = db.stream(stream.name, tenant=TENANT)
        for name in nodes.names:
            first, *rest = stream.read(0, node=name)
            assert isinstance(first, Truncated)
            assert first.end >= floor
            assert len(rest) == KEPT


def read_until_floor(db: Client, name: str, node: str, floor: int) -> None:
    """Read from a node until it no longer gives what lies below the floor."""
    stream = db.stream(name, tenant=TENANT)
    while not isinstance(first := next(iter(stream.read(0, limit=1, node=node))), Truncated):
        pass
    assert first.end == floor
