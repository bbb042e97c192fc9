"""Whatever a program hands over by mistake is an InvalidInput, and quotes nothing of it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.client.live import REGION, LiveNode
from veritydb.client.given import check_number, events_of
from veritydb.client.sync import Client, Stream, connect
from veritydb.client.values import PublishOptions, Token, Write
from veritydb.policy.state import ClassRetention, Rules
from veritydb.types.errors import InvalidInput
from veritydb.types.event import Event
from veritydb.types.labels import DataClass, Region
from veritydb.types.retention import Retention

HERE = Region(REGION)
PHI = DataClass.PHI
ONE = [Event("T", b"")]
SECRET = "Jane Doe"
NONSENSE: list[Any] = [SECRET, SECRET.encode(), -1, 1.5, 1 << 70, [SECRET], object()]
NONSENSE += [float("nan"), datetime(2020, 1, 1)]  # noqa: DTZ001


@pytest.mark.parametrize("value", [None, True, 1.0, "1", -1, 8])
def test_numbers(value: Any) -> None:
    check_number(0, "it", high=7)
    with pytest.raises(InvalidInput, match="it is a whole number from 0 to 7"):
        check_number(value, "it", high=7)


def test_events_are_copied() -> None:
    events = [*ONE]
    taken = events_of(events)
    events.clear()
    assert taken == tuple(ONE)
    for wrong in (iter(ONE), "T", b"T", None, ["T"], [b"T"]):
        with pytest.raises(InvalidInput):
            events_of(wrong)  # type: ignore[arg-type]


@pytest.fixture
def db(node: LiveNode) -> Iterator[Client]:
    with connect(node.url) as client:
        yield client


Call = Callable[[Client, Stream, Any], object]
CALLS: dict[str, Call] = {
    "url": lambda db, s, x: connect(x),
    "name": lambda db, s, x: db.stream("" if isinstance(x, str) else x, tenant=77),
    "tenant": lambda db, s, x: db.stream("s", tenant=x),
    "placement": lambda db, s, x: db.stream("s", tenant=77, placement=x),
    "list": lambda db, s, x: db.list_streams(tenant=x),
    "class": lambda db, s, x: db.create_stream("s", tenant=77, data_class=x, placement=HERE),
    "create at": lambda db, s, x: db.create_stream("s", tenant=77, data_class=PHI, placement=x),
    "bounds": lambda db, s, x: s.set_retention(x),
    "bound": lambda db, s, x: s.set_retention(Retention(max_events=x)),
    "timeout": lambda db, s, x: s.info(timeout=x),
    "status": lambda db, s, x: db.status(timeout=x),
    "events": lambda db, s, x: s.append(x),
    "event": lambda db, s, x: s.append([x]),
    "payload": lambda db, s, x: s.append([Event("T", str(x))]),  # type: ignore[arg-type]
    "expected": lambda db, s, x: s.append(ONE, expected=x),
    "origin": lambda db, s, x: s.append(ONE, origin=x, origin_seq=0),
    "sequence": lambda db, s, x: s.append(ONE, origin=b"o" * 16, origin_seq=x),
    "durability": lambda db, s, x: s.append(ONE, durability=x),
    "payloads": lambda db, s, x: db.publish(tenant=77, stream="s", payloads=x),
    "opts": lambda db, s, x: db.publish(tenant=77, stream="s", payloads=[b""], opts=x),
    "opts.expected": lambda db, s, x: db.publish(
        tenant=77, stream="s", payloads=[b""], opts=PublishOptions(expected=x)
    ),
    "from_offset": lambda db, s, x: list(s.read(x)),
    "from_time": lambda db, s, x: list(s.read(from_time=x)),
    "backwards": lambda db, s, x: list(s.read(backwards=x)),
    "limit": lambda db, s, x: list(s.read(limit=x)),
    "max_bytes": lambda db, s, x: list(s.read(max_bytes=x)),
    "consistency": lambda db, s, x: list(s.read(consistency=x)),
    "at_least": lambda db, s, x: list(s.read(at_least=x)),
    "token": lambda db, s, x: Token.parse(x),
    "truncate": lambda db, s, x: s.truncate(x),
    "writes": lambda db, s, x: db.append_many(x),
    "write": lambda db, s, x: db.append_many({s: x}),
    "write.expected": lambda db, s, x: db.append_many({s: Write(ONE, x)}),
    "handle": lambda db, s, x: db.append_many({None: ONE}),  # type: ignore[dict-item]
    "group": lambda db, s, x: db.policy(group=x),
    "rules": lambda db, s, x: db.set_policy(x, expected_version=1),
    "version": lambda db, s, x: db.set_policy(Rules(), expected_version=x),
    "rules.tenants": lambda db, s, x: db.set_policy(Rules(tenants=(x,)), expected_version=1),
    "rules.regions": lambda db, s, x: db.set_policy(Rules(regions=x), expected_version=1),
    "rules.retention": lambda db, s, x: db.set_policy(
        Rules(retention=(ClassRetention(PHI, Retention(max_bytes=x)),)), expected_version=1
    ),
    "audit": lambda db, s, x: list(db.audit(x)),
    "from_op": lambda db, s, x: list(db.audit(77, from_op=x)),
    "audit_verify": lambda db, s, x: db.audit_verify(x),
    "step_down": lambda db, s, x: db.step_down(x),
    "index": lambda db, s, x: db.replace(0, x),
}


@pytest.mark.cluster
@pytest.mark.parametrize("name", CALLS)
def test_nonsense_is_invalid_input(db: Client, name: str) -> None:
    stream = db.create_stream("s", tenant=77, data_class=PHI, placement=HERE)
    for value in NONSENSE:
        if (name, value) == ("timeout", 1.5) or (name, value) == ("status", 1.5):
            continue
        if name in ("rules.regions", "payloads", "events") and isinstance(value, list):
            value = [*value, None]
        with pytest.raises(InvalidInput) as found:
            CALLS[name](db, stream, value)
        assert SECRET not in str(found.value)
    assert stream.append(ONE).count == 1
