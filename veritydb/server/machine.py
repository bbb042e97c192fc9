"""What a node takes of the computer it runs on: time, chance, disks, threads and connections.

All of it comes through one object, so that the same server runs on a simulated computer as well.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio

from veritydb.server import transport
from veritydb.server.files import FileDisk
from veritydb.storage.disk import Disk

T = TypeVar("T")
READERS = 4


class OpenDisk(Disk, Protocol):
    """A disk that keeps files open."""

    def close(self) -> None:
        """Close them all."""


class Thread(Protocol):
    """A thread that was started."""

    def join(self) -> None:
        """Wait for its end."""


class Machine:
    """The real one. `wall` is the time in ns since 1970; `disk` opens the files of a directory."""

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        disk: Callable[[Path], OpenDisk] = FileDisk,
    ) -> None:
        """A test may hand in its own."""
        # Attributes, not methods: they are asked several times per request.
        self.wall = wall
        self.monotonic: Callable[[], int] = time.monotonic_ns
        self.random: random.Random = random.SystemRandom()
        self.disk = disk

    def free_bytes(self, path: str) -> int:
        """How much may still be written below a path."""
        space = os.statvfs(path)
        return space.f_bavail * space.f_frsize

    # -- threads

    def readers(self) -> Executor:
        """Threads for reads."""
        return ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    def thread(self, run: Callable[[], None], name: str) -> Thread:
        """Start a thread, which does not keep the process alive."""
        started = threading.Thread(target=run, name=name, daemon=True)
        started.start()
        return started

    def condition(self) -> threading.Condition:
        """What a thread waits at until another one notifies it."""
        return threading.Condition()

    async def work(self, job: Callable[[], T]) -> T:
        """Run a job on a thread, from Trio. It is always waited for: it uses a group's files."""
        with trio.CancelScope(shield=True):
            result = await trio.to_thread.run_sync(job)
        return result

    # -- connections

    async def dial(self, host: str, port: int, interface: Any) -> transport.Line:
        """Connect to a peer that offers `interface`. Raises OSError."""
        return await transport.dial(host, port, interface)

    async def serve(self, stream: Any, offered: Any) -> None:
        """Let whoever connected call what is offered, until it is gone."""
        await transport.serve(stream, offered)


MACHINE = Machine()
