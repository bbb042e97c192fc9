"""What became of an entry: a fixed-size record of the outcome file, and its hash chain.

    0      2      4         8      16       24       32      40      44        48       64
    +------+------+---------+------+--------+--------+-------+-------+---------+--------+
    | code | kind | policy  | op   | tenant | stream | base  | count | entry   | zero   |
    +------+------+---------+------+--------+--------+-------+-------+---------+--------+

Record i of the file, at byte 64 * i, belongs to the i-th entry of the log. `base` and `count` are
the offsets an append was given (a created stream: its id in `stream`; an expected-offset conflict:
the actual next offset in `base`; a truncation or a retention: the floor in `base`). `kind` holds
the entry's kind in its low byte and, for a command, its struct's number of log.capnp in the high.

chain head after op n = SHA-256(head after n-1 | SHA-256(record) of each of its entries)
so that a tenant's export can show its own records and bare hashes of the others.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256

import msgspec

RECORD = struct.Struct("<HHIQQQQII16x")
RECORD_BYTES = RECORD.size
assert RECORD_BYTES == 64


class Code(IntEnum):
    """Every way an entry can end. Stored: a number is never used again for something else."""

    OK = 0
    DUPLICATE = 1
    """Applied before; base and count are those of the first time (base BASE_UNKNOWN: forgotten)."""
    # -- sessions
    NO_SESSION = 10
    STALE_NUMBER = 11
    WINDOW_EXCEEDED = 12
    # -- streams
    NO_SUCH_STREAM = 20
    STREAM_ALREADY_EXISTS = 21
    WRONG_EXPECTED_OFFSET = 22
    STREAM_SEALED = 23
    TOO_MANY_STREAMS = 24
    WRONG_TENANT = 25
    OFFSET_BEYOND_END = 26
    ORIGIN_GAP = 27
    """The origin sequence skips events that were never seen."""
    OUTCOME_UNKNOWN = 28
    """Too old to tell whether it was applied before; it was not applied now."""
    ORIGIN_OVERLAP = 29
    """Some of the events were applied before and some not; base is the next expected sequence."""
    STREAM_DIFFERS = 30
    """A stream of this name exists with another data class; its id is in `stream`."""
    TOO_MANY_ORIGINS = 31
    SENT_AHEAD = 32
    """The time of first sending is ahead of log time, so a retry could not be judged by it."""
    # -- policy
    PLACEMENT_REFUSED = 40
    POLICY_VERSION_CONFLICT = 41
    NO_SUCH_REGION = 42
    FORBIDDEN = 43
    # -- form
    BAD_COMMAND = 60
    NOT_SUPPORTED = 61
    NAME_INVALID = 62


BASE_UNKNOWN = (1 << 64) - 1
"""In `base` of a DUPLICATE: applied before, but where is no longer remembered."""


class Outcome(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record. `policy` is the version that decided, `entry` the index within the op."""

    code: Code
    kind: int
    policy: int
    op: int
    tenant: int
    stream: int
    base: int
    count: int
    entry: int

    @property
    def accepted(self) -> bool:
        """Whether the log now holds what was asked for."""
        return self.code in (Code.OK, Code.DUPLICATE)


def kind_of(entry_kind: int, command: int) -> int:
    """Return the `kind` of an outcome: the entry's kind, and which command it was (0 for none)."""
    assert 0 <= entry_kind < 256 and 0 <= command < 256
    return entry_kind | command << 8


def encode(outcome: Outcome) -> bytes:
    """Return the 64 bytes of a record."""
    o = outcome
    return RECORD.pack(o.code, o.kind, o.policy, o.op, o.tenant, o.stream, o.base, o.count, o.entry)


def decode(data: bytes | memoryview, at: int = 0) -> Outcome:
    """Read the record at `at`. Raises ValueError for an unknown code."""
    f = RECORD.unpack_from(data, at)
    return Outcome(
        code=Code(f[0]),
        kind=f[1],
        policy=f[2],
        op=f[3],
        tenant=f[4],
        stream=f[5],
        base=f[6],
        count=f[7],
        entry=f[8],
    )


def chain(head: bytes, records: Sequence[bytes]) -> bytes:
    """Return the chain head after one op whose entries yielded `records`."""
    return sha256(head + b"".join([sha256(record).digest() for record in records])).digest()
