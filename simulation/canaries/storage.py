"""Mistakes in files: names, order, leftovers, and whose they are."""

from typing import Any

from crc32c import crc32c

from simulation.canaries.planting import Canary, put, replace
from veritydb.storage import names, opening, snapshots
from veritydb.storage.outcomes import Outcomes
from veritydb.storage.snapshots import SnapshotWriter, inspect
from veritydb.storage.store import Store
from veritydb.types.durable import SnapshotRef
from veritydb.types.ids import Op
from veritydb.vsr import messages


def _foreign_files() -> None:
    replace(opening.compare, lambda expected, found: None)


def _snapshot_folder_not_synced() -> None:
    def finish(self: SnapshotWriter) -> SnapshotRef:
        self._disk.sync(self._name)
        ref, _ = inspect(self._disk, self._name)
        self._disk.rename(self._name, names.snapshot(ref.op))
        return ref

    put(SnapshotWriter, "finish_raw", finish)


def _snapshot_removed_first() -> None:
    """The last snapshot goes when the next one is begun, not when it is named."""
    begin = Store.begin_snapshot

    def hasty(self: Store, base: Any, outcomes: Any) -> Any:
        snapshots.remove_others(self._disk, Op(0))
        return begin(self, base, outcomes)

    put(Store, "begin_snapshot", hasty)


def _snapshots_stay() -> None:
    replace(snapshots.remove_others, lambda disk, keep, running=True: None)


def _outcomes_not_synced() -> None:
    put(Outcomes, "sync", lambda self: None)


def _checksums_of_messages_ignored() -> None:
    """A message counts whatever its checksum says."""
    decode = messages.decode

    def trusting(data: Any) -> Any:
        if len(data) < messages.ENVELOPE_BYTES:
            return decode(data)
        whole = bytearray(data)
        end = messages.ENVELOPE.size
        crc = crc32c(whole[messages.ENVELOPE_BYTES :], crc32c(whole[:end]))
        whole[end : messages.ENVELOPE_BYTES] = crc.to_bytes(4, "little")
        return decode(bytes(whole))

    replace(decode, trusting)


CANARIES = (
    Canary("foreign files taken", "", ("foreign-files",), _foreign_files),
    Canary(
        "snapshot's folder not synced",
        "",
        ("refused-to-start", "durability", "acks-durable"),
        _snapshot_folder_not_synced,
        (36,),
    ),
    Canary("snapshot removed first", "", ("refused-to-start",), _snapshot_removed_first, (36,)),
    Canary("snapshots stay", "nobody removes them", ("disks",), _snapshots_stay),
    Canary("outcomes not synced", "before a snapshot", ("disks", "liveness"), _outcomes_not_synced),
    Canary("message checksums ignored", "", ("damage",), _checksums_of_messages_ignored),
)
