"""Taking a snapshot: chunks are made on the loop's thread in slices, and written by the writer.

The state a snapshot is made of never changes, so it may take its time.
"""

import asyncio

from veritydb.node.effects import TakeSnapshot
from veritydb.node.events import Event, SnapshotAbandoned, SnapshotWritten
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.pauses import Pauses
from veritydb.server.slices import Slices
from veritydb.server.writer import Writer
from veritydb.storage.disk import DiskFull
from veritydb.storage.snapshots import Composer
from veritydb.storage.store import Store

QUEUED_MAX = 4 << 20


class SnapshotTask:
    """One snapshot on its way to the disk."""

    def __init__(
        self,
        effect: TakeSnapshot,
        store: Store,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        machine: Machine,
        pauses: Pauses,
    ) -> None:
        self._effect = effect
        self._store = store
        self._writer = writer
        self._loop = loop
        self._log = log
        self._composer: Composer | None = None
        self._queued = 0
        self._waiting = False
        self._now = machine.monotonic_ns
        self._slices = Slices(self._step, loop, machine, pauses.snapshot)
        self._began = self._now()

    def start(self) -> None:
        """Begin, soon."""
        self._writer.put(self._begin)
        self._slices.go_on()

    # -- on the loop's thread

    def _step(self) -> bool:
        if self._queued >= QUEUED_MAX:
            self._waiting = True
            return False
        chunk = next(self._effect.chunks, None)
        if chunk is None:
            self._writer.put(self._finish)
            return False
        self._queued += len(chunk)
        self._writer.put(self._adding(chunk))
        return True

    def _taken(self, size: int) -> None:
        self._queued -= size
        if self._waiting:
            self._waiting = False
            self._slices.go_on()

    # -- on the writer's thread

    def _begin(self) -> Event | None:
        try:
            self._composer = self._store.begin_snapshot(self._effect.base, self._effect.outcomes)
        except DiskFull:
            self._given_up()
        return None

    def _adding(self, chunk: bytes) -> "Adding":
        return Adding(self, chunk)

    def add(self, chunk: bytes) -> None:
        """Write one chunk. On the writer's thread."""
        if self._composer is not None:
            try:
                self._composer.add(chunk)
            except DiskFull:
                self._composer.abandon()
                self._given_up()
        self._loop.call_soon_threadsafe(self._taken, len(chunk))

    def _given_up(self) -> None:
        """Without a newer snapshot a restart replays more; nothing else is lost."""
        self._composer = None
        self._log.warning("snapshot.no_space", op=self._effect.base.op)

    def _finish(self) -> Event | None:
        if self._composer is None:
            return SnapshotAbandoned()
        try:
            ref = self._composer.finish()
        except DiskFull:
            self._composer.abandon()
            self._given_up()
            return SnapshotAbandoned()
        took = (self._now() - self._began) // 1_000_000
        self._log.info("snapshot", op=ref.op, bytes=ref.size, took_ms=took)
        return SnapshotWritten(ref)


class Adding:
    """The job that writes one chunk."""

    def __init__(self, task: SnapshotTask, chunk: bytes) -> None:
        self._task = task
        self._chunk = chunk

    def __call__(self) -> Event | None:
        """On the writer's thread."""
        self._task.add(self._chunk)
        return None
