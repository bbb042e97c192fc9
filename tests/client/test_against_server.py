"""The three faces against a real node: what they promise, and that they promise the same."""

import asyncio
import inspect
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest
import trio

import veritydb.aio
import veritydb.trio
from tests.client.live import REGION, LiveNode
from veritydb.client.client import AsyncClient
from veritydb.client.stream import AsyncStream
from veritydb.client.sync import Client, Stream, connect
from veritydb.client.trio import TrioClient, TrioStream
from veritydb.client.values import (
    LINEARIZABLE,
    NO_STREAM,
    STREAM_EXISTS,
    Durability,
    PublishOptions,
    Truncated,
    Write,
)
from veritydb.policy.state import Rules
from veritydb.types.errors import (
    AmbiguousStream,
    Applied,
    InvalidInput,
    NoSuchStream,
    NotSupported,
    OriginConflict,
    PlacementRefused,
    PolicyConflict,
    StreamExists,
    StreamSealed,
    TooLarge,
    UnreachablePlacement,
    VerityError,
    WrongExpectedOffset,
)
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.limits import EVENT_BYTES_MAX
from veritydb.types.retention import Retention

pytestmark = pytest.mark.cluster

HERE = Region(REGION)
PHI = DataClass.PHI
Scenario = Callable[[Any, int], Awaitable[None]]
Face = Callable[[str, Scenario], None]
tenants = itertools.count(10)


async def done(value: Any) -> Any:
    """The result of a call on whichever face."""
    return await value if inspect.isawaitable(value) else value


async def collected(items: AsyncIterator[Any] | Iterable[Any]) -> list[Any]:
    """All that a read yields on whichever face."""
    if isinstance(items, AsyncIterator):
        return [item async for item in items]
    return list(items)


def on_aio(url: str, scenario: Scenario) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(url) as db:
            await scenario(db, next(tenants))

    asyncio.run(main())


def on_trio(url: str, scenario: Scenario) -> None:
    async def main() -> None:
        async with veritydb.trio.connect(url) as db:
            await scenario(db, next(tenants))

    trio.run(main)


def on_sync(url: str, scenario: Scenario) -> None:
    with connect(url) as db:
        asyncio.run(scenario(db, next(tenants)))  # type: ignore[arg-type]


FACES = pytest.mark.parametrize("face", [on_aio, on_sync, on_trio])


def notes(count: int, kind: str = "Note") -> list[Event]:
    return [Event(kind, f"{kind} {at}".encode()) for at in range(count)]


async def payloads(items: Any) -> list[bytes]:
    return [item.payload for item in await collected(items)]


async def scenario_create_append_read(db: Any, tenant: int) -> None:
    stream = await done(db.create_stream("notes", tenant=tenant, data_class=PHI, placement=HERE))
    full = Event(
        "Signed",
        b"\x00payload",
        id=b"i" * 16,
        schema_version=7,
        occurred_at=123,
        causation_id=b"c" * 16,
        correlation_id=b"k" * 16,
        actor="nurse",
        metadata=b"meta",
        tags=("a", "b"),
    )
    first = await done(stream.append([full], expected=NO_STREAM))
    assert (first.base, first.count, first.duplicate, first.next) == (0, 1, False, 1)
    second = await done(stream.append(notes(4), expected=1))
    assert list(second.offsets) == [1, 2, 3, 4]
    third = await done(stream.append(notes(1, "Late"), expected=STREAM_EXISTS))
    assert third.base == 5
    everything = await collected(stream.read(at_least=third.token))
    assert [item.offset for item in everything] == list(range(6))
    assert everything[0].event() == full
    assert len({item.id for item in everything}) == 6
    assert [item.index for item in everything] == [0, 0, 1, 2, 3, 0]
    positions = [item.position for item in everything]
    assert positions == sorted(positions) and len(set(positions)) == 6
    times = [item.timestamp for item in everything]
    assert times == sorted(times)
    assert await payloads(stream.read(2, limit=2)) == [b"Note 1", b"Note 2"]
    backwards = await collected(stream.read(3, backwards=True, consistency=LINEARIZABLE))
    assert [item.offset for item in backwards] == [3, 2, 1, 0]
    assert [i.offset for i in await collected(stream.read(backwards=True, limit=2))] == [5, 4]
    late = await collected(stream.read(from_time=everything[5].timestamp))
    assert [item.offset for item in late] == [5]
    batches = await collected(stream.read_batches(1, limit=3))
    assert [(b.base, b.payloads) for b in batches] == [(1, [b"Note 0", b"Note 1", b"Note 2"])]
    assert [b.types for b in await collected(stream.read_batches(5))] == [["Late"]]
    assert await collected(stream.read(99)) == []
    node = (await done(db.status()))[0]
    assert node.reachable and node.ready
    assert len(await collected(stream.read(node=node.name))) == 6


async def scenario_refusals(db: Any, tenant: int) -> None:
    stream = await done(db.create_stream("one", tenant=tenant, data_class=PHI, placement=HERE))
    again = await done(db.create_stream("one", tenant=tenant, data_class=PHI, placement=HERE))
    assert again.id == stream.id
    other = DataClass.NON_PHI
    failing: list[tuple[Callable[[], Any], type[VerityError]]] = [
        (lambda: stream.append(notes(1), expected=7), WrongExpectedOffset),
        (lambda: stream.append(notes(1), expected=STREAM_EXISTS), WrongExpectedOffset),
        (lambda: stream.append([]), InvalidInput),
        (lambda: stream.append(notes(1), expected=-1), InvalidInput),
        (lambda: stream.append(notes(1), timeout=0), InvalidInput),
        (lambda: stream.append([Event("t", bytes(EVENT_BYTES_MAX + 1))]), TooLarge),
        (lambda: stream.append(notes(1), durability=Durability.GEO_DURABLE), NotSupported),
        (lambda: stream.append(notes(1), origin=b"short", origin_seq=0), InvalidInput),
        (lambda: stream.append(notes(1), origin=b"o" * 16), InvalidInput),
        (lambda: stream.append(notes(1), origin=b"o" * 16, origin_seq=3), OriginConflict),
        (lambda: stream.truncate(1), InvalidInput),
        (lambda: db.stream("none", tenant=tenant), NoSuchStream),
        (lambda: db.stream("one", tenant=tenant, placement=GLOBAL), NoSuchStream),
        (lambda: db.stream("", tenant=tenant), InvalidInput),
        (lambda: db.stream("n" * 256, tenant=tenant), TooLarge),
        (lambda: db.stream("one", tenant=-1), InvalidInput),
        (lambda: db.stream("one", tenant=1, placement=Region("mars")), UnreachablePlacement),
        (
            lambda: db.create_stream("one", tenant=tenant, data_class=other, placement=HERE),
            StreamExists,
        ),
        (
            lambda: db.create_stream("p", tenant=tenant, data_class=PHI, placement=GLOBAL),
            PlacementRefused,
        ),
        (
            lambda: db.create_stream("p", tenant=tenant, data_class=PHI, placement=Region("mars")),
            UnreachablePlacement,
        ),
        (lambda: db.policy(group=77), UnreachablePlacement),
        (lambda: db.step_down(1), NotSupported),
        (lambda: db.replace(1, 0), NotSupported),
    ]
    for number, (call, error) in enumerate(failing):
        with pytest.raises(error) as raised:
            await done(call())
        assert raised.value.applied is Applied.NO, number
    with pytest.raises(WrongExpectedOffset) as raised:
        await done(stream.append(notes(1), expected=7))
    assert raised.value.actual == 0
    assert await collected(stream.read()) == []


async def scenario_idempotency(db: Any, tenant: int) -> None:
    stream = await done(db.create_stream("device", tenant=tenant, data_class=PHI, placement=HERE))
    origin = os.urandom(16)
    first = await done(stream.append(notes(3), origin=origin, origin_seq=0))
    await done(stream.append(notes(1)))
    repeat = await done(stream.append(notes(3), origin=origin, origin_seq=0))
    assert (repeat.base, repeat.duplicate) == (first.base, True)
    more = await done(stream.append(notes(2), origin=origin, origin_seq=3))
    assert (more.base, more.duplicate) == (4, False)
    with pytest.raises(OriginConflict) as raised:
        await done(stream.append(notes(3), origin=origin, origin_seq=4))
    assert raised.value.actual == 5
    items = await collected(stream.read())
    assert [item.origin_seq for item in items] == [0, 1, 2, 0, 3, 4]


async def scenario_life_of_a_stream(db: Any, tenant: int) -> None:
    stream = await done(
        db.create_stream("life", tenant=tenant, data_class=DataClass.NON_PHI, placement=GLOBAL)
    )
    await done(stream.append(notes(10)))
    info = await done(stream.truncate(4))
    assert (info.floor, info.next_offset) == (4, 10)
    items = await collected(stream.read())
    assert items[0] == Truncated(0, 4)
    assert [item.offset for item in items[1:]] == [4, 5, 6, 7, 8, 9]
    last = await collected(stream.read(5, backwards=True))
    assert [item.offset for item in last[:2]] == [5, 4]
    assert last[2] == Truncated(0, 4)
    gap = (await collected(stream.read_batches(2)))[0]
    assert gap.truncated and list(gap.offsets) == [2, 3]
    info = await done(stream.set_retention(Retention(max_events=2)))
    assert info.retention == Retention(max_events=2) and info.floor == 8
    assert (await done(stream.seal())).sealed
    assert (await done(stream.seal())).sealed
    with pytest.raises(StreamSealed):
        await done(stream.append(notes(1)))
    assert (await done(stream.info())).sealed
    found = await done(db.stream("life", tenant=tenant))
    assert found.id == stream.id and found.placement == GLOBAL


async def scenario_several_streams(db: Any, tenant: int) -> None:
    async def make(name: str) -> Any:
        return await done(db.create_stream(name, tenant=tenant, data_class=PHI, placement=HERE))

    one, two, three = await make("one"), await make("two"), await make("three")
    wide = await done(
        db.create_stream("one", tenant=tenant, data_class=DataClass.NON_PHI, placement=GLOBAL)
    )
    await done(one.append(notes(2)))
    answers = await done(db.append_many({one: notes(2, "X"), two: Write(notes(1, "Y"), NO_STREAM)}))
    assert answers[one].base == 2 and answers[two].base == 0
    assert answers[one].token == answers[two].token
    with pytest.raises(WrongExpectedOffset) as raised:
        await done(db.append_many({one: notes(1), two: Write(notes(1), NO_STREAM)}))
    assert raised.value.actual == 1
    with pytest.raises(WrongExpectedOffset):
        await done(db.append_many({one: notes(1), three: Write(notes(1), STREAM_EXISTS)}))
    with pytest.raises(WrongExpectedOffset):
        await done(db.append_many({one: notes(1), two: Write([], 9)}))
    await done(db.append_many({one: notes(1), two: Write([], 1)}))
    for bad in ({}, {one: notes(1), wide: notes(1)}, {one: [], two: notes(1)}, {one: Write([], 5)}):
        with pytest.raises(InvalidInput):
            await done(db.append_many(bad))
    assert await payloads(two.read()) == [b"Y 0"]
    assert len(await collected(one.read())) == 5
    assert [b.payloads for b in await collected(two.read_batches())] == [[b"Y 0"]]
    assert await collected(three.read()) == []
    with pytest.raises(AmbiguousStream):
        await done(db.stream("one", tenant=tenant))
    there = await done(db.stream("one", tenant=tenant, placement=HERE))
    assert there.id == one.id
    listed = await done(db.list_streams(tenant=tenant))
    assert sorted((info.name, info.group) for info in listed) == [
        ("one", 0),
        ("one", 1),
        ("three", 1),
        ("two", 1),
    ]
    assert len(await done(db.list_streams(tenant=tenant, placement=GLOBAL))) == 1


async def scenario_publish(db: Any, tenant: int) -> None:
    await done(db.create_stream("in", tenant=tenant, data_class=PHI, placement=HERE))
    opts = PublishOptions(type="T", expected=0)
    offsets = await done(db.publish(tenant=tenant, stream="in", payloads=[b"1", b"2"], opts=opts))
    assert list(offsets.offsets) == [0, 1]
    offsets = await done(db.publish(tenant=tenant, stream="in", payloads=[b"3"]))
    assert offsets.base == 2
    stream = await done(db.stream("in", tenant=tenant))
    items = await collected(stream.read())
    assert [(item.type, item.payload) for item in items] == [("T", b"1"), ("T", b"2"), ("", b"3")]


async def scenario_operators(db: Any, tenant: int) -> None:
    stream = await done(db.create_stream("audited", tenant=tenant, data_class=PHI, placement=HERE))
    await done(stream.append(notes(3)))
    with pytest.raises(WrongExpectedOffset):
        await done(stream.append(notes(3), expected=99))
    ops = await collected(db.audit(tenant, placement=HERE))
    mine = [item.outcome for op in ops for item in op.items if item.outcome is not None]
    assert [(o.code.name, o.count) for o in mine if o.stream == stream.id][-2:] == [
        ("OK", 3),
        ("WRONG_EXPECTED_OFFSET", 0),
    ]
    exported = await collected(db.audit_export(tenant, placement=HERE))
    assert [op.op for op in exported] == list(range(1, len(exported) + 1))
    assert all(
        one.outcome is None or one.outcome.tenant == tenant for op in exported for one in op.items
    )
    (proof,) = await done(db.audit_verify(tenant, placement=HERE))
    assert proof.records == len(mine) and proof.op >= ops[-1].op
    assert [group.region for group in await done(db.directory())] == ["", REGION]
    policy = await done(db.policy(group=0))
    with pytest.raises(PolicyConflict) as raised:
        await done(db.set_policy(Rules(), expected_version=policy.version + 5, group=0))
    assert raised.value.applied is Applied.NO
    changed = await done(
        db.set_policy(Rules(regions=(REGION,)), expected_version=policy.version, group=0)
    )
    assert changed.version == policy.version + 1
    assert (await done(db.policy(group=0))).rules.regions == (REGION,)


@FACES
@pytest.mark.parametrize(
    "scenario",
    [
        scenario_create_append_read,
        scenario_refusals,
        scenario_idempotency,
        scenario_life_of_a_stream,
        scenario_several_streams,
        scenario_publish,
        scenario_operators,
    ],
    ids=lambda scenario: scenario.__name__.removeprefix("scenario_"),
)
def test_scenario(
    node: LiveNode, face: Callable[[str, Scenario], None], scenario: Scenario
) -> None:
    face(node.url, scenario)


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    """What a caller can pass, and what it is if he does not."""
    every = list(inspect.signature(method).parameters.values())[1:]
    return [(one.name, one.kind, one.default) for one in every]


@pytest.mark.parametrize(
    ("model", "faces", "own"),
    [
        (AsyncClient, (Client, TrioClient), {"append_many", "close", "audit_pages"}),
        (AsyncStream, (Stream, TrioStream), {"close", "pages", "ref"}),
    ],
)
def test_the_faces_have_the_same_methods(
    model: type, faces: tuple[type, ...], own: set[str]
) -> None:
    names = [name for name in dir(model) if not name.startswith("_")]
    for face in faces:
        for name in names:
            if name in own - {"append_many"}:
                continue
            assert parameters(getattr(face, name)) == parameters(getattr(model, name)), name
