"""A tenant's share of the outcome chain: its own records, and bare hashes of everybody else's.

Whoever holds a chain head from elsewhere (a frame's header, an earlier export) can check that
nothing in between was changed, left out or put in, without seeing what others did.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import msgspec

from veritydb.types.merkle import HASH_BYTES
from veritydb.types.outcome import RECORD_BYTES, Outcome, decode


class ExportedOp(msgspec.Struct, frozen=True):
    """The outcomes of one op, in order: 64 bytes are a record, 32 the hash of a foreign one."""

    op: int
    items: tuple[bytes, ...]


class Export(msgspec.Struct, frozen=True):
    """Consecutive ops. `previous` is the chain head before the first of them."""

    tenant: int
    previous: bytes
    ops: tuple[ExportedOp, ...]


class ExportBroken(Exception):
    """An export does not hold. Says where."""


def export_op(tenant: int, op: int, records: Sequence[bytes]) -> ExportedOp:
    """Return what a tenant may see of an op's outcome records."""
    items = tuple(
        record if decode(record).tenant == tenant else sha256(record).digest() for record in records
    )
    return ExportedOp(op, items)


def export(tenant: int, previous: bytes, ops: Iterable[tuple[int, Sequence[bytes]]]) -> Export:
    """Return a tenant's export of consecutive ops, given with all their records."""
    return Export(tenant, previous, tuple(export_op(tenant, op, recs) for op, recs in ops))


def verify_export(exported: Export, heads: Mapping[int, bytes]) -> tuple[bytes, list[Outcome]]:
    """Check an export against chain heads known by op; at least the last op's must be known.

    Returns the chain head after the last op, and the tenant's outcomes. Raises ExportBroken.
    """
    if not exported.ops:
        raise ExportBroken("it covers no op")
    head = exported.previous
    first = exported.ops[0].op
    if len(head) != HASH_BYTES:
        raise ExportBroken("the head before it is not a hash")
    if heads.get(first - 1, head) != head:
        raise ExportBroken(f"it does not start from the head after op {first - 1}")
    if exported.ops[-1].op not in heads:
        raise ExportBroken(f"the head after op {exported.ops[-1].op} is not known")
    outcomes: list[Outcome] = []
    for expected, row in enumerate(exported.ops, start=first):
        if row.op != expected:
            raise ExportBroken(f"op {expected} is missing")
        total = sha256(head)
        for entry, item in enumerate(row.items):
            total.update(_hash(exported.tenant, row.op, entry, item, outcomes))
        head = total.digest()
        if heads.get(row.op, head) != head:
            raise ExportBroken(f"the records of op {row.op}, or of one before, were changed")
    return head, outcomes


def _hash(tenant: int, op: int, entry: int, item: bytes, outcomes: list[Outcome]) -> bytes:
    """Return the hash that an item stands for, and keep the outcome if it is a record."""
    if len(item) == HASH_BYTES:
        return item
    if len(item) != RECORD_BYTES:
        raise ExportBroken(f"op {op}: item {entry} is neither a record nor a hash")
    try:
        outcome = decode(item)
    except ValueError:
        raise ExportBroken(f"op {op}: record {entry} has an unknown code") from None
    if (outcome.tenant, outcome.op, outcome.entry) != (tenant, op, entry):
        raise ExportBroken(f"op {op}: record {entry} belongs elsewhere")
    outcomes.append(outcome)
    return sha256(item).digest()
