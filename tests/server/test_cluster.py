"""Three real nodes: agreement, failover, lost disks and replacements, as a user meets them."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.nodes import PATIENCE, REGION, Nodes, group_of
from veritydb.client.sync import Client
from veritydb.client.values import LINEARIZABLE, RecordedEvent
from veritydb.server.datadir import init
from veritydb.types.errors import InvalidInput
from veritydb.types.event import Event
from veritydb.types.labels import DataClass, Region

pytestmark = pytest.mark.cluster


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Three nodes that are ready."""
    with Nodes(tmp_path, 3) as made:
        made.make()
        made.ready()
        yield made


def payloads(db: Client, tenant: int = 1) -> list[bytes]:
    """Everything in the stream, as any node may tell it."""
    stream = db.stream("notes", tenant=tenant)
    found = list(stream.read(from_offset=0))
    return [one.payload for one in found if isinstance(one, RecordedEvent)]


def fill(db: Client, first: int, last: int) -> None:
    """Append numbered events, one at a time."""
    stream = db.stream("notes", tenant=1)
    for number in range(first, last):
        stream.append(
            [Event("Numbered", str(number).encode())], origin=b"o" * 16, origin_seq=number
        )


def make_stream(db: Client) -> None:
    """The stream that these tests write to."""
    db.create_stream("notes", tenant=1, data_class=DataClass.PHI, placement=Region(REGION))


def numbers(last: int) -> list[bytes]:
    """What `fill` writes."""
    return [str(number).encode() for number in range(last)]


def test_a_killed_primary_is_followed_by_another_and_comes_back(nodes: Nodes) -> None:
    with nodes.client() as db:
        make_stream(db)
        fill(db, 0, 30)
        first = nodes.primary()
        nodes.kill(first)
        fill(db, 30, 60)
        assert nodes.primary() != first
        nodes.start(first)
        nodes.level()
        fill(db, 60, 70)
        nodes.level()
    for name in nodes.names:
        with Client(nodes.url_of(name), timeout=PATIENCE) as one:
            assert payloads(one) == numbers(70)
    segments = [
        sorted((nodes.data(name) / "groups" / "1-au-syd" / "segments").glob("*.log"))
        for name in nodes.names
    ]
    assert [path.name for path in segments[0]] == [path.name for path in segments[1]]


def test_a_frozen_primary_is_followed_by_another(nodes: Nodes) -> None:
    with nodes.client() as db:
        make_stream(db)
        fill(db, 0, 5)
        first = nodes.primary()
        nodes.signal(first, signal.SIGSTOP)
        fill(db, 5, 15)
        nodes.signal(first, signal.SIGCONT)
        nodes.level()
        assert payloads(db) == numbers(15)


def test_all_killed_at_once_lose_nothing(nodes: Nodes) -> None:
    with nodes.client() as db:
        make_stream(db)
        fill(db, 0, 20)
    for name in nodes.names:
        nodes.kill(name)
    for name in nodes.names:
        nodes.start(name)
    nodes.ready()
    with nodes.client() as db:
        stream = db.stream("notes", tenant=1)
        found = list(stream.read(from_offset=0, consistency=LINEARIZABLE))
        assert len(found) == 20
        fill(db, 20, 25)
        assert payloads(db) == numbers(25)


def test_an_emptied_disk_is_refused_and_can_be_replaced(nodes: Nodes) -> None:
    with nodes.client() as db:
        make_stream(db)
        fill(db, 0, 20)
        victim = next(name for name in nodes.names if name != nodes.primary())
        nodes.kill(victim)
        shutil.rmtree(nodes.data(victim))
        # Emptied: it does not start at all.
        assert nodes.start(victim).wait(PATIENCE) == 73
        assert "replica replace" in nodes.log(victim)
        # Stamped anew as if nothing had been: its peers know better.
        init(nodes.config, victim, nodes.data(victim))
        assert nodes.start(victim).wait(PATIENCE) == 73
        assert "another data directory" in nodes.log(victim)
        shutil.rmtree(nodes.data(victim))
        index = nodes.names.index(victim)
        leads = {group: nodes.primary(group) for group in (0, 1)}
        assert victim not in leads.values()
        for group in (0, 1):
            healthy = next(n for n in nodes.names if n not in (victim, leads[group]))
            with pytest.raises(InvalidInput, match="at work"):
                db.replace(group, nodes.names.index(healthy))
        given = {group: db.replace(group, index) for group in (0, 1)}
        assert given == {0: 1, 1: 1}
        init(nodes.config, victim, nodes.data(victim), given)
        nodes.start(victim)
        fill(db, 20, 40)
        nodes.level()
        assert group_of(nodes.status()[victim], 1).incarnation == 1
    with Client(nodes.url_of(victim), timeout=PATIENCE) as one:
        assert payloads(one) == numbers(40)


def test_a_new_cluster_begins_when_its_nodes_have_met(tmp_path: Path) -> None:
    with Nodes(tmp_path, 3) as nodes:
        for name in nodes.names:
            init(nodes.config, name, nodes.data(name))
        nodes.start("n1")
        nodes.start("n2")
        seen = nodes.until(lambda seen: set(seen) == {"n1", "n2"})
        assert {group.role for one in seen.values() for group in one.groups} == {"unborn"}
        nodes.start("n3")
        nodes.ready()
        # Once born, two are enough.
        nodes.kill("n3")
        assert nodes.stop("n2") == 0
        nodes.start("n2")
        nodes.ready("n1", "n2")
        with nodes.client() as db:
            make_stream(db)
            fill(db, 0, 3)


def test_a_node_stops_in_order_and_says_so(nodes: Nodes) -> None:
    with nodes.client() as db:
        make_stream(db)
        first = nodes.primary()
        assert nodes.stop(first) == 0
        assert "stopped" in nodes.log(first)
        fill(db, 0, 5)
        nodes.start(first)
        nodes.level()
        db.step_down(1)
        nodes.until(lambda seen: any(group_of(s, 1).role == "primary" for s in seen.values()))
        fill(db, 5, 10)
        assert payloads(db) == numbers(10)


def test_directories_of_others_are_refused(nodes: Nodes) -> None:
    for name in nodes.names:
        assert nodes.stop(name) == 0
    assert nodes.data("n1").rename(nodes.folder / "kept")
    nodes.data("n2").rename(nodes.data("n1"))
    assert nodes.start("n1").wait(PATIENCE) == 73
    assert "belongs to node n2, not n1" in nodes.log("n1")
