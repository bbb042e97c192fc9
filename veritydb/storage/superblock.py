"""The superblock: four copies of what a replica must never forget.

    a copy:  0       4        6      8          40                                  12288
             +-------+--------+------+----------+-----------------+---------------+------+
             | magic | format | copy | SHA-256  | fixed fields    | headers       | zero |
             +-------+--------+------+----------+-----------------+---------------+------+

The checksum covers all but itself and the copy's number, so four good copies are equal but for that
number. Each is written and synced before the next: never is more than one in doubt, so that a power
cut in the midst and a rotten copy together still leave two.

Reading takes the highest sequence of an intact copy, if a second copy vouches for it: an equal one,
or one whose checksum it names as its parent. Taking up an unfinished write finishes it, as if power
had been cut a moment later; going back behind a finished one could break a promise. A copy that
stands alone proves nothing (those that are gone may have been newer): such a directory is refused.
"""

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from veritydb.storage.disk import Disk
from veritydb.storage.errors import Damaged, NotFormatted, UnknownFormat
from veritydb.storage.names import SUPERBLOCK
from veritydb.types import frame
from veritydb.types.durable import Identity, SnapshotRef, Superblock, ViewState
from veritydb.types.ids import GroupId, Op, View
from veritydb.types.limits import PIPELINE_OPS_MAX, REGION_BYTES_MAX, REPLICAS_MAX
from veritydb.types.marks import mark

MAGIC = b"VDBs"
FORMAT = 1
COPIES = 4
COPY_BYTES = 3 * 4096
FILE_BYTES = COPIES * COPY_BYTES
HEADERS_MAX = PIPELINE_OPS_MAX + 8
STAMP = struct.Struct("<4sHH32s")
COPY_AT = struct.calcsize("<4sH")
FIXED = struct.Struct(
    "<Q32s"  # sequence, parent
    "16sIHHQ32s"  # cluster, group, index, replicas, incarnation, region
    "QQQIHH"  # view, log_view, commit, epoch, members, headers
    f"{REPLICAS_MAX}Q"
    "Q32s32s32sQQQ"  # snapshot: op, header_hash, digest, outcomes, size; gap_after, gap_end
    "Q"  # recovering
)
HEADERS_AT = STAMP.size + FIXED.size
assert HEADERS_AT + HEADERS_MAX * frame.HEADER_BYTES <= COPY_BYTES
assert COPY_BYTES % 4096 == 0


def encode(block: Superblock, copy: int) -> bytes:
    """Return the bytes of one copy."""
    return _stamped(_body(block), (copy,))[0]


def _stamped(body: bytes, copies: Iterable[int]) -> list[bytes]:
    """Return the bytes of some copies, which differ in their number only."""
    digest = _digest(FORMAT, body)
    assert all(0 <= copy < COPIES for copy in copies)
    return [STAMP.pack(MAGIC, FORMAT, copy, digest) + body for copy in copies]


def _body(block: Superblock) -> bytes:
    """Return what all copies have in common, behind the stamp."""
    who, state, ref = block.identity, block.view_state, block.snapshot
    region = who.region.encode()
    assert len(region) <= REGION_BYTES_MAX and b"\0" not in region
    assert len(state.headers) <= HEADERS_MAX, "more view-change headers than a superblock holds"
    assert len(state.members) <= REPLICAS_MAX
    fixed = FIXED.pack(
        block.sequence,
        block.parent,
        who.cluster,
        who.group,
        who.index,
        who.replicas,
        who.incarnation,
        region,
        state.view,
        state.log_view,
        state.commit,
        state.epoch,
        len(state.members),
        len(state.headers),
        *state.members,
        *(0,) * (REPLICAS_MAX - len(state.members)),
        ref.op,
        ref.header_hash,
        ref.digest,
        ref.outcomes,
        ref.size,
        block.gap_after,
        block.gap_end,
        state.recovering,
    )
    body = b"".join((fixed, *(header.raw for header in state.headers)))
    assert len(body) == FIXED.size + len(state.headers) * frame.HEADER_BYTES
    return body.ljust(COPY_BYTES - STAMP.size, b"\0")


def _digest(form: int, body: bytes | memoryview) -> bytes:
    assert len(body) == COPY_BYTES - STAMP.size
    return sha256(MAGIC + form.to_bytes(2, "little") + body).digest()


def checksum(block: Superblock) -> bytes:
    """Return what the next superblock names as its parent."""
    digest = _digest(FORMAT, _body(block))
    assert len(digest) == 32
    return digest


def decode(data: bytes, copy: int) -> Superblock | None:
    """Read one copy, None if it is not intact or not this copy. Raises UnknownFormat."""
    assert 0 <= copy < COPIES
    if len(data) != COPY_BYTES:
        return None
    magic, form, number, digest = STAMP.unpack_from(data)
    body = memoryview(data)[STAMP.size :]
    if magic != MAGIC or number != copy or _digest(form, body) != digest:
        return None
    if form != FORMAT:
        raise UnknownFormat(f"superblock of format {form}; this version reads format {FORMAT}")
    f = FIXED.unpack_from(body)
    members, headers = f[12], f[13]
    ref = f[14 + REPLICAS_MAX :]
    starts = (HEADERS_AT + at * frame.HEADER_BYTES for at in range(headers))
    return Superblock(
        sequence=f[0],
        parent=f[1],
        identity=Identity(
            cluster=f[2],
            group=GroupId(f[3]),
            region=f[7].rstrip(b"\0").decode(),
            index=f[4],
            replicas=f[5],
            incarnation=f[6],
        ),
        view_state=ViewState(
            view=View(f[8]),
            log_view=View(f[9]),
            commit=Op(f[10]),
            epoch=f[11],
            members=tuple(f[14 : 14 + members]),
            headers=tuple(
                frame.parse_header(data[start : start + frame.HEADER_BYTES]) for start in starts
            ),
            recovering=Op(ref[7]),
        ),
        snapshot=SnapshotRef(
            op=Op(ref[0]), header_hash=ref[1], digest=ref[2], outcomes=ref[3], size=ref[4]
        ),
        gap_after=Op(ref[5]),
        gap_end=Op(ref[6]),
    )


def decode_copies(copies: Sequence[bytes]) -> list[Superblock | None]:
    """Read all copies, None for one that is not intact. Raises UnknownFormat.

    Those that differ from the first in nothing but their own number say the same: mostly all.
    """
    assert len(copies) == COPIES
    first = decode(copies[0], 0)
    found = [first]
    for copy, data in enumerate(copies[1:], start=1):
        twin = copies[0][:COPY_AT] + copy.to_bytes(2, "little") + copies[0][COPY_AT + 2 :]
        found.append(first if data == twin else decode(data, copy))
    return found


def write(disk: Disk, block: Superblock, name: str = SUPERBLOCK) -> None:
    """Write all copies, one after the other. Durable on return. Raises DiskError."""
    assert block.sequence > 0
    for copy, data in enumerate(_stamped(_body(block), range(COPIES))):
        disk.write(name, copy * COPY_BYTES, (data,))
        disk.sync(name)


class Choice(msgspec.Struct, frozen=True):
    """What reading the copies came to: the superblock, and the copies that do not hold it.

    Those that are not intact come first: an older one may be all that vouches for the newest.
    """

    block: Superblock
    stale: tuple[int, ...]


def choose(copies: list[Superblock | None]) -> Choice | None:
    """Decide which superblock counts, given the intact copies. None if none is vouched for."""
    assert len(copies) == COPIES
    intact = [copy for copy in copies if copy is not None]
    if not intact:
        return None
    newest = max(intact, key=lambda copy: copy.sequence)
    twins = sum(copy == newest for copy in intact)
    rivals = sum(copy.sequence == newest.sequence for copy in intact) - twins
    if rivals:
        return None
    if twins < 2 and not any(checksum(copy) == newest.parent for copy in intact):
        return None
    broken = [at for at, copy in enumerate(copies) if copy is None]
    older = [at for at, copy in enumerate(copies) if copy is not None and copy != newest]
    return Choice(newest, (*broken, *older))


def read_copies(disk: Disk) -> list[Superblock | None]:
    """Read the four copies, None for one that is not intact. Raises NotFormatted, UnknownFormat."""
    size = disk.size(SUPERBLOCK)
    if size is None:
        raise NotFormatted("the directory has no superblock; it was never stamped")
    assert size >= 0
    starts = range(0, FILE_BYTES, COPY_BYTES)
    return decode_copies([disk.read(SUPERBLOCK, start, COPY_BYTES) for start in starts])


def load(disk: Disk) -> Choice:
    """Read the superblock that counts. Raises NotFormatted, Damaged, UnknownFormat, DiskError."""
    copies = read_copies(disk)
    assert len(copies) == COPIES
    choice = choose(copies)
    if choice is None:
        bad = next((at for at, copy in enumerate(copies) if copy is None), 0)
        intact = COPIES - copies.count(None)
        raise Damaged(
            SUPERBLOCK,
            bad * COPY_BYTES,
            f"{intact} of {COPIES} copies are intact and none is vouched for by another: what this"
            " replica promised is not known; replace it",
        )
    return choice


def mend(disk: Disk, choice: Choice) -> None:
    """Rewrite the copies that do not hold what was chosen, again one after the other."""
    assert all(0 <= copy < COPIES for copy in choice.stale)
    for copy in choice.stale:
        mark("storage.superblock_copy_mended")
        disk.write(SUPERBLOCK, copy * COPY_BYTES, (encode(choice.block, copy),))
        disk.sync(SUPERBLOCK)
