"""A tenant's export proves itself, and no change to it goes unseen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from veritydb.audit.export import (
    Export,
    ExportBroken,
    ExportedOp,
    export,
    verify_export,
)
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code, Outcome, chain, encode

MINE = 7
OPS = st.lists(st.lists(st.sampled_from([MINE, 8, 9]), max_size=5), min_size=1, max_size=6)


def outcome(op: int, entry: int, tenant: int) -> Outcome:
    return Outcome(
        code=Code.OK,
        kind=2,
        policy=1,
        op=op,
        tenant=tenant,
        stream=tenant * 100,
        base=entry,
        count=1,
        entry=entry,
    )


def chained(
    tenants: list[list[int]], first: int
) -> tuple[list[tuple[int, list[bytes]]], dict[int, bytes]]:
    """Records and chain heads of ops from `first` whose entries are these tenants'."""
    head = NO_HASH
    heads = {first - 1: head}
    ops = []
    for op, row in enumerate(tenants, start=first):
        records = [encode(outcome(op, entry, tenant)) for entry, tenant in enumerate(row)]
        head = chain(head, records)
        heads[op] = head
        ops.append((op, records))
    return ops, heads


@settings(max_examples=60)
@given(OPS, st.integers(1, 1000))
def test_an_export_shows_own_records_and_proves_them(tenants: list[list[int]], first: int) -> None:
    ops, heads = chained(tenants, first)
    made = export(MINE, NO_HASH, ops)
    last = max(heads)
    for known in (heads, {last: heads[last]}):
        head, outcomes = verify_export(made, known)
        assert head == heads[last]
        assert outcomes == [
            outcome(first + at, entry, MINE)
            for at, row in enumerate(tenants)
            for entry, tenant in enumerate(row)
            if tenant == MINE
        ]
    shown = b"".join(item for row in made.ops for item in row.items if len(item) == 64)
    assert (800).to_bytes(8, "little") not in shown


@settings(max_examples=100)
@given(st.data())
def test_no_change_goes_unseen(data: st.DataObject) -> None:
    tenants = [[MINE, 8], [9], [8, MINE, MINE], [], [MINE]]
    ops, heads = chained(tenants, 5)
    made = export(MINE, NO_HASH, ops)
    known = {9: heads[9]}
    at = data.draw(st.sampled_from([0, 1, 2, 4]))
    row = made.ops[at]
    which = data.draw(st.integers(0, len(row.items) - 1))
    item = row.items[which]
    change = data.draw(st.sampled_from(["flip", "drop", "twice", "swap", "op", "previous"]))
    items = list(row.items)
    if change == "flip":
        # The last 16 bytes of a record are zero and hashed like the rest.
        bit = data.draw(st.integers(0, 8 * len(item) - 1))
        flipped = int.from_bytes(item, "little") ^ 1 << bit
        items[which] = flipped.to_bytes(len(item), "little")
    elif change == "drop":
        del items[which]
    elif change == "twice":
        items.insert(which, item)
    elif change == "swap":
        items.reverse()
    changed = [*made.ops]
    changed[at] = ExportedOp(row.op, tuple(items))
    if change == "op":
        del changed[at]
    bad = replace(made, ops=tuple(changed))
    if change == "previous":
        bad = replace(made, previous=b"\x01" * 32)
    if bad == made:
        return
    with pytest.raises(ExportBroken):
        verify_export(bad, known)


@pytest.mark.parametrize(
    ("made", "heads"),
    [
        (Export(MINE, NO_HASH, ()), {}),
        (Export(MINE, b"short", (ExportedOp(1, ()),)), {1: chain(NO_HASH, [])}),
        (Export(MINE, NO_HASH, (ExportedOp(1, ()),)), {}),
        (Export(MINE, NO_HASH, (ExportedOp(1, ()),)), {0: b"x" * 32, 1: chain(NO_HASH, [])}),
        (Export(MINE, NO_HASH, (ExportedOp(1, (b"odd",)),)), {1: NO_HASH}),
        (Export(MINE, NO_HASH, (ExportedOp(1, (b"\xff" * 64,)),)), {1: NO_HASH}),
    ],
)
def test_what_is_no_export(made: Export, heads: dict[int, bytes]) -> None:
    with pytest.raises(ExportBroken):
        verify_export(made, heads)
