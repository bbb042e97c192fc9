"""What replicas say to each other when one is brought up from another's snapshot and history."""

from typing import Any

from veritydb.types.durable import SnapshotRef
from veritydb.types.history import History
from veritydb.types.ids import Op
from veritydb.types.limits import CATCH_UP_BYTES_MAX
from veritydb.types.merkle import HASH_BYTES, NO_HASH
from veritydb.types.outcome import RECORD_BYTES
from veritydb.vsr.envelope import BadMessage, Common, Fields, Words

NO_SNAPSHOT = SnapshotRef()


class RequestSnapshot(Common, frozen=True, gc=False, kw_only=True):
    """Asks what the receiver's newest snapshot is. The asker's own log ends with `known`."""

    known: Op


class SnapshotOffer(Common, frozen=True, gc=False, kw_only=True):
    """The sender's newest snapshot; `ref.op` is 0 if it has none.

    Also the answer to a request for a part of a snapshot that is no longer there.
    """

    ref: SnapshotRef


class RequestSnapshotPart(Common, frozen=True, gc=False, kw_only=True):
    """Asks for up to `size` bytes from `at` on of the snapshot of `op` whose digest is `digest`."""

    op: Op
    digest: bytes
    at: int
    size: int


class SnapshotPart(Common, frozen=True, gc=False, kw_only=True):
    """Bytes of that snapshot. `total` is how many it has altogether."""

    op: Op
    digest: bytes
    at: int
    total: int
    data: bytes


class RequestHistory(Common, frozen=True, gc=False, kw_only=True):
    """Asks for committed ops that end with `last`, as many as one answer holds, none below `first`.

    The receiver of the answer knows what proves it: the hash of `last`, and the outcomes after it.
    """

    first: Op
    last: Op


class HistoryPart(Common, frozen=True, gc=False, kw_only=True):
    """Ops that end with `last`, and what became of their entries; no ops if they are lacking."""

    last: Op
    history: History


def offer_fields(m: SnapshotOffer) -> Fields:
    """Return what the envelope and the payload of an offer hold."""
    ref = m.ref
    if not ref.op:
        return 0, 0, 0, 0, NO_HASH, 0, []
    assert len(ref.header_hash) == len(ref.outcomes) == HASH_BYTES
    return ref.op, ref.size, 0, 0, ref.digest, 1, [ref.header_hash, ref.outcomes]


def read_offer(common: dict[str, Any], words: Words) -> SnapshotOffer:
    """Read an offer. Raises BadMessage."""
    op, size, _, _, digest, count, view = words
    if not count and not len(view) and not op:
        return SnapshotOffer(**common, ref=NO_SNAPSHOT)
    if count != 1 or len(view) != 2 * HASH_BYTES or not op or not size:
        raise BadMessage("an offer of no possible snapshot")
    ref = SnapshotRef(
        op=Op(op),
        header_hash=bytes(view[:HASH_BYTES]),
        digest=digest,
        outcomes=bytes(view[HASH_BYTES:]),
        size=size,
    )
    return SnapshotOffer(**common, ref=ref)


def read_part(common: dict[str, Any], words: Words) -> SnapshotPart:
    """Read a part of a snapshot. Raises BadMessage."""
    op, at, total, _, digest, count, view = words
    if count or not 0 < len(view) <= CATCH_UP_BYTES_MAX or at + len(view) > total:
        raise BadMessage(f"{len(view)} bytes at {at} of a snapshot of {total}")
    return SnapshotPart(**common, op=Op(op), at=at, total=total, digest=digest, data=bytes(view))


def records_bytes(history: History) -> int:
    """How many bytes of outcome records belong to the frames."""
    total = RECORD_BYTES * sum(each.header.entry_count for each in history.frames)
    assert total >= 0
    return total
