"""The outcome file: 64 bytes per entry of the log, at the entry's index. Derived, hence not synced.

What a crash takes of it is written again, the same bytes, when the ops behind the snapshot are
applied again. The bytes of a record are the business of `types.outcome`.
"""

from veritydb.storage.disk import Disk, NoSuchFile, create
from veritydb.storage.names import OUTCOMES
from veritydb.types.outcome import RECORD_BYTES

STEP_BYTES = 1 << 20
OP_AT = 8
assert STEP_BYTES % RECORD_BYTES == 0


class Outcomes:
    """The file. One thread writes, any may read what was written before."""

    def __init__(self, disk: Disk) -> None:
        """Use the outcome file of a stamped directory."""
        self._disk = disk

    def reserve(self, count: int) -> None:
        """Make room for `count` records in all. Raises DiskFull."""
        assert count >= 0
        end = max(count, 1) * RECORD_BYTES
        if (self._disk.size(OUTCOMES) or 0) < end:
            create(self._disk, OUTCOMES, -(-end // STEP_BYTES) * STEP_BYTES)

    def write(self, first: int, data: bytes) -> None:
        """Write the records of entries from `first` on, not durably. Raises DiskFull."""
        assert first >= 0 and len(data) % RECORD_BYTES == 0
        if not data:
            return
        self.reserve(first + len(data) // RECORD_BYTES)
        self._disk.write(OUTCOMES, first * RECORD_BYTES, (data,))

    def read(self, first: int, count: int) -> bytes:
        """Return the records of entries from `first` on, fewer where the file ends or is blank."""
        assert first >= 0 and count >= 0
        try:
            data = self._disk.read(OUTCOMES, first * RECORD_BYTES, count * RECORD_BYTES)
        except NoSuchFile:
            return b""
        end = len(data) - len(data) % RECORD_BYTES
        # An outcome names its op, which is never 0: eight zeros there are a blank record.
        while end and not any(data[end - RECORD_BYTES + OP_AT : end - RECORD_BYTES + OP_AT + 8]):
            end -= RECORD_BYTES
        return data[:end]

    def sync(self) -> None:
        """Make all records durable."""
        self._disk.sync(OUTCOMES)
