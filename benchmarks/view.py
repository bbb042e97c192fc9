"""What the nodes say of themselves, for a program without a loop of its own."""

import asyncio
from collections.abc import Sequence

from veritydb.client import kj
from veritydb.client.core import Core
from veritydb.client.routing import Routing
from veritydb.client.transport import dial_tcp
from veritydb.client.values import NodeStatus


def statuses(addresses: Sequence[str]) -> list[NodeStatus]:
    """Ask each node; one that does not answer in half a second is not reachable."""
    return asyncio.run(_ask(tuple(addresses)))


async def _ask(addresses: tuple[str, ...]) -> list[NodeStatus]:
    async with kj.running():
        core = Core(Routing(addresses), dial_tcp)
        try:
            return list(await asyncio.gather(*map(core.status_of, addresses)))
        finally:
            await core.close()
