"""The numbers that name things. All unsigned; `NewType` keeps one from being passed as another."""

from typing import NewType

TenantId = NewType("TenantId", int)
StreamId = NewType("StreamId", int)
"""64 bits: the group's number in the upper 16, a counter of that group, from 1, in the lower 48."""
Offset = NewType("Offset", int)
"""Position of an event in its stream; the first is 0."""
GroupId = NewType("GroupId", int)
"""Number of a replication group; 0 is the global group."""
Op = NewType("Op", int)
"""Position of a frame in its group's log; the first is 1, 0 means none."""
View = NewType("View", int)
ClientId = NewType("ClientId", bytes)
"""16 random bytes that one client process chose for itself."""

GLOBAL_GROUP = GroupId(0)
GROUP_ID_MAX = (1 << 16) - 1
STREAM_COUNTER_MAX = (1 << 48) - 1
U64_MAX = (1 << 64) - 1
ID_BYTES = 16
NO_ID = bytes(ID_BYTES)


def stream_id(group: GroupId, counter: int) -> StreamId:
    """Name the `counter`-th stream of a group."""
    assert 0 <= group <= GROUP_ID_MAX
    assert 0 < counter <= STREAM_COUNTER_MAX
    return StreamId(group << 48 | counter)


def group_of(stream: StreamId) -> GroupId:
    """Return the group that holds a stream; its id alone tells."""
    assert 0 <= stream <= U64_MAX
    return GroupId(stream >> 48)
