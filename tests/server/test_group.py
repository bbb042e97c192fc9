"""Who waits at a group, and for how long."""

import asyncio
from typing import Any

import pytest

from tests.node.lone import Site
from veritydb.server.group import APPLIERS_KEPT, Group
from veritydb.server.log import Log
from veritydb.server.refusals import Refused
from veritydb.types.errors import EdgeCode


class Nowhere:
    """A world in which nothing is carried out."""

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
            group.tick(1)
            await asyncio.sleep(0)
        for one in waiting:
            with pytest.raises(Refused) as refused:
                await one
            assert refused.value.code == EdgeCode.DEADLINE and not refused.value.maybe_applied
        assert len(group._appliers) <= APPLIERS_KEPT

    asyncio.run(main())
