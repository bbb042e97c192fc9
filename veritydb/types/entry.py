"""One entry of an op: one request, as the client made it, with a fixed header.

    0                     144                                   144+len
    +---------------------+-------------+--------+--------+-----+
    | header              | part table  | part 0 | part 1 | ... |     body of an append (of several
    +---------------------+-------------+--------+--------+-----+     streams: see types/multi.py)
    | header              | one struct of schemas/log.capnp     |     body of any other command
    +---------------------+-------------------------------------+

Little-endian. `crc` is CRC-32C of the body, made by the client; the edge and every reader check it.
A part is a *descriptor* followed by its *events*; 40 bytes of the table describe it. The bytes of
a part may one day be erased; its two hashes then still prove all the rest.

leaf        = SHA-256(0x00 | header | part table | root over the parts)
part's leaf = SHA-256(0x02 | SHA-256(descriptor) | SHA-256(events))
A body without part table counts as one part with an empty descriptor.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from hashlib import sha256
from itertools import starmap

import msgspec
from crc32c import crc32c

from veritydb.types import merkle
from veritydb.types.ids import NO_ID, ClientId, StreamId, TenantId
from veritydb.types.limits import BATCH_BYTES_MAX, BATCH_PARTS_MAX

HEADER = struct.Struct("<HHI16sQQQQQQ16s16sQQQIII4x")
HEADER_BYTES = HEADER.size
assert HEADER_BYTES == 144
PART = struct.Struct("<QIIII16s")
PART_BYTES = PART.size
assert PART_BYTES == 40
PART_TABLE_BYTES_MAX = BATCH_PARTS_MAX * PART_BYTES
BODY_BYTES_MAX = BATCH_BYTES_MAX + PART_TABLE_BYTES_MAX


class Kind(IntEnum):
    """What an entry asks for. Numbers are stored; they are never used again for something else."""

    REGISTER = 1
    """Open a client session; the session's number is the op."""
    APPEND = 2
    COMMAND = 3
    """A struct of log.capnp."""
    REFUSED = 4
    """An edge refusal to be audited: fixed fields only, no body. `expected` is the code, `events`
    how many like it this entry stands for, `origin_seq` the version of the policy, 0 for the one in
    force."""
    PULSE = 5
    """Log time passes: the kernel's next deadline is due."""
    REPLACE_REPLICA = 6
    """The replica whose index is `events` gets the incarnation `expected`."""
    APPEND_MANY = 7
    """Append to several streams of the group, all or nothing. Its last part says what is whose."""


EXPECT_ANY = (1 << 64) - 1
EXPECT_NO_STREAM = (1 << 64) - 2
"""The stream is empty: nothing was ever appended to it."""
EXPECT_EXISTS = (1 << 64) - 3
"""At least one event was appended."""
OFFSET_MAX = (1 << 63) - 1


class BadEntry(Exception):
    """These bytes are no entry. Says why, and never what they contain."""


class EntryHeader(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an entry says of itself; all the kernel needs for an append.

    `number` counts the requests of a session from 1; results of numbers below `acked` may be
    forgotten. `origin` (with the sequence of its first event) makes a batch idempotent for ever.
    `sent_at` is the log time at which the client first sent the batch, 0 for unknown. `actor` is
    the authenticated principal's number, 0 before there is authentication.
    """

    kind: Kind
    parts: int = 0
    client: ClientId = ClientId(NO_ID)
    session: int = 0
    number: int = 0
    acked: int = 0
    tenant: TenantId = TenantId(0)
    stream: StreamId = StreamId(0)
    expected: int = EXPECT_ANY
    batch: bytes = NO_ID
    origin: bytes = NO_ID
    origin_seq: int = 0
    sent_at: int = 0
    actor: int = 0
    events: int = 0
    body_len: int = 0
    crc: int = 0


class PartInfo(msgspec.Struct, frozen=True, gc=False):
    """One row of a part table. `key` 0 is clear text; `subject` is zero until keys exist."""

    key: int
    events: int
    descriptor_len: int
    events_len: int
    flags: int = 0
    subject: bytes = NO_ID


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A request ready for the log: `data` is header and body, `leaf` its Merkle leaf."""

    header: EntryHeader
    data: bytes
    leaf: bytes


def pack_header(header: EntryHeader) -> bytes:
    """Return the 144 header bytes."""
    h = header
    return HEADER.pack(
        h.kind,
        0,
        h.parts,
        h.client,
        h.session,
        h.number,
        h.acked,
        h.tenant,
        h.stream,
        h.expected,
        h.batch,
        h.origin,
        h.origin_seq,
        h.sent_at,
        h.actor,
        h.events,
        h.body_len,
        h.crc,
    )


KINDS = {int(kind): kind for kind in Kind}


def parse_header(data: bytes | memoryview, at: int = 0) -> EntryHeader:
    """Read the header at `at`. Raises BadEntry."""
    if len(data) - at < HEADER_BYTES:
        raise BadEntry(f"{len(data) - at} bytes are less than an entry header")
    f = HEADER.unpack_from(data, at)
    kind = KINDS.get(f[0])
    if kind is None or f[1]:
        raise BadEntry(f"unknown entry kind {f[0]} or flags {f[1]}")
    if f[16] > BODY_BYTES_MAX or f[2] > BATCH_PARTS_MAX:
        raise BadEntry(f"body of {f[16]} bytes in {f[2]} parts is over the limit")
    return EntryHeader(
        kind=kind,
        parts=f[2],
        client=f[3],
        session=f[4],
        number=f[5],
        acked=f[6],
        tenant=f[7],
        stream=f[8],
        expected=f[9],
        batch=f[10],
        origin=f[11],
        origin_seq=f[12],
        sent_at=f[13],
        actor=f[14],
        events=f[15],
        body_len=f[16],
        crc=f[17],
    )


def make(header: EntryHeader, body: bytes) -> Entry:
    """Build an entry from a header whose `body_len` and `crc` are already the body's."""
    assert header.body_len == len(body)
    data = pack_header(header) + body
    return Entry(header, data, leaf(data, header))


def with_body(header: EntryHeader, body: bytes) -> Entry:
    """Build an entry, filling in the body's length and checksum."""
    return make(msgspec.structs.replace(header, body_len=len(body), crc=crc32c(body)), body)


def parse(data: bytes) -> Entry:
    """Read exactly one entry and check its body's checksum and part table. Raises BadEntry."""
    header = parse_header(data)
    if len(data) != HEADER_BYTES + header.body_len:
        raise BadEntry(f"entry of {len(data)} bytes names a body of {header.body_len}")
    if crc32c(memoryview(data)[HEADER_BYTES:]) != header.crc:
        raise BadEntry("checksum of the entry's body does not match")
    check_parts(memoryview(data)[HEADER_BYTES:], header)
    return Entry(header, data, leaf(data, header))


def part_table(body: bytes | memoryview, parts: int) -> tuple[PartInfo, ...]:
    """Read the part table at the start of a body. Raises BadEntry if it is cut short."""
    if len(body) < parts * PART_BYTES:
        raise BadEntry("part table is cut short")
    return tuple(starmap(PartInfo, PART.iter_unpack(body[: parts * PART_BYTES])))


def pack_part(part: PartInfo) -> bytes:
    """Return the 40 bytes of one row of the table."""
    return PART.pack(
        part.key, part.events, part.descriptor_len, part.events_len, part.flags, part.subject
    )


def check_parts(body: bytes | memoryview, header: EntryHeader) -> None:
    """Raise BadEntry unless the parts fill the body and hold the events the header counts."""
    if header.parts == 0:
        if header.kind in (Kind.APPEND, Kind.APPEND_MANY):
            raise BadEntry("an append without parts")
        return
    table = part_table(body, header.parts)
    size = sum([part.descriptor_len + part.events_len for part in table])
    if size + header.parts * PART_BYTES != len(body):
        raise BadEntry("the parts do not fill the body")
    if sum([part.events for part in table]) != header.events:
        raise BadEntry("the parts do not hold the events the header counts")


def part_leaf(descriptor: bytes | memoryview, events: bytes | memoryview) -> bytes:
    """Return the hash that stands for one part's stored bytes."""
    return sha256(b"\x02" + sha256(descriptor).digest() + sha256(events).digest()).digest()


def leaf(data: bytes, header: EntryHeader) -> bytes:
    """Return the Merkle leaf of an entry's bytes."""
    view = memoryview(data)
    at = HEADER_BYTES + header.parts * PART_BYTES
    if header.parts == 0:
        parts = [part_leaf(b"", view[at:])]
    else:
        parts = []
        for part in part_table(view[HEADER_BYTES:], header.parts):
            middle = at + part.descriptor_len
            end = middle + part.events_len
            parts.append(part_leaf(view[at:middle], view[middle:end]))
            at = end
    table_end = HEADER_BYTES + header.parts * PART_BYTES
    return sha256(b"\x00" + data[:table_end] + merkle.root(parts)).digest()


def split(body: bytes | memoryview, count: int) -> Iterator[tuple[EntryHeader, int, int]]:
    """Walk the `count` entries of a frame body: (header, start, end). Raises BadEntry."""
    at = 0
    for _ in range(count):
        header = parse_header(body, at)
        end = at + HEADER_BYTES + header.body_len
        if end > len(body):
            raise BadEntry("entry runs past the end of its op")
        yield header, at, end
        at = end
    if at != len(body):
        raise BadEntry(f"{len(body) - at} bytes behind the last entry")
