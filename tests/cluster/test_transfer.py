"""A node that is brought up from another's snapshot while writes go on, and ends with it all."""

from collections.abc import Iterator

import pytest

from nemesis.nodes import Nodes, three_nodes, veritydb
from tests.cluster.helpers import TENANT, make_stream, payloads, payloads_everywhere
from tests.cluster.test_faults import Writer
from veritydb.client.sync import Stream
from veritydb.types.event import Event

pytestmark = pytest.mark.cluster

# As small as they may be, so that a short log already has what long ones have.
SERVER = "snapshot_entries = 100\ntransfer_ops = 100"
OPS = 600


@pytest.fixture
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes of their own, which take snapshots often."""
    with Nodes(tmp_path_factory.mktemp("transfer"), three_nodes("transfer", server=SERVER)) as made:
        made.up()
        yield made


def fill(stream: Stream) -> list[bytes]:
    """Append one event per op."""
    wanted = [b"early %d" % number for number in range(OPS)]
    for payload in wanted:
        stream.append([Event("Early", payload)])
    return wanted


def sound(nodes: Nodes) -> None:
    """Every byte on every disk is what it has to be."""
    nodes.stop()
    for name in nodes.names:
        checked = veritydb("verify", str(nodes.data(name)))
        assert checked.returncode == 0, checked.stdout.decode()


def test_an_emptied_node_takes_a_snapshot_and_fetches_the_history(hasty: Nodes) -> None:
    nodes = hasty
    with nodes.client() as db:
        early = make_stream(db, "early")
        wanted = fill(early)
        writer = Writer(make_stream(db, "meanwhile"))
        with writer:
            victim = next(name for name in nodes.names if name != nodes.primary(1))
            nodes.kill(victim)
            nodes.empty(victim)
            nodes.replace(victim)
            nodes.start(victim)
            nodes.ready()
            # It alone is asked: what is not here yet it refuses, until it is.
            with nodes.client(victim) as alone:
                assert payloads(alone.stream(early.name, tenant=TENANT), victim) == wanted
            writer.past(30)
        writer.check(nodes)
    said = nodes.log(victim)
    assert "snapshot.taken_up" in said and "history.complete" in said
    sound(nodes)


def test_a_node_that_was_away_for_long_takes_a_snapshot(hasty: Nodes) -> None:
    nodes = hasty
    with nodes.client() as db:
        before = make_stream(db, "before")
        before.append([Event("Early", b"before")])
        away = next(name for name in nodes.names if name != nodes.primary(1))
        nodes.kill(away)
        early = make_stream(db, "early")
        wanted = fill(early)
        nodes.start(away)
        assert payloads_everywhere(nodes, before) == [[b"before"]] * 3
        assert payloads_everywhere(nodes, early) == [wanted] * 3
    assert "snapshot.taken_up" in nodes.log(away)
    sound(nodes)
