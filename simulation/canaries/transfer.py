"""Mistakes in taking over a peer's snapshot and history."""

from collections.abc import Iterator
from typing import Any

import msgspec

from simulation.canaries.planting import ASSERTED, Canary, put
from veritydb.node import node
from veritydb.storage import snapshots, store
from veritydb.storage.disk import Disk
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Frame
from veritydb.types.history import Proof
from veritydb.types.ids import Op
from veritydb.vsr import history
from veritydb.vsr.state import State


def _snapshot_not_checked() -> None:
    """What arrives is taken for what was offered; and disks rot."""
    read = store.Store.read_snapshot_raw

    def rotting(self: store.Store, ref: SnapshotRef, at: int, size: int) -> bytes:
        data = bytearray(read(self, ref, at, size))
        # In the state's description stands the outcome chain's head, behind its name.
        where = data.find(b"outcomes") + len(b"outcomes") + 2
        if at == 0 and where < len(data):
            data[where] ^= 1
        return bytes(data)

    def unchecked(disk: Disk, name: str) -> Iterator[bytes]:
        at = snapshots.HEAD_BYTES
        while True:
            length, _ = snapshots.CHUNK.unpack(disk.read(name, at, snapshots.CHUNK.size))
            if not length:
                return
            at += snapshots.CHUNK.size
            yield disk.read(name, at, length)
            at += length

    put(store.Store, "read_snapshot_raw", rotting)
    put(snapshots, "chunks", unchecked)
    put(node, "stands_for", lambda *_: True)


def _history_not_proved() -> None:
    """What arrives is written as it is; and what is given has rotted now and then."""
    read = store.Store.read_history

    def rotting(self: store.Store, *args: Any) -> Any:
        found, rotten = read(self, *args)
        if found.frames and found.frames[0].header.op % 3 == 0:
            first = found.frames[0]
            bad = Frame(first.header, first.body[:-1] + b"?", first.holes)
            found = msgspec.structs.replace(found, frames=(bad, *found.frames[1:]))
        return found, rotten

    put(store.Store, "read_history", rotting)
    put(store, "proved", lambda *_: True)


def _history_cut_short() -> None:
    """The first stretch of history is taken for all of it."""
    written = history.on_written

    def enough(s: State, first: Op) -> None:
        written(s, first)
        work = s.backfill
        if work is not None and work.writing is None:
            work.proof = Proof(work.floor, work.proof.hash, work.proof.head)

    put(history, "on_written", enough)


BAD = "raised-BadSnapshot"
TAKEN = ("state", "agreement", "outcome-chain", "halted", "streams", "liveness", ASSERTED, BAD)
HISTORY = ("durability", "disks", "liveness", "raised-BadEntry")
CANARIES = (
    Canary("snapshot not checked", "", TAKEN, _snapshot_not_checked),
    Canary("history not proved", "", HISTORY, _history_not_proved),
    Canary("history cut short", "", (*HISTORY, "halted"), _history_cut_short),
)
