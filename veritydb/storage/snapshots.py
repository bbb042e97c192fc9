"""Snapshots: a sequence of opaque chunks, with the header of the op whose state they hold.

    0       4        6      8        12        28   32           240        272
    +-------+--------+------+--------+---------+----+------------+----------+--------+
    | magic | format | zero | group  | cluster | op | header     | outcomes | crc32c |
    +-------+--------+------+--------+---------+----+------------+----------+--------+
    each chunk:  | length u32 | crc32c | bytes |
    the end:     | zero u32   | count  | bytes of all chunks u64 | SHA-256 of all before |

Written under a temporary name, synced, read back, renamed. The superblock names it afterwards, by
the digest, and only then is the one before removed.
"""

import struct
from collections.abc import Iterator
from hashlib import sha256

from crc32c import crc32c

from veritydb.storage import names
from veritydb.storage.disk import Disk, NoSuchFile
from veritydb.storage.errors import Damaged, UnknownFormat
from veritydb.types import frame
from veritydb.types.durable import Identity, SnapshotRef
from veritydb.types.frame import BadFrame, Header
from veritydb.types.ids import Op

MAGIC = b"VDBn"
FORMAT = 1
HEAD = struct.Struct(f"<4sHHI16sQ{frame.HEADER_BYTES}s32s")
CRC = struct.Struct("<I")
CHUNK = struct.Struct("<II")
END = struct.Struct("<IIQ")
DIGEST_BYTES = 32
HEAD_BYTES = HEAD.size + CRC.size
CHUNK_BYTES_MAX = 4 << 20
SMALLEST = HEAD_BYTES + END.size + DIGEST_BYTES
assert HEAD_BYTES == 280


class SnapshotWriter:
    """A snapshot being written. Writer thread only; one of a name at a time."""

    def __init__(self, disk: Disk, name: str) -> None:
        """Begin an empty temporary file. What an earlier attempt left is removed."""
        self._disk = disk
        self._name = name
        self._size = 0
        self.abandon()

    @property
    def size(self) -> int:
        """Bytes written so far: where a transfer goes on."""
        return self._size

    def write_raw(self, *pieces: bytes) -> None:
        """Append bytes of a snapshot file as they came from another replica. Raises DiskFull."""
        size = sum(map(len, pieces))
        assert size > 0
        self._disk.allocate(self._name, self._size + size)
        self._disk.write(self._name, self._size, pieces)
        self._size += size

    def finish_raw(self) -> SnapshotRef:
        """Check what was written, make it durable, give it its name. Raises Damaged."""
        assert self._size > 0
        self._disk.sync(self._name)
        ref, _ = inspect(self._disk, self._name)
        self._disk.rename(self._name, names.snapshot(ref.op))
        self._disk.sync_directory(names.snapshot(ref.op))
        return ref

    def abandon(self) -> None:
        """Remove the temporary file: no space, or a transfer that came to nothing."""
        if self._disk.size(self._name) is not None:
            self._disk.remove(self._name)
        assert self._disk.size(self._name) is None


class Composer:
    """Makes the bytes of a snapshot from chunks, on top of a SnapshotWriter."""

    def __init__(self, writer: SnapshotWriter, base: Header, outcomes: bytes) -> None:
        """Begin the snapshot of the state after `base`. Raises DiskFull."""
        assert writer.size == 0 and len(outcomes) == 32
        self._writer = writer
        self._digest = sha256()
        self._count = 0
        self._bytes = 0
        self._put(encode_head(base, outcomes))

    def _put(self, *pieces: bytes) -> None:
        assert pieces
        for piece in pieces:
            self._digest.update(piece)
        self._writer.write_raw(*pieces)

    def add(self, chunk: bytes) -> None:
        """Append one chunk. Raises DiskFull."""
        assert 0 < len(chunk) <= CHUNK_BYTES_MAX
        self._count += 1
        self._bytes += len(chunk)
        self._put(CHUNK.pack(len(chunk), crc32c(chunk)), chunk)

    def finish(self) -> SnapshotRef:
        """Close, check and name the snapshot; durable on return. Raises DiskFull, Damaged."""
        self._put(END.pack(0, self._count, self._bytes))
        self._writer.write_raw(self._digest.digest())
        ref = self._writer.finish_raw()
        assert ref.digest == self._digest.digest(), "read back something else than was written"
        return ref

    def abandon(self) -> None:
        """Give up; nothing is left of it."""
        self._writer.abandon()


def encode_head(base: Header, outcomes: bytes) -> bytes:
    """Return the fixed fields at the start of a snapshot of the state after `base`."""
    assert len(base.raw) == frame.HEADER_BYTES
    head = HEAD.pack(MAGIC, FORMAT, 0, base.group, base.cluster, base.op, base.raw, outcomes)
    return head + CRC.pack(crc32c(head))


def read_head(disk: Disk, name: str) -> tuple[Header, bytes]:
    """Return the header and the outcome-chain head that a snapshot begins with. Raises Damaged."""
    try:
        data = disk.read(name, 0, HEAD_BYTES)
    except NoSuchFile:
        raise Damaged(name, 0, "the snapshot is missing; replace this replica") from None
    if len(data) != HEAD_BYTES or crc32c(data[: HEAD.size]) != CRC.unpack_from(data, HEAD.size)[0]:
        raise Damaged(name, 0, "the snapshot's head has rotted; replace this replica")
    magic, form, zero, group, cluster, op, raw, outcomes = HEAD.unpack_from(data)
    if magic != MAGIC or zero:
        raise Damaged(name, 0, "this is no snapshot")
    if form != FORMAT:
        raise UnknownFormat(f"{name} has format {form}; this version reads format {FORMAT}")
    try:
        base = frame.parse_header(raw)
    except BadFrame as error:
        raise Damaged(name, 32, f"the snapshot's header: {error}") from None
    if (base.group, base.cluster, base.op) != (group, cluster, op):
        raise Damaged(name, 8, "the snapshot's head disagrees with itself")
    assert len(outcomes) == 32
    return base, outcomes


def chunks(disk: Disk, name: str) -> Iterator[bytes]:
    """Yield the chunks, each checked. Only when the last was yielded is the whole known to be good.

    Raises Damaged.
    """
    read_head(disk, name)
    digest = sha256(disk.read(name, 0, HEAD_BYTES))
    at, count, size = HEAD_BYTES, 0, 0
    while True:
        head = disk.read(name, at, CHUNK.size)
        if len(head) != CHUNK.size:
            raise Damaged(name, at, "the snapshot is cut short")
        length, crc = CHUNK.unpack(head)
        if length == 0:
            break
        data = disk.read(name, at + CHUNK.size, min(length, CHUNK_BYTES_MAX))
        if len(data) != length or crc32c(data) != crc:
            raise Damaged(name, at, f"chunk {count} of the snapshot has rotted")
        digest.update(head)
        digest.update(data)
        at += CHUNK.size + length
        count, size = count + 1, size + length
        yield data
    end = disk.read(name, at, END.size + DIGEST_BYTES + 1)
    digest.update(end[: END.size])
    if len(end) != END.size + DIGEST_BYTES or END.unpack_from(end) != (0, count, size):
        raise Damaged(name, at, "the snapshot's end has rotted")
    if end[END.size :] != digest.digest():
        raise Damaged(name, at + END.size, "the snapshot's digest does not match")
    assert at + len(end) >= SMALLEST


def inspect(disk: Disk, name: str) -> tuple[SnapshotRef, Header]:
    """Read a whole snapshot and return what names it, and its header. Raises Damaged."""
    base, outcomes = read_head(disk, name)
    for chunk in chunks(disk, name):
        assert chunk
    size = disk.size(name) or 0
    ref = SnapshotRef(
        op=Op(base.op),
        header_hash=base.hash,
        digest=disk.read(name, size - DIGEST_BYTES, DIGEST_BYTES),
        outcomes=outcomes,
        size=size,
    )
    return ref, base


def load(disk: Disk, ref: SnapshotRef) -> Iterator[bytes]:
    """Yield the chunks of the snapshot that the superblock names. Raises Damaged."""
    assert ref.op > 0
    name = names.snapshot(ref.op)
    digest = disk.read(name, ref.size - DIGEST_BYTES, DIGEST_BYTES) if disk.size(name) else b""
    if digest != ref.digest or disk.size(name) != ref.size:
        raise Damaged(name, 0, "this is not the snapshot that the superblock names")
    yield from chunks(disk, name)


def received(disk: Disk, ref: SnapshotRef, who: Identity) -> tuple[Header, Iterator[bytes]]:
    """Return header and chunks of what came from another replica. Raises Damaged, UnknownFormat.

    It is known to be what was offered only when the last chunk was yielded.
    """
    name = names.SNAPSHOT_RECEIVED
    base, outcomes = read_head(disk, name)
    size = disk.size(name) or 0
    found = SnapshotRef(
        op=Op(base.op),
        header_hash=base.hash,
        digest=disk.read(name, ref.size - DIGEST_BYTES, DIGEST_BYTES) if size else b"",
        outcomes=outcomes,
        size=size,
    )
    if found != ref or (base.cluster, base.group) != (who.cluster, who.group):
        raise Damaged(name, 0, "this is not the snapshot that was offered")
    assert base.op > 0
    return base, chunks(disk, name)


def name_received(disk: Disk, ref: SnapshotRef) -> None:
    """Give what came from another replica, and was checked, its name, durably."""
    name = names.snapshot(ref.op)
    if disk.size(names.SNAPSHOT_RECEIVED) is None:
        assert disk.size(name) is not None, "a snapshot comes before it is installed"
        return
    disk.sync(names.SNAPSHOT_RECEIVED)
    disk.rename(names.SNAPSHOT_RECEIVED, name)
    disk.sync_directory(name)


def base_of(disk: Disk, ref: SnapshotRef) -> Header:
    """Return the header of the snapshot that the superblock names. Raises Damaged."""
    assert ref.op > 0
    name = names.snapshot(ref.op)
    base, outcomes = read_head(disk, name)
    if base.hash != ref.header_hash or outcomes != ref.outcomes:
        raise Damaged(name, 0, "this is not the snapshot that the superblock names")
    return base


def remove_others(disk: Disk, keep: Op, running: bool = True) -> None:
    """Remove every snapshot but the one of `keep`.

    At a start, when nothing is `running`, also what an interrupted write or transfer left.
    """
    kept = [names.snapshot(keep)] if keep else []
    if running:
        kept += [names.SNAPSHOT_NEW, names.SNAPSHOT_RECEIVED]
    gone = [name for name in disk.names(names.SNAPSHOTS) if name not in kept]
    for name in gone:
        assert name not in kept
        disk.remove(name)
    if gone:
        disk.sync_directory(gone[0])
