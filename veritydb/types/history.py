"""A stretch of committed log as one replica gives it to another: frames, and what became of them.

Whoever knows the hash of the last op and the outcome chain's head after it can prove the whole
stretch: hashes cannot be made to fit, so neither frames nor records nor the head before the first
op can be others than those that the log has.
"""

from itertools import pairwise

import msgspec

from veritydb.types.frame import Frame, verify_root
from veritydb.types.ids import Op
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import RECORD_BYTES, chain


class Proof(msgspec.Struct, frozen=True, gc=False):
    """What is known of the last op of a stretch: its header's hash, and the chain head after it."""

    op: Op
    hash: bytes
    head: bytes


class History(msgspec.Struct, frozen=True, gc=False):
    """Consecutive ops, oldest first; the outcome records of all their entries; the head before."""

    frames: tuple[Frame, ...] = ()
    records: bytes = b""
    before: bytes = NO_HASH


NOTHING = History()


def proved(history: History, proof: Proof) -> bool:
    """Whether this is the stretch of the log that ends with the op that `proof` is about."""
    frames = history.frames
    if not frames or (frames[-1].header.op, frames[-1].header.hash) != (proof.op, proof.hash):
        return False
    for one, after in pairwise(frames):
        if after.header.op != one.header.op + 1 or after.header.previous != one.header.hash:
            return False
    if not all(map(verify_root, frames)):
        return False
    first = frames[0].header
    if first.op == 1 and (first.previous, history.before) != (NO_HASH, NO_HASH):
        return False
    if len(history.records) != RECORD_BYTES * sum(each.header.entry_count for each in frames):
        return False
    return head_after(history) == proof.head


def head_after(history: History) -> bytes:
    """Return the outcome chain's head after the last op."""
    head, at = history.before, 0
    for each in history.frames:
        end = at + each.header.entry_count * RECORD_BYTES
        mine = range(at, end, RECORD_BYTES)
        head = chain(head, [history.records[one : one + RECORD_BYTES] for one in mine])
        at = end
    assert at <= len(history.records)
    return head


def before(history: History) -> Proof:
    """Return what a proved stretch proves of the op before it (op 0: the log begins here)."""
    first = history.frames[0].header
    assert first.op > 0
    return Proof(Op(first.op - 1), first.previous, history.before)
