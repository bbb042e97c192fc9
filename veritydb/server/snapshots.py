"""Taking a snapshot: chunks are made on the loop's thread in slices, and written by a reader.

The state a snapshot is made of never changes, so it may take its time. The writer only makes
durable what the snapshot relies on: while it wrote, synced and read back many megabytes, nothing
could be acknowledged.
"""

import asyncio
from collections.abc import Callable

from veritydb.node.effects import TakeSnapshot
from veritydb.node.events import Event, SnapshotAbandoned, SnapshotWritten
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.pauses import Pauses
from veritydb.server.slices import Slices
from veritydb.server.writer import Writer
from veritydb.storage.disk import Disk, DiskFull
from veritydb.storage.names import SNAPSHOT_NEW
from veritydb.storage.snapshots import Composer
from veritydb.storage.store import Store

QUEUED_MAX = 4 << 20
# So little is left unsynced: syncing all of it at the end would hold up every other sync.
UNSYNCED_MAX = 4 << 20


class SnapshotTask:
    """One snapshot on its way to the disk."""

    def __init__(
        self,
        effect: TakeSnapshot,
        store: Store,
        disk: Disk,
        writer: Writer,
        in_pool: Callable[[Callable[[], Event | None]], None],
        loop: asyncio.AbstractEventLoop,
        log: Log,
        machine: Machine,
        pauses: Pauses,
    ) -> None:
        """`disk` is for this alone: files that are written belong to one thread at a time."""
        self._effect = effect
        self._store = store
        self._disk = disk
        self._writer = writer
        self._in_pool = in_pool
        self._loop = loop
        self._log = log
        self._composer: Composer | None = None
        self._chunks: list[bytes] = []
        self._queued = 0
        self._complete = False
        self._waiting = False
        self._at_work = True
        self._stopped = False
        self._unsynced = 0
        self._slices = Slices(self._step, loop, machine, pauses.snapshot)
        self._now = machine.monotonic_ns
        self._began = self._now()

    def start(self) -> None:
        """Begin, soon."""
        self._writer.crowded = True
        self._writer.put(self._begin)
        self._slices.go_on()

    def stop(self) -> None:
        """Hand nothing on any more: the node stops."""
        self._stopped = True

    # -- on the loop's thread

    def _step(self) -> bool:
        if self._queued >= QUEUED_MAX:
            self._waiting = True
            return False
        chunk = next(self._effect.chunks, None)
        if chunk is None:
            self._complete = True
        else:
            self._chunks.append(chunk)
            self._queued += len(chunk)
        self._hand_on()
        return chunk is not None

    def _hand_on(self) -> None:
        """Have what there is written, if nothing is being written."""
        if self._stopped or self._at_work or not (self._chunks or self._complete):
            return
        self._at_work = True
        chunks, self._chunks = self._chunks, []
        last = self._complete
        self._in_pool(lambda: self._write(chunks, last))

    def _written(self, size: int) -> None:
        self._queued -= size
        self._at_work = False
        self._hand_on()
        if self._waiting:
            self._waiting = False
            self._slices.go_on()

    # -- on the writer's thread

    def _begin(self) -> Event | None:
        effect = self._effect
        try:
            self._composer = self._store.begin_snapshot(effect.base, effect.outcomes, self._disk)
        except DiskFull:
            self._given_up()
        self._loop.call_soon_threadsafe(self._written, 0)
        return None

    # -- on a reader thread, one after the other

    def _write(self, chunks: list[bytes], last: bool) -> Event | None:
        try:
            for chunk in chunks:
                self._add(chunk)
            if last:
                return self._finish()
        except DiskFull:
            assert self._composer is not None
            self._composer.abandon()
            self._given_up()
            if last:
                return SnapshotAbandoned()
        finally:
            if last:
                self._writer.crowded = False
        self._loop.call_soon_threadsafe(self._written, sum(map(len, chunks)))
        return None

    def _add(self, chunk: bytes) -> None:
        if self._composer is None:
            return
        self._composer.add(chunk)
        self._unsynced += len(chunk)
        if self._unsynced >= UNSYNCED_MAX:
            self._disk.sync(SNAPSHOT_NEW)
            self._unsynced = 0

    def _given_up(self) -> None:
        """Without a newer snapshot a restart replays more; nothing else is lost."""
        self._composer = None
        self._log.warning("snapshot.no_space", op=self._effect.base.op)

    def _finish(self) -> Event:
        if self._composer is None:
            return SnapshotAbandoned()
        ref = self._composer.finish()
        took = (self._now() - self._began) // 1_000_000
        self._log.info("snapshot", op=ref.op, bytes=ref.size, took_ms=took)
        return SnapshotWritten(ref)
