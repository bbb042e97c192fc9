"""Two regions, six real processes: what must stay in one is found nowhere in the other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.nodes import PATIENCE, Nodes, free_ports
from tests.server.raw import Raw, raw
from veritydb.client.sync import Client
from veritydb.client.values import RecordedEvent
from veritydb.types.errors import EdgeCode, VerityError
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.outcome import Code

pytestmark = pytest.mark.cluster
CONFIG = Path(__file__).parents[2] / "cluster-configs" / "two-regions.toml"
MARKER = b"m4rk3r-0f-4-p4t13nt"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """The configuration as it is shipped, on ports of its own."""
    text = CONFIG.read_text()
    ports = free_ports(len(re.findall(r"127\.0\.0\.1:\d+", text)))
    text = re.sub(r"127\.0\.0\.1:\d+", lambda _: f"127.0.0.1:{ports.pop()}", text)
    with Nodes(tmp_path_factory.mktemp("regions"), 0, text=text) as made:
        made.make()
        made.ready()
        yield made


def regions(nodes: Nodes) -> tuple[str, str]:
    """The two."""
    first, second = sorted({node.region for node in nodes.config.nodes})
    return first, second


def names_in(nodes: Nodes, region: str) -> list[str]:
    """The nodes of a region."""
    return [node.name for node in nodes.config.nodes if node.region == region]


def nowhere(nodes: Nodes, region: str) -> bool:
    """Whether the marker is in no file and no log line of a region."""
    return all(
        MARKER not in file.read_bytes()
        for name in names_in(nodes, region)
        for file in [*nodes.data(name).rglob("*"), nodes.folder / f"{name}.log"]
        if file.is_file()
    )


def test_phi_stays_in_its_region(nodes: Nodes) -> None:
    here, there = regions(nodes)
    with nodes.client() as db:
        stream = db.create_stream(
            MARKER.decode(), tenant=1, data_class=DataClass.PHI, placement=Region(here)
        )
        stream.append([Event(MARKER.decode(), MARKER, actor=MARKER.decode(), metadata=MARKER)])
        common = db.create_stream("open", tenant=1, data_class=DataClass.NON_PHI, placement=GLOBAL)
        common.append([Event("T", b"everywhere")])
        found = list(db.stream("open", tenant=1, placement=GLOBAL).read(from_offset=0))
        assert [one.payload for one in found if isinstance(one, RecordedEvent)] == [b"everywhere"]
    assert not nowhere(nodes, here)
    assert nowhere(nodes, there)


def test_a_client_of_the_wrong_region_leaves_no_trace_there(nodes: Nodes) -> None:
    here, there = regions(nodes)
    for name in names_in(nodes, there):

        async def work(one: Raw) -> None:
            streams = await one.streams()
            text = MARKER.decode()
            make = {"tenant": 1, "name": text, "dataClass": "phi"}
            away = await streams.create(req={**make, "placement": {"region": here}})
            assert away.res.refused.code == EdgeCode.UNKNOWN_GROUP
            assert away.res.refused.redirect
            wide = await streams.create(req={**make, "placement": {"global": None}})
            assert wide.res.which() == "refused"
            codes = {Code.PLACEMENT_REFUSED, EdgeCode.UNKNOWN_GROUP, EdgeCode.NOT_PRIMARY}
            assert wide.res.refused.code in codes
            event = {"type": text, "payload": MARKER, "actor": text, "metadata": MARKER}
            ref = {"tenant": 1, "named": {"name": text, "placement": {"region": here}}}
            sent = await streams.publish(req={"stream": ref, "events": [event]})
            assert sent.res.refused.code == EdgeCode.UNKNOWN_GROUP
            assert text not in sent.res.refused.message

        raw(nodes, work, node=name)
    assert nowhere(nodes, there)


def test_every_class_goes_where_the_table_says(nodes: Nodes) -> None:
    here, there = regions(nodes)
    allowed = 0
    with nodes.client() as db:
        for data_class in DataClass:
            for placement in (Region(here), Region(there), GLOBAL, Region("eu-north-9")):
                name = f"{data_class.name}-{placement}"
                try:
                    made = db.create_stream(
                        name, tenant=9, data_class=data_class, placement=placement
                    )
                except VerityError:
                    unknown = placement == Region("eu-north-9")
                    assert unknown or (data_class is DataClass.PHI and placement == GLOBAL)
                else:
                    allowed += 1
                    info = made.info()
                    assert info.placement == placement and info.data_class is data_class
    assert allowed == 8


def test_a_node_without_the_group_says_who_has_it(nodes: Nodes) -> None:
    here, there = regions(nodes)
    (group,) = (one.number for one in nodes.config.groups if one.region == here)
    other = names_in(nodes, there)[0]
    with Client(nodes.url_of(other), timeout=PATIENCE) as db:
        assert {one.group for one in db.directory()} == {0, 1, 2}
        # Reached by following what the directory says, and never through the wrong region's node.
        db.create_stream("far", tenant=1, data_class=DataClass.PHI, placement=Region(here))
        assert db.stream("far", tenant=1).info().group == group
