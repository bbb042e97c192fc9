"""Who waits at a group, and for how long."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.node.lone import Site
from veritydb.node.events import Submitted, SubmittedTogether
from veritydb.server.group import APPLIERS_KEPT, Group
from veritydb.server.log import Log
from veritydb.server.refusals import Refused
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import ClientId
from veritydb.vsr.commit import ENTRIES_PER_STEP
from veritydb.vsr.effects import ReadFrames
from veritydb.vsr.events import FramesRead


class Nowhere:
    """A world in which nothing is carried out."""

    def at_once(self, work: Callable[[], None]) -> None:
        work()

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def test_whoever_waits_for_what_never_comes_leaves_nothing_behind() -> None:
    async def main() -> None:
        site = Site()
        group = Group(1, site.node, Nowhere(), Log())
        waiting = [asyncio.ensure_future(group.reached(10**15, 1)) for _ in range(500)]
        await asyncio.sleep(0)
        assert group.outstanding() == 500
        while group.outstanding():
            group.tick()
            await asyncio.sleep(0)
        for one in waiting:
            with pytest.raises(Refused) as refused:
                await one
            assert refused.value.code == EdgeCode.DEADLINE and not refused.value.maybe_applied
        assert len(group._appliers) <= APPLIERS_KEPT

    asyncio.run(main())


class Roomy(Nowhere):
    """One with a disk that has room."""

    def writable(self) -> bool:
        return True


def test_after_a_pause_an_entry_is_given_the_time_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        site = Site()
        group = Group(1, site.node, Roomy(), Log())
        entry = with_body(EntryHeader(kind=Kind.REGISTER, client=ClientId(b"c" * 16)), b"")
        before = time.time_ns()
        assert site.node.replica.log_time < before
        # Every pause is long.
        monkeypatch.setattr("veritydb.server.group.STALE_NS", -1)
        waiting = asyncio.ensure_future(group.submit(entry, 60_000))
        await asyncio.sleep(0)
        assert site.node.replica.log_time >= before
        waiting.cancel()

    asyncio.run(main())


class Left(Roomy):
    """One that carries out what a start reads, and nothing else."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.group: Group | None = None
        self.applied_at: list[int] = []

    def read_frames(self, effect: ReadFrames) -> None:
        assert self.group is not None
        event = self.site.perform(effect)
        assert isinstance(event, FramesRead)
        self.group.post(event)

    def applied(self, op: int) -> None:
        self.applied_at.append(op)


def test_what_a_step_leaves_is_applied_turn_by_turn_and_without_waiting_for_time() -> None:
    async def main() -> None:
        site = Site()
        entry = with_body(EntryHeader(kind=Kind.REGISTER, client=ClientId(b"c" * 16)), b"")
        for _ in range(4):
            ones = [Submitted(at, entry) for at in range(ENTRIES_PER_STEP)]
            site.step(SubmittedTogether(tuple(ones)))
        last = site.node.applied
        site.reopen()
        world = Left(site)
        world.group = group = Group(1, site.node, world, Log())
        group.tick()
        ops = []
        for _ in range(10):
            ops.append(group.node.applied)
            await asyncio.sleep(0)
        assert ops[0] < ops[-1] == last
        assert world.applied_at == sorted(set(ops) - {0})
        assert all(after - before <= 1 for before, after in pairwise(ops))

    asyncio.run(main())
