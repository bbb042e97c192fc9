"""What is in a page: cut to what was asked for, checked, in the right order."""

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritydb.client.audit import AuditItem, AuditOp, AuditPage, ChainCheck
from veritydb.client.pages import Page, Stored
from veritydb.client.values import Erased, Position, RecordedEvent, Truncated
from veritydb.types.entry import (
    EXPECT_NO_STREAM,
    HEADER_BYTES,
    PART_BYTES,
    EntryHeader,
    Kind,
    pack_header,
)
from veritydb.types.errors import CorruptData
from veritydb.types.event import Event
from veritydb.types.ids import StreamId
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code, Outcome, chain
from veritydb.types.outcome import encode as encode_outcome
from veritydb.wire.batch import Batch, encode_batch, join_batches


def encode(events: list[Event]) -> Batch:
    return encode_batch(events, bytes(range(16)) * len(events))


STREAM = 1 << 48 | 3


def entry(batch: Batch, kind: Kind = Kind.APPEND, stream: int = STREAM) -> bytes:
    header = EntryHeader(
        kind=kind,
        parts=batch.parts,
        stream=StreamId(stream if kind is Kind.APPEND else 0),
        events=batch.events,
        body_len=len(batch.body),
        crc=batch.crc,
    )
    return pack_header(header) + batch.body


def events(first: int, count: int) -> list[Event]:
    return [Event("t", str(at).encode()) for at in range(first, first + count)]


def stored(base: int, count: int, op: int = 1, erased: bool = False) -> Stored:
    data = None if erased else entry(encode(events(base, count)))
    return Stored(base, count, op, 0, 1000 + op, data)


def page(entries: list[Stored], low: int, high: int, backwards: bool = False) -> Page:
    if backwards:
        entries = entries[::-1]
    return Page(
        stream=STREAM, group=1, low=low, high=high, backwards=backwards, entries=tuple(entries)
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data(), st.booleans())
def test_a_page_is_cut_to_what_was_asked_for(
    counts: list[int], data: st.DataObject, backwards: bool
) -> None:
    bases = [sum(counts[:at]) for at in range(len(counts))]
    erased = data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts)))
    entries = [
        stored(base, count, at + 1, gone)
        for at, (base, count, gone) in enumerate(zip(bases, counts, erased, strict=True))
    ]
    # The first and the last entry may be asked for in part.
    low = data.draw(st.integers(0, counts[0] - 1))
    high = data.draw(st.integers(max(bases[-1], low) + 1, sum(counts)))
    asked = page(entries, low, high, backwards)
    items = list(asked.items())
    wanted = list(range(low, high))
    assert [item.offset for item in items] == (wanted[::-1] if backwards else wanted)
    for item in items:
        if isinstance(item, RecordedEvent):
            assert item.payload == str(item.offset).encode()
        assert not isinstance(item, Truncated)
        which = max(at for at, base in enumerate(bases) if base <= item.offset)
        assert isinstance(item, Erased) == erased[which]
        assert item.position == Position(1, which + 1, 0, item.offset - bases[which])
        assert item.timestamp == 1001 + which
    batches = list(asked.batches())
    covered = [offset for batch in batches for offset in batch.offsets]
    assert sorted(covered) == wanted
    for batch in batches:
        wrote = [] if batch.erased else [str(at).encode() for at in batch.offsets]
        assert batch.payloads == wrote and len(batch.types) == len(wrote)


def test_a_gap_comes_first_forwards_and_last_backwards() -> None:
    gap = Truncated(0, 5)
    forwards = msgspec.structs.replace(page([stored(5, 2)], 5, 7), truncated=gap)
    assert next(forwards.items()) == gap
    assert next(forwards.batches()).truncated
    backwards = msgspec.structs.replace(page([stored(5, 2)], 5, 7, True), truncated=gap)
    assert list(backwards.items())[-1] == gap
    assert list(list(backwards.batches())[-1].offsets) == [0, 1, 2, 3, 4]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_every_changed_byte_of_a_body_is_noticed() -> None:
    good = entry(encode(events(0, 2)))
    for at in range(HEADER_BYTES, len(good)):
        bad = page([Stored(0, 2, 1, 0, 1, flipped(good, at))], 0, 2)
        for look in (bad.items, bad.batches):
            with pytest.raises(CorruptData):
                list(look())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        entry(encode(events(0, 2)))[:-1],
        entry(encode(events(0, 2))) + b"x",
        entry(encode(events(0, 2)), stream=STREAM + 1),
        entry(encode(events(0, 3))),
        pack_header(EntryHeader(kind=Kind.APPEND)),
    ],
)
def test_what_is_not_what_the_node_says_is_refused(data: bytes) -> None:
    bad = page([Stored(0, 2, 1, 0, 1, data)], 0, 2)
    for look in (bad.items, bad.batches):
        with pytest.raises(CorruptData):
            list(look())


def test_another_streams_erasure_does_not_hide_our_events() -> None:
    other = encode(events(50, 2))
    joined = join_batches(
        [(STREAM, EXPECT_NO_STREAM, encode(events(0, 2))), (STREAM + 1, 50, other)]
    )
    data = entry(joined, Kind.APPEND_MANY)
    whole = page([Stored(0, 2, 1, 0, 1, data)], 0, 2)
    assert [i.payload for i in whole.items() if isinstance(i, RecordedEvent)] == [b"0", b"1"]
    foreign = other.body[PART_BYTES:]
    assert data.count(foreign) == 1
    holed = page([Stored(0, 2, 1, 0, 1, data.replace(foreign, bytes(len(foreign))))], 0, 2)
    assert [i.payload for i in holed.items() if isinstance(i, RecordedEvent)] == [b"0", b"1"]
    changed = page([Stored(0, 2, 1, 0, 1, flipped(data, len(data) - 60))], 0, 2)
    with pytest.raises(CorruptData):
        list(changed.items())


def record(op: int, tenant: int, entry: int = 0) -> bytes:
    return encode_outcome(
        Outcome(
            code=Code.OK,
            kind=2,
            policy=1,
            op=op,
            tenant=tenant,
            stream=1,
            base=0,
            count=1,
            entry=entry,
        )
    )


def audit_op(op: int, previous: bytes, records: list[bytes], tenant: int) -> AuditOp:
    items = tuple(
        AuditItem(one if one[16] == tenant else None, sha256(one).digest()) for one in records
    )
    return AuditOp(1, op, 7, chain(previous, records), items)


def test_an_audit_chain_holds_or_is_refused() -> None:
    first = audit_op(1, NO_HASH, [record(1, 5), record(1, 6, 1)], 5)
    second = audit_op(2, first.head, [record(2, 5)], 5)
    check = ChainCheck(1, 5)
    check.take(AuditPage((first,), NO_HASH, 2, False))
    check.take(AuditPage((second,), first.head, 3, True))
    proof = check.proof()
    assert (proof.op, proof.records, proof.head) == (2, 2, second.head)
    hidden = audit_op(2, first.head, [record(2, 6)], 5)
    lying = msgspec.structs.replace(second, items=hidden.items)
    foreign = audit_op(2, first.head, [record(2, 6)], 6)
    for bad, previous in [
        (second, NO_HASH),
        (lying, first.head),
        (foreign, first.head),
        (audit_op(3, first.head, [record(3, 5)], 5), first.head),
    ]:
        check = ChainCheck(1, 5)
        check.take(AuditPage((first,), NO_HASH, 2, False))
        with pytest.raises(CorruptData):
            check.take(AuditPage((bad,), previous, 3, True))
