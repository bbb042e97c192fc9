"""A snapshot on its way to the disk: what is written meanwhile does not wait for it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.storage.logs import chain, identity
from veritydb.node.effects import TakeSnapshot
from veritydb.node.events import Event, SnapshotWritten
from veritydb.server.files import FileDisk
from veritydb.server.log import Log
from veritydb.server.machine import MACHINE
from veritydb.server.pauses import Pauses
from veritydb.server.snapshots import UNSYNCED_MAX, SnapshotTask
from veritydb.server.writer import Writer
from veritydb.storage.names import SNAPSHOT_NEW
from veritydb.storage.store import Store

PATIENCE = 60.0
CHUNKS = [bytes([number]) * (UNSYNCED_MAX // 4) for number in range(1, 7)]


class Reluctant(FileDisk):
    """A disk that does not finish to sync a snapshot before it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked = threading.Event()
        self.told = threading.Event()

    def sync(self, name: str) -> None:
        if name == SNAPSHOT_NEW:
            self.asked.set()
            assert self.told.wait(PATIENCE)
        super().sync(name)


def test_the_writer_does_not_wait_for_the_sync_of_a_snapshot(tmp_path: Path) -> None:
    async def main() -> SnapshotWritten:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Event] = loop.create_future()

        def failed(error: BaseException) -> None:
            loop.call_soon_threadsafe(done.set_exception, error)

        def in_pool(job: Callable[[], Event | None]) -> None:
            def run() -> None:
                event = job()
                if event is not None:
                    loop.call_soon_threadsafe(done.set_result, event)

            pool.submit(run)

        writer = Writer(store, lambda events: None, failed, lambda entries: None, "test")
        effect = TakeSnapshot(frames[-1].header, bytes(32), iter(CHUNKS))
        task = SnapshotTask(
            effect, store, slow, writer, in_pool, loop, Log("error"), MACHINE, Pauses()
        )
        task.start()
        await asyncio.to_thread(slow.asked.wait, PATIENCE)
        # The snapshot waits for its sync; a write that comes now does not.
        wrote = threading.Event()
        writer.put(wrote.set)
        assert await asyncio.to_thread(wrote.wait, PATIENCE)
        assert writer.crowded
        slow.told.set()
        event = await asyncio.wait_for(done, PATIENCE)
        assert not writer.crowded
        writer.close()
        assert isinstance(event, SnapshotWritten)
        return event

    disk, slow = FileDisk(tmp_path), Reluctant(tmp_path)
    frames = chain(3)
    Store.format(disk, identity())
    store, _ = Store.open(disk)
    store.append(frames)
    with ThreadPoolExecutor(2) as pool:
        written = asyncio.run(main())
    store.write_superblock(None, written.ref)
    assert list(store.read_snapshot()) == CHUNKS
    slow.close()
    disk.close()
