"""The state of one group: everything that its log has decided so far."""

import msgspec

from veritydb.policy.placement import Directory, region_name
from veritydb.policy.state import PolicyState
from veritydb.streams.state import Streams
from veritydb.types.ids import GroupId
from veritydb.types.labels import Placement

KERNEL_VERSION = 1
"""How this code decides. A frame header names the version that decides its entries."""


class KernelState(msgspec.Struct, frozen=True, gc=False):
    """The capabilities' states, and what the group was born with.

    `region` is the one the group serves, "" for the global group; `kernel` the version in force.
    """

    group: GroupId
    region: str
    directory: Directory
    kernel: int
    policy: PolicyState
    streams: Streams


def genesis(group: GroupId, placement: Placement, directory: Directory) -> KernelState:
    """Return the state before op 1. Raises ValueError if the directory says otherwise."""
    region = region_name(placement)
    if directory.region_of(group) != region:
        raise ValueError(f"the directory does not give {placement} to group {group}")
    state = KernelState(group, region, directory, KERNEL_VERSION, PolicyState(), Streams(group))
    assert state.streams.created == 0
    return state
