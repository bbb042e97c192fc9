"""A state that is no longer needed goes bit by bit, and nothing else goes with it."""

import sys

from tests.streams.helpers import Group
from veritydb.kernel.snapshot import digest
from veritydb.server.dismantling import AT_A_TIME, steps

STREAMS = 3 * AT_A_TIME + 1
# In a list, as the loop's variable, and as an argument.
ALONE = 3


def filled() -> Group:
    group = Group()
    for number in range(STREAMS):
        stream = group.create(f"s{number}")
        group.append(stream, origin=(number + 1).to_bytes(16, "big"))
    return group


def test_what_others_hold_stays_as_it_was() -> None:
    group = filled()
    before = digest(group.state)
    assert sum(1 for _ in steps(group.state.streams)) > STREAMS // AT_A_TIME
    assert digest(group.state) == before


def test_in_the_end_nothing_is_left_of_it() -> None:
    group = filled()
    names = [stream.info.name for stream in group.state.streams.records.values()]
    going = steps(group.state.streams)
    next(going)
    del group
    next(going)
    alone = [sys.getrefcount(name) == ALONE for name in names]
    assert any(alone) and not all(alone)
    assert [*going]
    assert {sys.getrefcount(name) for name in names} == {ALONE}
