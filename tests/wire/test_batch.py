"""Batches: what is written is read, what breaks a rule is refused, and no bytes can do harm."""

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.types.entry import (
    EXPECT_NO_STREAM,
    PART_BYTES,
    EntryHeader,
    Kind,
    PartInfo,
    check_parts,
    pack_part,
)
from veritydb.types.errors import InvalidInput, TooLarge
from veritydb.types.event import Event
from veritydb.types.ids import StreamId
from veritydb.types.limits import (
    ACTOR_BYTES_MAX,
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    EVENT_TAGS_MAX,
    EVENT_TYPE_BYTES_MAX,
    METADATA_BYTES_MAX,
    MULTI_APPEND_STREAMS_MAX,
    TAG_BYTES_MAX,
)
from veritydb.wire.batch import (
    BadBatch,
    Batch,
    check_batch,
    decode_batch,
    decode_fields,
    encode_batch,
    join_batches,
)
from veritydb.wire.batch_decode import _check_any, _decode_any, _one_type

texts = st.text(st.characters(codec="utf-8"), max_size=20)
ids = st.just(b"") | st.binary(min_size=16, max_size=16).filter(any)
event_lists = st.lists(
    st.builds(
        Event,
        type=texts,
        payload=st.binary(max_size=60),
        id=ids,
        schema_version=st.integers(0, 2**32 - 1) | st.just(1),
        occurred_at=st.integers(0, 2**64 - 1) | st.just(0),
        causation_id=ids,
        correlation_id=ids,
        actor=texts,
        metadata=st.binary(max_size=20),
        tags=st.lists(texts, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=20,
)


def fresh(count: int) -> bytes:
    """Ids that differ from one another and from none."""
    return b"".join((at + 1).to_bytes(16, "big") for at in range(count))


def encode(events: Sequence[Event]) -> Batch:
    return encode_batch(events, fresh(len(events)))


def header_of(batch: Batch, kind: Kind = Kind.APPEND) -> EntryHeader:
    return EntryHeader(
        kind=kind,
        parts=batch.parts,
        events=batch.events,
        body_len=len(batch.body),
        crc=batch.crc,
    )


def with_ids(events: Sequence[Event]) -> list[Event]:
    """The events as they come back: those without an id got a fresh one."""
    numbers = fresh(len(events))
    return [
        Event(
            event.type,
            event.payload,
            event.id or numbers[at * 16 : at * 16 + 16],
            event.schema_version,
            event.occurred_at,
            event.causation_id,
            event.correlation_id,
            event.actor,
            event.metadata,
            event.tags,
        )
        for at, event in enumerate(events)
    ]


@given(event_lists)
def test_what_is_written_is_read(events: list[Event]) -> None:
    batch = encode(events)
    header = header_of(batch)
    check_parts(batch.body, header)
    check_batch(header, batch.body)
    assert batch.crc == crc32c(batch.body)
    assert decode_batch(header, batch.body) == with_ids(events)
    types, payloads = decode_fields(header, batch.body)
    assert types == [event.type for event in events]
    assert payloads == [event.payload for event in events]


@given(st.lists(event_lists, min_size=1, max_size=4))
def test_each_stream_finds_its_own_events_in_a_joined_batch(shares: list[list[Event]]) -> None:
    joined = join_batches(
        [(at + 7, EXPECT_NO_STREAM, encode(events)) for at, events in enumerate(shares)]
    )
    header = header_of(joined, Kind.APPEND_MANY)
    check_parts(joined.body, header)
    check_batch(header, joined.body)
    for at, events in enumerate(shares):
        assert decode_batch(header, joined.body, StreamId(at + 7)) == with_ids(events)
        assert decode_fields(header, joined.body, at + 7)[1] == [e.payload for e in events]
    with pytest.raises(BadBatch):
        decode_batch(header, joined.body, 6)
    assert decode_fields(header, joined.body, 6) == ([], [])


@settings(max_examples=300)
@given(event_lists, st.data())
def test_changed_bytes_are_read_or_refused(events: list[Event], data: st.DataObject) -> None:
    batch = encode(events)
    body = bytearray(batch.body)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    broken = bytes(body[: data.draw(st.integers(0, len(body)) | st.just(len(body)))])
    header = EntryHeader(
        kind=data.draw(st.sampled_from([Kind.APPEND, Kind.APPEND_MANY])),
        parts=1,
        events=batch.events,
        body_len=len(broken),
    )
    for read in (decode_batch, decode_fields, check_batch):
        try:
            read(header, broken)
        except BadBatch:
            continue


@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 20))
def test_any_bytes_are_read_or_refused(body: bytes, parts: int, events: int) -> None:
    header = EntryHeader(kind=Kind.APPEND, parts=parts, events=events, body_len=len(body))
    for read in (decode_batch, decode_fields, check_batch):
        try:
            read(header, body)
        except BadBatch:
            continue


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([], InvalidInput),
        ([Event("t", b"")] * (BATCH_EVENTS_MAX + 1), TooLarge),
        ([Event("t", bytes(EVENT_BYTES_MAX + 1))], TooLarge),
        ([Event("t", bytes(EVENT_BYTES_MAX))] * 9, TooLarge),
        ([Event("t" * (EVENT_TYPE_BYTES_MAX + 1), b"")], TooLarge),
        ([Event("t", b"", actor="a" * (ACTOR_BYTES_MAX + 1))], TooLarge),
        ([Event("t", b"", metadata=bytes(METADATA_BYTES_MAX + 1))], TooLarge),
        ([Event("t", b"", tags=("a",) * (EVENT_TAGS_MAX + 1))], TooLarge),
        ([Event("t", b"", tags=("a" * (TAG_BYTES_MAX + 1),))], TooLarge),
        ([Event("t", b"", id=b"short")], InvalidInput),
        ([Event("t", b"", causation_id=b"short")], InvalidInput),
        ([Event("t", b"", correlation_id=bytes(17))], InvalidInput),
        ([Event("t", b"", occurred_at=-1)], InvalidInput),
        ([Event("t", b"", occurred_at=1 << 64)], InvalidInput),
        ([Event("t", b"", schema_version=-1)], InvalidInput),
        ([Event("\ud800", b"")], InvalidInput),
        ([Event(b"t", b"")], InvalidInput),
        ([Event("t", "text")], InvalidInput),
        ([Event("t", None)], InvalidInput),
        ([Event("t", b"", tags="urgent")], InvalidInput),
        ([Event("t", b"", tags=7)], InvalidInput),
        (["no event"], InvalidInput),
    ],
)
def test_what_breaks_a_rule_is_refused(events: list[Event], error: type[InvalidInput]) -> None:
    with pytest.raises(error) as raised:
        encode_batch(events, bytes(16 * len(events)))
    assert raised.value.applied.value == "not applied"


def test_a_refusal_never_quotes_a_value() -> None:
    for event in (
        Event("t", "Jane Doe"),
        Event("t", b"", occurred_at="Jane"),
        Event("Jane" * 99, b""),
    ):
        with pytest.raises(InvalidInput) as raised:
            encode([event])
        assert "Jane" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": "\ud800"}, "the type of event 1 is not text"),
        ({"payload": "text"}, "the payload of event 1 is not bytes"),
        ({"id": 7}, "the id of event 1 is not bytes"),
        ({"schema_version": 1 << 32}, "the schema_version of event 1 is not a number of 32 bits"),
        ({"occurred_at": 1.5}, "the occurred_at of event 1 is not a number of 64 bits"),
        ({"actor": b"a"}, "the actor of event 1 is not text"),
        ({"metadata": "m"}, "the metadata of event 1 is not bytes"),
        ({"tags": ("ok", 7)}, "the tags of event 1 is not a tuple of texts"),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], said: str) -> None:
    wrong = Event(**({"type": "t", "payload": b""} | fields))
    with pytest.raises(InvalidInput, match=said):
        encode([Event("t", b""), wrong])


def test_the_largest_event_of_every_kind_fits() -> None:
    event = Event(
        "t" * EVENT_TYPE_BYTES_MAX,
        bytes(EVENT_BYTES_MAX),
        actor="a" * ACTOR_BYTES_MAX,
        metadata=bytes(METADATA_BYTES_MAX),
        tags=tuple(f"{at:0{TAG_BYTES_MAX}}" for at in range(EVENT_TAGS_MAX)),
    )
    batch = encode([event])
    assert len(batch.body) <= BATCH_BYTES_MAX
    assert decode_batch(header_of(batch), batch.body) == with_ids([event])


def test_too_many_streams_are_refused() -> None:
    batch = encode([Event("t", b"")])
    with pytest.raises(TooLarge):
        join_batches([(at + 1, 0, batch) for at in range(MULTI_APPEND_STREAMS_MAX + 1)])
    with pytest.raises(InvalidInput):
        join_batches([])


def test_a_sealed_part_is_refused() -> None:
    batch = encode([Event("t", b"p")])
    row = PartInfo(9, 1, 0, len(batch.body) - PART_BYTES)
    body = pack_part(row) + batch.body[PART_BYTES:]
    header = EntryHeader(kind=Kind.APPEND, parts=1, events=1, body_len=len(body))
    with pytest.raises(BadBatch, match="key"):
        decode_batch(header, body)


def test_a_small_body_that_claims_much_costs_little() -> None:
    body = pack_part(PartInfo(0, BATCH_EVENTS_MAX, 8, 8)) + bytes([1, 1, 0, 0]) + bytes(12)
    header = EntryHeader(kind=Kind.APPEND, parts=1, events=BATCH_EVENTS_MAX, body_len=len(body))
    tracemalloc.start()
    try:
        for read in (decode_batch, decode_fields, check_batch):
            with pytest.raises(BadBatch):
                read(header, body)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def accepts(
    check: Callable[[EntryHeader, bytes], object], header: EntryHeader, body: bytes
) -> bool:
    try:
        check(header, body)
    except BadBatch:
        return False
    return True


@settings(max_examples=300)
@given(event_lists, st.booleans(), st.data())
def test_the_short_way_accepts_what_the_long_way_does(
    events: list[Event], plain: bool, data: st.DataObject
) -> None:
    if plain:
        events = [Event(events[0].type, event.payload) for event in events]
    batch = encode(events)
    body = bytearray(batch.body)
    for _ in range(data.draw(st.integers(0, 1))):
        body[data.draw(st.integers(0, min(len(body), 90) - 1))] = data.draw(st.integers(0, 255))
    found = bytes(body)
    header = EntryHeader(kind=Kind.APPEND, parts=1, events=len(events), body_len=len(found))
    assert accepts(check_batch, header, found) == accepts(_check_any, header, found)
    try:
        assert decode_fields(header, found) == _decode_any(header, found, 0)
    except BadBatch:
        assert _one_type(header, found) is None
