"""What a node takes of the computer it runs on: time, chance, disks, threads and connections.

All of it comes through one object, so that the same server runs on a simulated computer as well.
"""

import asyncio
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
    """The real one. A test overrides what it wants to be different."""

    def __init__(self) -> None:
        self.random: random.Random = random.SystemRandom()

    # Asked several times per request, so nothing stands between the caller and the clock.
    monotonic_ns: Callable[[], int] = staticmethod(time.monotonic_ns)
    wall_ns: Callable[[], int] = staticmethod(time.time_ns)

    # -- disks

    # Where a write of frames takes less than this on average, the loop's thread may wait for it.
    quick_ns = 1_000_000

    def disk(self, folder: Path) -> OpenDisk:
        """Open the files of one replica."""
        return FileDisk(folder)

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

    async def dial(self, host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
        """Connect to another node, and let `protocol` have the connection. Raises OSError."""
        await asyncio.get_running_loop().create_connection(lambda: protocol, host, port)

    async def serve(self, stream: Any, offered: Any) -> None:
        """Let whoever connected call what is offered, until it is gone."""
        await transport.serve(stream, offered)


MACHINE = Machine()
