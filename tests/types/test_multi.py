"""The table at the end of an append to several streams."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_EXISTS,
    EXPECT_NO_STREAM,
    PART_BYTES,
    BadEntry,
    EntryHeader,
    Kind,
    PartInfo,
    check_parts,
    pack_part,
)
from veritydb.types.ids import StreamId
from veritydb.types.limits import BATCH_PARTS_MAX, MULTI_APPEND_STREAMS_MAX
from veritydb.types.multi import Share, last_part, pack, parse, part_range

ROWS = st.lists(
    st.tuples(st.integers(0, 1 << 62), st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40)))),
    min_size=1,
    max_size=6,
)


def body_of(shares: list[Share], parts: list[PartInfo]) -> bytes:
    table = pack(shares)
    rows = [pack_part(part) for part in (*parts, last_part(table))]
    return b"".join([*rows, *(bytes(p.descriptor_len + p.events_len) for p in parts), table])


@settings(max_examples=80)
@given(ROWS)
def test_parts_are_dealt_out_in_order(rows: list[tuple[int, list[tuple[int, int]]]]) -> None:
    shares, parts = [], []
    for at, (expected, own) in enumerate(rows):
        mine = [PartInfo(0, events, 3, size) for events, size in own]
        events = sum(part.events for part in mine)
        size = sum(PART_BYTES + 3 + part.events_len for part in mine)
        shares.append(Share(StreamId(at), expected, len(mine), events, size))
        parts += mine
    body = body_of(shares, parts)
    if not parts:
        with pytest.raises(BadEntry):
            parse(body)
        return
    assert parse(body) == tuple(shares)
    assert parse(memoryview(body)) == tuple(shares)
    total = sum(share.events for share in shares)
    check_parts(body, EntryHeader(kind=Kind.APPEND_MANY, parts=len(parts) + 1, events=total))
    at = 0
    for share in shares:
        assert part_range(shares, share.stream) == (at, at + share.parts)
        assert share.base == share.expected
        at += share.parts
    assert part_range(shares, StreamId(99)) is None


def test_an_empty_stream_gives_offset_0() -> None:
    assert Share(StreamId(1), EXPECT_NO_STREAM, 1, 1).base == 0


@pytest.mark.parametrize(
    "shares",
    [
        [Share(StreamId(1), EXPECT_ANY, 1, 2)],
        [Share(StreamId(1), EXPECT_EXISTS, 1, 2)],
        [Share(StreamId(1), 1 << 63, 1, 2)],
        [Share(StreamId(1), 0, 1, 1)],
        [Share(StreamId(1), 0, 2, 2)],
        [Share(StreamId(1), 0, 0, 2)],
        [Share(StreamId(1), 0, 1, 2), Share(StreamId(1), 0, 0, 0)],
        [Share(StreamId(1), 0, BATCH_PARTS_MAX, 2)],
        [Share(StreamId(n), 0, int(n == 0), 2 * int(n == 0)) for n in range(65)],
        [],
    ],
)
def test_tables_that_do_not_add_up(shares: list[Share]) -> None:
    assert MULTI_APPEND_STREAMS_MAX == 64
    with pytest.raises(BadEntry):
        parse(body_of(shares, [PartInfo(0, 2, 3, 5)]))


@settings(max_examples=200)
@given(st.data())
def test_changed_bytes_are_read_or_refused(data: st.DataObject) -> None:
    shares = [Share(StreamId(1), 5, 1, 2), Share(StreamId(2), EXPECT_NO_STREAM, 1, 1)]
    body = bytearray(body_of(shares, [PartInfo(0, 2, 3, 5), PartInfo(0, 1, 3, 5)]))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for mangled in (body, body[: data.draw(st.integers(0, len(body)))]):
        try:
            parse(bytes(mangled))
        except BadEntry:
            continue
