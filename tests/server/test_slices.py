"""A long job leaves the loop alone between its slices."""

import asyncio
from itertools import pairwise

from veritydb.server.machine import Machine
from veritydb.server.pauses import Histogram
from veritydb.server.slices import SLICE_NS, Slices


class Slow(Machine):
    """A machine on which every look at the clock finds a slice nearly over."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.monotonic_ns = self.look

    def look(self) -> int:
        self.now += SLICE_NS // 2
        return self.now


def test_a_job_is_done_in_slices_with_rests() -> None:
    taken: list[int] = []
    turns = 0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def step() -> bool:
            taken.append(turns)
            if len(taken) == 7:
                done.set()
            return len(taken) < 7

        def turn() -> None:
            nonlocal turns
            turns += 1
            if not done.is_set():
                loop.call_soon(turn)

        turn()
        Slices(step, loop, Slow(), took).go_on()
        assert not taken
        await done.wait()

    took = Histogram()
    asyncio.run(main())
    slices = sorted(set(taken))
    assert len(slices) == sum(took.counts) > 2
    # Between any two of them the loop had several turns for others.
    assert all(later - earlier > 1 for earlier, later in pairwise(slices))
