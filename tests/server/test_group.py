"""Who waits at a group, and for how long."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.node.lone import Site
from veritydb.server.group import APPLIERS_KEPT, Group
from veritydb.server.log import Log
from veritydb.server.refusals import Refused
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import ClientId


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
