"""Where data may lie: the built-in table of class by placement, and the directory of groups.

|              | a region           | global             |
| ------------ | ------------------ | ------------------ |
| PHI          | that region's group | refused            |
| NonPHI       | that region's group | the global group   |
| Deidentified | that region's group | the global group   |

The same function answers the SDK, the node before it proposes, and the kernel on every replica.
"""

import msgspec

from veritydb.types.ids import GLOBAL_GROUP, GROUP_ID_MAX, GroupId
from veritydb.types.labels import DataClass, Global, Placement, Region
from veritydb.types.outcome import Code

GLOBAL_CLASSES = (DataClass.NON_PHI, DataClass.DEIDENTIFIED)
"""What may lie on any node of the cluster. A policy may take away from it, never add."""


class Directory(msgspec.Struct, frozen=True):
    """Which group holds what: (number, region) in ascending order, "" for the global group."""

    groups: tuple[tuple[int, str], ...]

    def __post_init__(self) -> None:
        """Refuse a directory that would send one region's data to two groups, or to none."""
        numbers = [number for number, _ in self.groups]
        if numbers != sorted(set(numbers)) or not all(0 <= n <= GROUP_ID_MAX for n in numbers):
            raise ValueError(f"group numbers are not ascending or over {GROUP_ID_MAX}: {numbers}")
        regions = [region for _, region in self.groups]
        if len(set(regions)) != len(regions):
            raise ValueError(f"a region is served by two groups: {regions}")
        for number, region in self.groups:
            if (number == GLOBAL_GROUP) != (region == ""):
                raise ValueError("group 0 is the global group, and no other is")
            if region:
                Region(region)

    def region_of(self, group: GroupId) -> str | None:
        """Return the region that a group serves, "" for the global group, None for no group."""
        return next((region for number, region in self.groups if number == group), None)


def region_name(placement: Placement) -> str:
    """Return how the directory calls a placement."""
    return "" if isinstance(placement, Global) else placement.name


def placement_of(region: str) -> Placement:
    """Return the placement that the directory calls `region`. Raises ValueError."""
    return Region(region) if region else Global()


def group_for_placement(
    directory: Directory, data_class: DataClass, placement: Placement
) -> GroupId | Code:
    """Return the group that must hold such a stream, or why there is none."""
    if isinstance(placement, Global) and data_class not in GLOBAL_CLASSES:
        return Code.PLACEMENT_REFUSED
    wanted = region_name(placement)
    for number, region in directory.groups:
        if region == wanted:
            return GroupId(number)
    return Code.NO_SUCH_REGION
