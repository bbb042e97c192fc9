"""Three servers and their client in one process, so that all that they do can be counted."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import capnp
import trio

import veritydb.aio
from tests.server.nodes import config_text
from veritydb.aio import AsyncClient
from veritydb.server.config import Config, parse
from veritydb.server.datadir import init, open_dir
from veritydb.server.host import from_trio, host
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.main import listen_all
from veritydb.server.node_server import NodeServer

T = TypeVar("T")
Use = Callable[[AsyncClient, list[NodeServer]], Awaitable[T]]
NAMES = ["n1", "n2", "n3"]
POLL_SECONDS = 0.01


def fatal(where: str, reason: BaseException | str) -> None:
    """Whatever this is, the process is not its own."""
    raise AssertionError(f"{where}: {reason}")


class Household:
    """Servers of one configuration on one loop."""

    def __init__(self, config: Config, path: Path, machine: Machine) -> None:
        self._config = config
        self.servers = []
        for name in NAMES:
            data = open_dir(config, name, path / name)
            log = Log("error")
            self.servers.append(NodeServer(config, name, data, log, fatal, machine=machine))
        self._listening: list[asyncio.Server] = []
        self._loop = asyncio.get_running_loop()

    async def live(self, use: Use[T]) -> T:
        """Run until `use` has ended; return what it returns."""
        found: list[T] = []

        async def main(_stop: Callable[[], None]) -> None:
            async with trio.open_nursery() as nursery:
                for server in self.servers:
                    nursery.start_soon(server.run, lambda: None)
                    nursery.start_soon(self._listen, server)
                found.append(await from_trio(self._loop, self._used(use)))
                nursery.cancel_scope.cancel()

        try:
            await host(main, signals=False)
        finally:
            for one in self._listening:
                one.close()
            for server in self.servers:
                server.close()
        return found[0]

    async def _listen(self, server: NodeServer) -> None:
        part = self._config.node(server.name)
        self._listening += await from_trio(self._loop, listen_all(server, part))

    async def _used(self, use: Use[T]) -> T:
        groups = [one.group for server in self.servers for one in server.hosted.values()]
        # Nobody tells when a group has a primary.
        while sum(group.leads for group in groups) < len(self._config.groups):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        url = "veritydb://" + ",".join(self._config.node(name).client for name in NAMES)
        async with veritydb.aio.connect(url) as client:
            return await use(client, self.servers)


def keep_house(path: Path, machine: Machine, use: Use[T]) -> T:
    """Start three servers, let `use` have a client of theirs, and end them."""
    config = parse(config_text(NAMES, "tick_ms = 50"))
    for name in NAMES:
        init(config, name, path / name)

    async def main() -> T:
        return await Household(config, path, machine).live(use)

    return asyncio.run(capnp.run(main()))
