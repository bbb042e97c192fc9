"""Two regions, six processes: PHI of one leaves no trace in the other, whoever tries what.

The marker stands in everything a client can send. What a node of the other region keeps or says is
searched for it: every file of its directory, its log and its stream index among them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemesis.nodes import Nodes, configuration, veritydb
from tests.cluster.helpers import TENANT, payloads, written
from tests.server.raw import Raw, raw
from veritydb.client.sync import Client
from veritydb.errors import PlacementRefused, VerityError
from veritydb.server import config as configs
from veritydb.types.errors import EdgeCode
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.outcome import Code

pytestmark = pytest.mark.cluster

SYDNEY, FRANKFURT = Region("au-syd"), Region("eu-fra")
HERE = ("syd-1", "syd-2", "syd-3")
THERE = ("fra-1", "fra-2", "fra-3")
EXAMPLE = Path(__file__).parents[2] / "cluster-configs" / "two-regions.toml"
# Written in two pieces, so that no pyc file or traceback holds it by accident.
MARKER = "mRk-zQ" + "7391xv"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """The six nodes of the example configuration, on ports of their own."""
    example = configs.load(EXAMPLE)
    text = configuration(
        "two-regions",
        {node.name: node.region for node in example.nodes},
        {group.number: (group.region, group.replicas) for group in example.groups},
        'log_level = "debug"',
    )
    with Nodes(tmp_path_factory.mktemp("regions"), text) as made:
        made.up()
        yield made


def traces(nodes: Nodes, names: tuple[str, ...]) -> list[str]:
    """Files of these nodes that hold the marker, in bytes or in a name."""
    as_it_is = MARKER.encode()
    return holding(nodes, names, as_it_is, MARKER.encode("utf-16-le"), as_it_is.hex().encode())


def holding(nodes: Nodes, names: tuple[str, ...], *marks: bytes) -> list[str]:
    """Files of these nodes that hold one of these texts."""
    return [
        str(path)
        for name in names
        for path in nodes.data(name).rglob("*")
        if any(mark in os.fsencode(path.relative_to(nodes.data(name))) for mark in marks)
        or (path.is_file() and any(mark in part for part in written(path) for mark in marks))
    ]


def marked() -> Event:
    """The marker in every part of an event."""
    return Event(
        MARKER, MARKER.encode(), actor=MARKER, metadata=MARKER.encode(), tags=(MARKER.lower(),)
    )


def lead_from(nodes: Nodes, group: int, name: str) -> None:
    """Have a node lead a group."""
    with nodes.client() as db:
        for _ in range(9):
            if nodes.primary(group) == name:
                return
            db.step_down(group)
    raise AssertionError(f"{name} never came to lead group {group}")


def test_phi_of_one_region_is_nowhere_in_the_other(nodes: Nodes) -> None:
    with nodes.client() as db:
        here = db.create_stream(
            f"chart {MARKER}", tenant=TENANT, data_class=DataClass.PHI, placement=SYDNEY
        )
        for _ in range(50):
            here.append([marked()] * 5)
        there = db.create_stream(
            "chart", tenant=TENANT, data_class=DataClass.PHI, placement=FRANKFURT
        )
        there.append([Event("Seen", b"of frankfurt")])
        shared = db.create_stream(
            "shifts", tenant=TENANT, data_class=DataClass.NON_PHI, placement=GLOBAL
        )
        shared.append([Event("Began", b"of everybody")])
        assert payloads(here) == [MARKER.encode()] * 250
    nodes.level()
    # The search does find it where it is.
    assert len(traces(nodes, HERE)) >= 3
    assert traces(nodes, THERE) == []
    # The other way round, too.
    assert holding(nodes, HERE, b"of frankfurt") == []
    assert holding(nodes, THERE, b"of frankfurt") != []


def test_names_of_a_region_are_not_listed_by_the_other(nodes: Nodes) -> None:
    with nodes.client() as db:
        db.create_stream(f"listed {MARKER}", tenant=5, data_class=DataClass.PHI, placement=SYDNEY)
    nodes.level()
    asked: list[int] = []

    async def work(one: Raw) -> None:
        streams = await one.streams()
        answer = (await streams.list(tenant=5)).res
        asked.append(len(answer.streams))

    for name in THERE:
        raw(nodes, work, node=name)
    assert asked == [0, 0, 0]


def test_phi_for_everybody_is_refused_and_audited(nodes: Nodes) -> None:
    tenant = "4711"
    lead_from(nodes, 0, "fra-1")

    async def work(one: Raw) -> None:
        streams = await one.streams()
        req = {"tenant": 4711, "name": MARKER, "dataClass": "phi", "placement": {"global": None}}
        refused = (await streams.create(req=req)).res.refused
        assert refused.code == Code.PLACEMENT_REFUSED
        assert MARKER not in refused.message

    raw(nodes, work, node="fra-1")
    with nodes.client() as db:
        with pytest.raises(PlacementRefused):
            db.create_stream(MARKER, tenant=4711, data_class=DataClass.PHI, placement=GLOBAL)
        assert list(db.list_streams(tenant=4711)) == []
        # The refusal is written within a second; the reads below ask until it is there.
        while not [i for op in db.audit(4711, placement=GLOBAL) for i in op.items if i.record]:
            pass
    listed = veritydb("audit", "list", "--tenant", tenant, "--cluster", nodes.url)
    assert b"PLACEMENT_REFUSED" in listed.stdout.upper()
    assert MARKER.encode() not in listed.stdout
    nodes.level()
    assert traces(nodes, THERE) == []


def test_a_client_that_knows_only_the_other_region_leaves_nothing_there(nodes: Nodes) -> None:
    with nodes.client() as db:
        db.create_stream("target", tenant=TENANT, data_class=DataClass.PHI, placement=SYDNEY)
        db.create_stream(
            f"target {MARKER}", tenant=TENANT, data_class=DataClass.PHI, placement=SYDNEY
        )
    with Client(nodes.url_of(*THERE), timeout=20.0) as db:
        # It learns where the others are, and sends nothing by way of a node that must not have it.
        db.create_stream(MARKER, tenant=TENANT, data_class=DataClass.PHI, placement=SYDNEY)
        db.stream("target", tenant=TENANT).append([marked()])
        db.stream(f"target {MARKER}", tenant=TENANT).append([marked()])
        with pytest.raises(VerityError):
            db.stream(f"nowhere {MARKER}", tenant=TENANT)
    assert traces(nodes, THERE) == []


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """What a careless client may send to whichever node it reaches."""
    event = {
        "type": MARKER,
        "payload": MARKER.encode(),
        "actor": MARKER,
        "metadata": MARKER.encode(),
    }
    for place in ({"region": "au-syd"}, {"region": MARKER.lower()}, {"unspecified": None}):
        for name in ("target", MARKER):
            ref = {"tenant": TENANT, "named": {"name": name, "placement": place}}
            yield "publish", {"stream": ref, "events": [event]}
            yield "read", {"stream": ref}
        yield (
            "create",
            {"tenant": TENANT, "name": MARKER, "dataClass": "phi", "placement": place},
        )
    yield "publish", {"stream": {"tenant": TENANT, "id": 1 << 48 | 1}, "events": [event]}
    yield "publish", {"stream": {"tenant": TENANT, "id": 2 << 48 | 999}, "events": [event]}
    yield "publish", {"stream": {"tenant": TENANT, "id": 999}, "events": [event]}


def test_what_is_sent_to_the_wrong_region_all_the_same_leaves_nothing(nodes: Nodes) -> None:
    lead_from(nodes, 0, "fra-1")
    refused: list[Any] = []

    async def work(one: Raw) -> None:
        streams = await one.streams()
        for method, req in requests():
            answer = (await getattr(streams, method)(req=req)).res
            assert str(answer.which()) == "refused", (method, req)
            refused.append((answer.refused.code, answer.refused.message + answer.refused.name))
        # As an entry, encoded by the client; the first 16 bytes of a header are no text.
        answer = (await streams.append(entry=MARKER.encode() * 40)).res
        refused.append((answer.refused.code, answer.refused.message))

    for name in THERE:
        raw(nodes, work, client=MARKER.encode().ljust(16, b".")[:16], node=name)
    assert not [message for _, message in refused if MARKER in message]
    assert {code for code, _ in refused} >= {EdgeCode.UNKNOWN_GROUP, EdgeCode.INVALID_INPUT}
    nodes.level()
    assert traces(nodes, THERE) == []


def test_nothing_appears_when_nodes_end_and_come_back(nodes: Nodes) -> None:
    nodes.stop(*THERE)
    assert traces(nodes, THERE) == []
    for name in THERE:
        checked = veritydb("verify", str(nodes.data(name)))
        assert checked.returncode == 0, checked.stdout
    nodes.up()
    nodes.level()
    assert traces(nodes, THERE) == []
