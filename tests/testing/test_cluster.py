"""The cluster in memory: what programs test themselves against has to behave as the real one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from veritydb import errors, testing
from veritydb.client.values import NO_STREAM, Erased, RecordedEvent, Truncated
from veritydb.policy.state import Rules
from veritydb.testing import Cluster
from veritydb.types.labels import GLOBAL, DataClass, Region
from veritydb.types.retention import Retention

DAY = timedelta(days=1)


def notes(db: Cluster, name: str = "notes", **more: Retention) -> testing.Stream:
    return db.create_stream(name, tenant=1, data_class=DataClass.PHI, **more)


def payloads(stream: testing.Stream, **query: int | bool) -> list[bytes]:
    found = []
    for item in stream.read(**query):  # type: ignore[arg-type]
        assert isinstance(item, RecordedEvent)
        found.append(item.payload)
    return found


def test_what_is_appended_is_read_back(verity_db: Cluster) -> None:
    stream = notes(verity_db)
    done = stream.append([testing.event("NoteCreated", b"a", actor="dr")], expected=NO_STREAM)
    assert (done.base, done.count, done.duplicate, done.next) == (0, 1, False, 1)
    stream.append(testing.events(3), expected=1)
    first = next(iter(stream.read()))
    assert isinstance(first, RecordedEvent)
    assert (first.type, first.payload, first.actor, first.offset) == ("NoteCreated", b"a", "dr", 0)
    assert len(payloads(stream)) == 4
    assert payloads(stream, from_offset=1, limit=2) == [
        event.payload for event in testing.events(2)
    ]
    assert payloads(stream, backwards=True, limit=1) == [testing.events(3)[2].payload]
    assert payloads(stream, backwards=True, from_offset=0) == [b"a"]
    assert stream.info().next_offset == 4
    assert verity_db.stream("notes", tenant=1).id == stream.id
    assert [info.name for info in verity_db.list_streams(tenant=1)] == ["notes"]
    assert verity_db.list_streams(tenant=2) == []


def test_errors_are_those_of_the_sdk(verity_db: Cluster) -> None:
    stream = notes(verity_db)
    stream.append(testing.events(2))
    with pytest.raises(errors.WrongExpectedOffset) as wrong:
        stream.append(testing.events(1), expected=0)
    assert wrong.value.actual == 2
    assert wrong.value.applied is errors.Applied.NO
    with pytest.raises(errors.NoSuchStream):
        verity_db.stream("notes", tenant=2)
    with pytest.raises(errors.PlacementRefused):
        verity_db.create_stream("g", tenant=1, data_class=DataClass.PHI, placement=GLOBAL)
    with pytest.raises(errors.UnreachablePlacement):
        verity_db.create_stream("g", tenant=1, data_class=DataClass.PHI, placement=Region("mars"))
    with pytest.raises(errors.OriginConflict):
        stream.append(testing.events(1), origin=b"o" * 16, origin_seq=5)
    stream.seal()
    with pytest.raises(errors.StreamSealed):
        stream.append(testing.events(1))
    verity_db.set_policy(Rules(tenants=(7,)))
    with pytest.raises(errors.Forbidden):
        notes(verity_db, "of a tenant that is not allowed")


def test_an_origin_is_recognised(verity_db: Cluster) -> None:
    stream = notes(verity_db)
    first = stream.append(testing.events(2), origin=b"device number 01", origin_seq=0)
    again = stream.append(testing.events(2), origin=b"device number 01", origin_seq=0)
    assert (again.base, again.duplicate) == (first.base, True)
    assert stream.info().next_offset == 2


def test_nothing_is_lost_with_the_primary(verity_cluster: Cluster) -> None:
    stream = notes(verity_cluster)
    for number in range(30):
        stream.append([testing.event(payload=b"%d" % number)], expected=number)
        if number % 10 == 5:
            victim = verity_cluster.primary()
            verity_cluster.crash(victim)
            assert verity_cluster.primary() != victim
            with pytest.raises(errors.Unavailable):
                list(stream.read(node=victim))
        if number % 10 == 9:
            verity_cluster.start(victim)
    verity_cluster.run(1)
    expected = [b"%d" % number for number in range(30)]
    for node in range(3):
        assert payloads(stream, node=node) == expected


def test_a_minority_answers_nothing(verity_cluster: Cluster) -> None:
    stream = notes(verity_cluster)
    old = verity_cluster.primary()
    verity_cluster.isolate(old)
    stream.append(testing.events(1), expected=NO_STREAM)
    assert verity_cluster.primary() != old
    others = [node for node in range(3) if node != old]
    for node in others:
        verity_cluster.crash(node)
    with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
        stream.append(testing.events(1))
    verity_cluster.heal()
    for node in others:
        verity_cluster.start(node)
    assert stream.info().next_offset >= 1


def test_time_is_what_the_test_says(verity_cluster: Cluster) -> None:
    stream = notes(verity_cluster, retention=Retention(max_age_ns=30 * 86_400 * 10**9))
    stream.append(testing.events(1))
    verity_cluster.advance(29 * DAY)
    stream.append(testing.events(1))
    assert len(payloads(stream)) == 2
    verity_cluster.advance(2 * DAY)
    assert verity_cluster.now - datetime(2026, 1, 1, tzinfo=UTC) > 31 * DAY
    found = list(stream.read())
    assert found[0] == Truncated(0, 1)
    assert isinstance(found[1], RecordedEvent)
    assert not any(isinstance(item, Erased) for item in found)
    month_later = found[1].timestamp - int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    assert 29 * DAY <= timedelta(microseconds=month_later / 1_000) < 30 * DAY
    stream.truncate(2)
    assert stream.info().floor == 2


def test_regions_are_apart() -> None:
    with Cluster(replicas=1, regions=("au-syd", "eu-fra")) as db:
        made = [
            db.create_stream("n", tenant=1, data_class=DataClass.PHI, placement=Region(name))
            for name in ("au-syd", "eu-fra")
        ]
        assert made[0].group != made[1].group
        with pytest.raises(errors.AmbiguousStream):
            db.stream("n", tenant=1)
        assert db.stream("n", tenant=1, placement=Region("eu-fra")).id == made[1].id


def test_two_runs_are_the_same() -> None:
    def run() -> list[object]:
        with Cluster() as db:
            stream = notes(db)
            for _ in range(5):
                stream.append(testing.EventFactory("a").events(2))
            db.crash(db.primary())
            stream.append(testing.events(1))
            return list(stream.read())

    assert run() == run()


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda: Cluster(replicas=2), "1, 3 or 5"),
        (lambda: Cluster(replicas=1, regions=("Not a region",)), "region"),
        (lambda: Cluster(replicas=1, start=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
        (lambda: Cluster(replicas=1).advance(timedelta(days=-1)), "0 to 100 years"),
        (lambda: Cluster(replicas=1).run(-1), "0 to 3600"),
        (lambda: Cluster(replicas=1).crash(1), "from 0 to 0"),
    ],
)
def test_what_no_cluster_can_do_is_refused(wrong: Callable[[], object], what: str) -> None:
    with pytest.raises(errors.InvalidInput, match=what):
        wrong()


def test_a_closed_cluster_says_so(verity_db: Cluster) -> None:
    stream = notes(verity_db)
    verity_db.close()
    with pytest.raises(errors.Closed):
        stream.append(testing.events(1))
