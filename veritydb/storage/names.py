"""The names of a replica's files."""

from veritydb.types.ids import Op

SUPERBLOCK = "superblock"
SUPERBLOCK_NEW = "superblock.new"
JOURNAL = "headers"
OUTCOMES = "outcomes"
SEGMENTS = "segments/"
SPARE = "segments/spare"
SNAPSHOTS = "snapshots/"
SNAPSHOT_NEW = "snapshots/new"
SNAPSHOT_RECEIVED = "snapshots/received"
# The server's own, derived and rebuilt from the rest; no business of storage.
INDEX = "index.db"


def segment(first: int) -> str:
    """Name the segment that begins with op `first`."""
    assert first > 0
    return f"{SEGMENTS}{first:020d}.log"


def holes(first: int) -> str:
    """Name the map of what was erased from the segment that begins with op `first`."""
    assert first > 0
    return f"{SEGMENTS}{first:020d}.holes"


def snapshot(op: int) -> str:
    """Name the snapshot of the state after `op`."""
    assert op > 0
    return f"{SNAPSHOTS}{op:020d}.snap"


def op_of(name: str) -> Op | None:
    """Return the op that a segment, map or snapshot is named after, None for any other name."""
    stem, dot, kind = name.rpartition("/")[2].partition(".")
    if len(stem) != 20 or not dot or not stem.isascii() or not stem.isdigit():
        return None
    op = Op(int(stem))
    if op > 0 and name in (segment(op), holes(op), snapshot(op)):
        return op
    assert kind is not None
    return None
