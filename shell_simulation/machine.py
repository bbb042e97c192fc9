"""The machine that a simulated process runs on: every part of it refuses one that has ended."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio

from shell_simulation.disk import Owner, ThreadedDisk
from shell_simulation.home import Home
from shell_simulation.loop import Died
from shell_simulation.threads import Readers, SimCondition, SimThread, Threads
from shell_simulation.world import World
from simulation.clocks import EPOCH
from simulation.world import US
from veritydb.server.machine import Machine

T = TypeVar("T")
QUICK_MAX = 2_000 * US


class Life(Owner, Protocol):
    """The process."""

    name: str
    home: Home
    world: World
    threads: Threads

    async def dial(self, port: int, protocol: asyncio.BufferedProtocol) -> None:
        """Connect to the node whose port this is."""


class SimMachine(Machine):
    """See `Machine`."""

    def __init__(self, process: Life) -> None:
        self._process = process
        self._home = process.home
        self._world = process.world
        self.random = process.world.choices.random(f"random.{process.name}")
        # Some write on the loop's thread soon, some late, and some never.
        self.quick_ns = process.world.choices.between("disk.quick", 0, QUICK_MAX)
        self._booted = process.world.choices.between("clock.boot", 1, 1 << 40)

    def monotonic_ns(self) -> int:
        """See `Machine`."""
        self._process.alive()
        return self._booted + self._world.now

    def wall_ns(self) -> int:
        """See `Machine`."""
        self._process.alive()
        return EPOCH + self._home.skew + self._world.now

    def disk(self, folder: Path) -> ThreadedDisk:
        """See `Machine`."""
        return ThreadedDisk(self._home.disks[folder.name], self._process)

    def free_bytes(self, path: str) -> int:
        """See `Machine`."""
        self._process.alive()
        return self._home.free

    def readers(self) -> Executor:
        """See `Machine`."""
        return Readers(self._process.threads)

    def thread(self, run: Callable[[], None], name: str) -> SimThread:
        """See `Machine`."""
        return self._process.threads.start(run, name)

    def condition(self) -> Any:
        """See `Machine`."""
        return SimCondition(self._process.threads)

    async def work(self, job: Callable[[], T]) -> T:
        """See `Machine`."""
        done = trio.Event()
        result: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                result.append(job())
            except BaseException as error:
                errors.append(error)
                if isinstance(error, Died):
                    raise
            finally:
                self._world.after(0, done.set)

        self._process.alive()
        self._process.threads.start(run, "work")
        with trio.CancelScope(shield=True):
            await done.wait()
        if errors:
            raise errors[0]
        return result[0]

    async def dial(self, host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
        """See `Machine`."""
        await self._process.dial(port, protocol)

    async def serve(self, stream: Any, offered: Any) -> None:
        """See `Machine`."""
        await stream.serve(offered)
