"""Carrying out what brings a replica up from a peer's snapshot and history, and what helps peers.

The writer's part goes through its queue, so it stands in order with all other writes; reading,
checking and decoding is done by reader threads.
"""

from collections.abc import Callable

from veritydb.node.effects import CloseGap, InstallSnapshot, SaveSnapshot, WriteHistory
from veritydb.node.events import Event, SnapshotLoaded
from veritydb.node.state import BadSnapshot, load
from veritydb.storage.disk import DiskFull, NoSuchFile
from veritydb.storage.errors import Damaged, UnknownFormat
from veritydb.storage.store import Store
from veritydb.types.durable import SnapshotRef
from veritydb.vsr.effects import CheckSnapshot, ReadHistory, ReadSnapshot
from veritydb.vsr.events import (
    GapClosed,
    HistoryRead,
    HistoryRefused,
    HistoryWritten,
    SnapshotInstalled,
    SnapshotRead,
    SnapshotRefused,
    SnapshotSaved,
)

Write = SaveSnapshot | InstallSnapshot | WriteHistory | CloseGap
WRITES = (SaveSnapshot, InstallSnapshot, WriteHistory, CloseGap)
Patiently = Callable[[Callable[[], None]], None]


def write(store: Store, effect: Write, patiently: Patiently) -> Event:
    """Carry out one write, on the writer's thread. `patiently` waits for space where it must."""
    if isinstance(effect, SaveSnapshot):
        try:
            return SnapshotSaved(effect.ref.op, store.save_snapshot(effect.at, effect.data))
        except DiskFull:
            store.abandon_snapshot()
            return SnapshotRefused(effect.ref.op)
    if isinstance(effect, InstallSnapshot):
        ref, applied = effect.ref, effect.applied
        patiently(lambda: store.install_snapshot(ref, applied))
        return SnapshotInstalled(ref)
    if isinstance(effect, WriteHistory):
        return _history(store, effect, patiently)
    return GapClosed(effect.after, store.close_gap(effect.after))


def _history(store: Store, effect: WriteHistory, patiently: Patiently) -> Event:
    good: list[bool] = []
    patiently(lambda: good.append(store.write_history(effect.history, effect.proof)))
    first = effect.history.frames[0].header.op
    return HistoryWritten(first) if good[-1] else HistoryRefused(first)


def read(store: Store, effect: ReadSnapshot | ReadHistory | CheckSnapshot) -> Event:
    """Carry out one read, on a reader thread."""
    if isinstance(effect, ReadSnapshot):
        return read_part(store, effect)
    if isinstance(effect, ReadHistory):
        return read_history(store, effect)
    return load_received(store, effect.ref)


def load_received(store: Store, ref: SnapshotRef) -> Event:
    """Read back and decode a peer's snapshot, on a reader thread."""
    try:
        base, chunks = store.received(ref)
        return SnapshotLoaded(ref, base, load(chunks))
    except (Damaged, UnknownFormat, BadSnapshot, NoSuchFile):
        return SnapshotRefused(ref.op)


def read_part(store: Store, effect: ReadSnapshot) -> SnapshotRead:
    """Read a part of our own snapshot, on a reader thread."""
    try:
        data = store.read_snapshot_raw(effect.ref, effect.at, effect.size)
    except NoSuchFile:
        return SnapshotRead(effect.token, effect.at, None)
    return SnapshotRead(effect.token, effect.at, data)


def read_history(store: Store, effect: ReadHistory) -> HistoryRead:
    """Read a stretch of our own log, on a reader thread."""
    found, rotten = store.read_history(effect.first, effect.last, effect.bytes_max, effect.proof)
    return HistoryRead(effect.token, found, rotten)
