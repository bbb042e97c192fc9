"""Which groups there are, and on which nodes their replicas live."""

from typing import NamedTuple

from veritydb.policy.placement import Directory
from veritydb.types.ids import GroupId
from veritydb.types.labels import GLOBAL, DataClass, Placement, Region

CLUSTER = bytes.fromhex("5eed") * 8
REGION_A = Region("au-syd")
REGION_B = Region("eu-fra")


class Group(NamedTuple):
    """One replication group: replica i lives on node `nodes[i]`."""

    number: GroupId
    placement: Placement
    nodes: tuple[int, ...]

    @property
    def region(self) -> str:
        """The region's name, "" for the global group."""
        return self.placement.name if isinstance(self.placement, Region) else ""

    @property
    def data_class(self) -> DataClass:
        """The class of the streams that clients make here."""
        return DataClass.PHI if self.region else DataClass.NON_PHI


def groups(shape: str) -> tuple[Group, ...]:
    """The groups of a plan's shape."""
    if shape == "regions":
        return (
            Group(GroupId(0), GLOBAL, (0, 3, 1)),
            Group(GroupId(1), REGION_A, (0, 1, 2)),
            Group(GroupId(2), REGION_B, (3, 4, 5)),
        )
    nodes = {"one": 1, "three": 3, "five": 5}[shape]
    return (Group(GroupId(1), REGION_A, tuple(range(nodes))),)


def directory(shape: str) -> Directory:
    """The directory that every node is configured with."""
    return Directory(tuple((group.number, group.region) for group in groups(shape)))
