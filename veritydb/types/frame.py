"""One log frame: one op, as it is sent, written, kept for ever and proved.

    0        8      12           220                    12+len    16+len  (zero padding to 512)
    +--------+------+------------+----------------------+---------+---------+
    | offset | len  | header     | body: the entries    | crc32c  | padding |
    +--------+------+------------+----------------------+---------+---------+
              \\____ counted by len ___________________/

Little-endian. `offset` is the op. crc32c covers everything before it. Frames start at multiples of
512 bytes, so that writing one never rewrites a sector that holds another.

A header's SHA-256 is the frame's *hash*: what acknowledgements carry and what the next header
names as `previous`. It commits to the body through the Merkle root over the entries.
"""

import struct
from functools import lru_cache
from hashlib import sha256

import msgspec
from crc32c import crc32c

from veritydb.types import entry, merkle
from veritydb.types.ids import GroupId, Op, View
from veritydb.types.limits import OP_BYTES_MAX, SECTOR_BYTES, SEGMENT_BYTES
from veritydb.types.merkle import HASH_BYTES, NO_HASH

MAGIC = b"VDBf"
FORMAT = 1
SKELETON = struct.Struct("<QI")
HEADER = struct.Struct("<4sHHII16sIIQQQQQQQI4x32s32s32s8x")
HEADER_BYTES = HEADER.size
CRC = struct.Struct("<I")
FRAME_OVERHEAD = SKELETON.size + HEADER_BYTES + CRC.size
PARSED_KEPT = 1_024
assert HEADER_BYTES == 208
assert FRAME_OVERHEAD == 224


class BadFrame(Exception):
    """These bytes are no frame: cut short, changed, or of another format. Says which."""


class Header(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a frame says of itself. Made once by the primary that proposed it, never changed after.

    `commit` is the highest op the primary had applied when it proposed this one, `outcomes` its
    outcome-chain head there; `timestamp` is log time (ns since 1970), strictly increasing;
    `segment` is the first op of the segment file and `position` the frame's first byte in it;
    `entry_base` counts the entries of all ops before.
    """

    cluster: bytes
    group: GroupId
    epoch: int
    view: View
    op: Op
    commit: Op
    timestamp: int
    kernel: int
    segment: Op
    position: int
    entry_base: int
    entry_count: int
    body_len: int
    previous: bytes
    outcomes: bytes
    root: bytes
    raw: bytes = b""
    hash: bytes = b""

    def frame_bytes(self) -> int:
        """Bytes the frame takes in its segment, padding included."""
        return padded(FRAME_OVERHEAD + self.body_len)


def padded(size: int) -> int:
    """Round up to whole sectors."""
    return -(-size // SECTOR_BYTES) * SECTOR_BYTES


def place(previous: Header | None, body_len: int) -> tuple[Op, int]:
    """Return (segment, position) of the frame that follows `previous`.

    Decided by the log alone, so every replica's segment files are the same bytes.
    """
    if previous is None:
        return Op(1), 0
    end = previous.position + previous.frame_bytes()
    if end + padded(FRAME_OVERHEAD + body_len) > SEGMENT_BYTES:
        return Op(previous.op + 1), 0
    return previous.segment, end


def seal(header: Header) -> Header:
    """Return the header with its bytes and hash filled in."""
    raw = HEADER.pack(
        MAGIC,
        FORMAT,
        0,
        header.kernel,
        header.group,
        header.cluster,
        header.epoch,
        header.entry_count,
        header.view,
        header.op,
        header.commit,
        header.timestamp,
        header.segment,
        header.position,
        header.entry_base,
        header.body_len,
        header.previous,
        header.outcomes,
        header.root,
    )
    return msgspec.structs.replace(header, raw=raw, hash=sha256(raw).digest())


# The same header comes by again and again: from the wire, its record, its frame and each peer.
@lru_cache(maxsize=PARSED_KEPT)
def parse_header(raw: bytes) -> Header:
    """Read header bytes. Raises BadFrame for another magic, format, or impossible numbers."""
    if len(raw) != HEADER_BYTES:
        raise BadFrame(f"header of {len(raw)} bytes, not {HEADER_BYTES}")
    f = HEADER.unpack(raw)
    if f[0] != MAGIC:
        raise BadFrame("no frame starts here")
    if f[1] != FORMAT or f[2]:
        raise BadFrame(f"frame format {f[1]} with flags {f[2]}; this version reads format {FORMAT}")
    header = Header(
        kernel=f[3],
        group=f[4],
        cluster=f[5],
        epoch=f[6],
        entry_count=f[7],
        view=f[8],
        op=f[9],
        commit=f[10],
        timestamp=f[11],
        segment=f[12],
        position=f[13],
        entry_base=f[14],
        body_len=f[15],
        previous=f[16],
        outcomes=f[17],
        root=f[18],
        raw=raw,
        hash=sha256(raw).digest(),
    )
    if header.body_len > OP_BYTES_MAX or header.position % SECTOR_BYTES:
        raise BadFrame(f"op {header.op}: impossible length or position")
    if not 0 < header.segment <= header.op or header.commit >= header.op:
        raise BadFrame(f"op {header.op}: impossible segment or commit")
    return header


class Hole(msgspec.Struct, frozen=True, gc=False):
    """The events of one part were erased: `digest` is the SHA-256 of the bytes that were there."""

    entry: int
    part: int
    digest: bytes


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A header and the bytes of the entries it covers.

    Where there are `holes` (in order of entry and part), zeros stand for the erased events, and
    only `verify_root` can tell whether the rest is what was agreed on.
    """

    header: Header
    body: bytes
    holes: tuple[Hole, ...] = ()


def buffers(frame: Frame) -> tuple[bytes, bytes, bytes]:
    """Return the frame's bytes without padding in three pieces, so that no body is copied."""
    header = frame.header
    assert len(header.raw) == HEADER_BYTES, "seal the header first"
    assert len(frame.body) == header.body_len
    head = SKELETON.pack(header.op, HEADER_BYTES + header.body_len) + header.raw
    return head, frame.body, CRC.pack(crc32c(frame.body, crc32c(head)))


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes without padding."""
    return b"".join(buffers(frame))


def decode(data: bytes | memoryview) -> Frame:
    """Read the frame at the start of `data` (more may follow it). Raises BadFrame."""
    if len(data) < FRAME_OVERHEAD:
        raise BadFrame(f"{len(data)} bytes are less than the smallest frame")
    view = memoryview(data)
    op, length = SKELETON.unpack_from(view)
    end = SKELETON.size + length
    if not HEADER_BYTES <= length <= HEADER_BYTES + OP_BYTES_MAX:
        raise BadFrame(f"impossible frame length {length}")
    if end + CRC.size > len(view):
        raise BadFrame(f"frame of {end + CRC.size} bytes is cut short at {len(view)}")
    (crc,) = CRC.unpack_from(view, end)
    if crc32c(view[:end]) != crc:
        raise BadFrame(f"checksum of the frame that calls itself op {op} does not match")
    header = parse_header(bytes(view[SKELETON.size : SKELETON.size + HEADER_BYTES]))
    if header.op != op or header.body_len != length - HEADER_BYTES:
        raise BadFrame(f"frame {op} and its header disagree")
    return Frame(header, bytes(view[SKELETON.size + HEADER_BYTES : end]))


def verify_root(frame: Frame) -> bool:
    """Whether the body, with the digests that stand for erased events, is what the header names."""
    digests: dict[int, dict[int, bytes]] = {}
    for hole in frame.holes:
        digests.setdefault(hole.entry, {})[hole.part] = hole.digest
    body = memoryview(frame.body)
    leaves = []
    try:
        walk = entry.split(body, frame.header.entry_count)
        for index, (header, start, end) in enumerate(walk):
            leaves.append(leaf_with_holes(body[start:end], header, digests.pop(index, {})))
    except entry.BadEntry:
        return False
    return not digests and merkle.root(leaves) == frame.header.root


def leaf_with_holes(
    data: memoryview, header: entry.EntryHeader, digests: dict[int, bytes]
) -> bytes:
    """Return an entry's Merkle leaf, with digests for parts that are erased. Raises BadEntry."""
    at = entry.HEADER_BYTES + header.parts * entry.PART_BYTES
    if header.parts == 0:
        if digests:
            raise entry.BadEntry("an entry without parts cannot be erased")
        return entry.leaf(bytes(data), header)
    if any(not 0 <= part < header.parts for part in digests):
        raise entry.BadEntry("the erased part does not exist")
    table = entry.part_table(data[entry.HEADER_BYTES :], header.parts)
    if at + sum(part.descriptor_len + part.events_len for part in table) != len(data):
        raise entry.BadEntry("the parts do not fill the body")
    leaves = []
    for number, part in enumerate(table):
        middle = at + part.descriptor_len
        end = middle + part.events_len
        events = digests.get(number) or sha256(data[middle:end]).digest()
        leaves.append(sha256(b"\x02" + sha256(data[at:middle]).digest() + events).digest())
        at = end
    table_end = entry.HEADER_BYTES + header.parts * entry.PART_BYTES
    return sha256(b"\x00" + data[:table_end] + merkle.root(leaves)).digest()


assert len(NO_HASH) == HASH_BYTES
