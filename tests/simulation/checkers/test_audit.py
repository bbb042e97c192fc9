"""Records: whose they are, of what, and by which rules."""

import msgspec
import pytest

from simulation.checkers.audit import CREATE, SET_POLICY, Audit, Tenants
from simulation.checkers.base import Watch
from simulation.world import Failure
from tests.simulation.checkers.story import STREAM, Story, append, outcome
from veritydb.types import entry as entries
from veritydb.types.entry import Entry, EntryHeader, Kind
from veritydb.types.outcome import Code, Outcome, kind_of


def command(tenant: int, number: int) -> tuple[Entry, int]:
    header = EntryHeader(kind=Kind.COMMAND, tenant=tenant)
    return entries.with_body(header, b"c"), kind_of(Kind.COMMAND, number)


def result(op: int, **changed: object) -> Outcome:
    return msgspec.structs.replace(outcome(op), **{"policy": 1, **changed})


def of(tenant: int, number: int) -> Entry:
    made = append(number)
    header = msgspec.structs.replace(made.header, tenant=tenant)
    return entries.make(header, made.data[entries.HEADER_BYTES :])


def rules(op: int, base: int, policy: int) -> tuple[Entry, Outcome]:
    entry, kind = command(0, SET_POLICY)
    return entry, result(op, kind=kind, base=base, stream=0, policy=policy)


def test_records_name_the_rules_of_their_moment() -> None:
    story = Story()
    story.add(append(1), result(1))
    story.add(*rules(2, base=2, policy=1))
    story.add(append(2), result(3, policy=2))
    story.tell(Watch({}, [Audit()]))


@pytest.mark.parametrize(
    "record",
    [
        result(2, policy=2),
        result(2, policy=0),
        result(3),
        result(2, entry=1),
        result(2, tenant=9),
        result(2, kind=3),
    ],
)
def test_a_record_that_is_not_its_entrys_is_seen(record: Outcome) -> None:
    story = Story()
    story.add(append(1), result(1))
    story.add(append(2), record)
    with pytest.raises(Failure):
        story.tell(Watch({}, [Audit()]))


def test_rules_that_skip_a_version_are_seen() -> None:
    story = Story()
    story.add(*rules(1, base=3, policy=1))
    with pytest.raises(Failure, match="brings rules 3 after 1"):
        story.tell(Watch({}, [Audit()]))


def created() -> Story:
    story = Story()
    entry, kind = command(1, CREATE)
    story.add(entry, result(1, kind=kind, tenant=1, stream=STREAM))
    return story


def test_a_tenant_uses_its_own_streams() -> None:
    story = created()
    story.add(of(1, 1), result(2, tenant=1))
    story.add(of(2, 2), result(3, tenant=2, code=Code.WRONG_TENANT))
    story.tell(Watch({}, [Tenants()]))


@pytest.mark.parametrize(("tenant", "code"), [(2, Code.OK), (1, Code.WRONG_TENANT)])
def test_a_tenant_in_anothers_stream_is_seen(tenant: int, code: Code) -> None:
    story = created()
    story.add(of(tenant, 1), result(2, tenant=tenant, code=code))
    with pytest.raises(Failure, match="op 2"):
        story.tell(Watch({}, [Tenants()]))
