"""A state that is no longer needed goes bit by bit, and nothing else goes with it."""

import asyncio
import weakref

from tests.streams.helpers import Group
from veritydb.kernel.snapshot import digest
from veritydb.server.dismantling import AT_A_TIME, Dismantling, steps
from veritydb.server.machine import MACHINE
from veritydb.server.pauses import Pauses

STREAMS = 3 * AT_A_TIME + 1


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
    async def main() -> None:
        ended = asyncio.Event()
        gone = Dismantling(group.state.streams, asyncio.get_running_loop(), MACHINE, pauses)
        weakref.finalize(gone, ended.set)
        del group.state, gone
        await ended.wait()

    group, pauses = filled(), Pauses()
    asyncio.run(main())
    assert sum(pauses.snapshot.counts) >= 1
