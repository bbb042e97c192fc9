"""Rules narrow, carry a version, and hold at once."""

import pytest

from veritydb.kernel.admission import Command, admit
from veritydb.kernel.apply import Context, apply
from veritydb.kernel.checks import check
from veritydb.kernel.state import KernelState, genesis
from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import Directory
from veritydb.policy.state import ClassRetention, Rules
from veritydb.streams.commands import CreateStream, Seal
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.ids import GLOBAL_GROUP, GroupId, StreamId, TenantId
from veritydb.types.labels import GLOBAL, DataClass, Placement, Region
from veritydb.types.limits import POLICY_TENANTS_MAX
from veritydb.types.outcome import Code, Outcome
from veritydb.types.retention import RETENTION_MAX, Retention

HOME = Region("au-syd")
DIRECTORY = Directory(((0, ""), (1, HOME.name), (2, "eu-west-1")))


class Group:
    def __init__(self, group: GroupId, placement: Placement) -> None:
        self.state: KernelState = genesis(group, placement, DIRECTORY)
        self.op = 0

    def submit(self, header: EntryHeader, command: Command | None = None) -> Outcome:
        self.op += 1
        before = self.state
        self.state, outcome, _ = apply(before, header, command, Context(self.op, 0, self.op))
        check(before, self.state)
        return outcome

    def set(self, rules: Rules, expected: int, tenant: int = 0) -> Outcome:
        header = EntryHeader(kind=Kind.COMMAND, tenant=TenantId(tenant))
        return self.submit(header, SetPolicy(expected, rules))

    def create(self, name: str, data_class: DataClass, tenant: int = 1) -> Outcome:
        header = EntryHeader(kind=Kind.COMMAND, tenant=TenantId(tenant))
        placement = Region(self.state.region) if self.state.region else GLOBAL
        command = CreateStream(name, data_class, placement)
        admitted = admit(self.state, header, command)
        outcome = self.submit(header, command)
        assert admitted in (Code.OK, outcome.code)
        return outcome

    def append(self, stream: int, tenant: int = 1) -> Outcome:
        header = EntryHeader(
            kind=Kind.APPEND,
            parts=1,
            tenant=TenantId(tenant),
            stream=StreamId(stream),
            events=1,
            body_len=10,
        )
        admitted = admit(self.state, header, None)
        outcome = self.submit(header)
        assert admitted in (Code.OK, outcome.code)
        return outcome


def test_versions_count_and_conflicts_are_refused() -> None:
    group = Group(GroupId(1), HOME)
    first = group.set(Rules(regions=(HOME.name,)), 1)
    assert (first.code, first.policy, first.base) == (Code.OK, 1, 2)
    before = group.state
    stale = group.set(Rules(), 1)
    assert group.state is before
    assert (stale.code, stale.policy, stale.base) == (Code.POLICY_VERSION_CONFLICT, 2, 2)
    assert group.set(Rules(), 2).base == 3
    assert group.create("s", DataClass.PHI).policy == 3


def test_only_the_cluster_itself_sets_policy() -> None:
    group = Group(GroupId(1), HOME)
    assert group.set(Rules(), 1, tenant=5).code is Code.FORBIDDEN
    assert group.state.policy.version == 1


def test_a_narrower_rule_holds_at_once_and_can_be_lifted() -> None:
    group = Group(GLOBAL_GROUP, GLOBAL)
    stream = group.create("s", DataClass.DEIDENTIFIED).stream
    other = group.create("t", DataClass.NON_PHI).stream
    assert group.append(stream).code is Code.OK
    group.set(Rules(deidentified_global=False), 1)
    assert group.append(stream).code is Code.PLACEMENT_REFUSED
    assert group.append(other).code is Code.OK
    assert group.create("u", DataClass.DEIDENTIFIED).code is Code.PLACEMENT_REFUSED
    # What is there may still be closed.
    header = EntryHeader(kind=Kind.COMMAND, tenant=TenantId(1), stream=StreamId(stream))
    assert group.submit(header, Seal()).code is Code.OK
    group.set(Rules(non_phi_global=False), 2)
    assert group.append(other).code is Code.PLACEMENT_REFUSED
    assert group.create("u", DataClass.DEIDENTIFIED).code is Code.OK


def test_regions_and_tenants_can_be_limited() -> None:
    group = Group(GroupId(1), HOME)
    stream = group.create("s", DataClass.PHI).stream
    group.set(Rules(regions=("eu-west-1",)), 1)
    assert group.append(stream).code is Code.PLACEMENT_REFUSED
    group.set(Rules(tenants=(2, 3)), 2)
    assert group.append(stream).code is Code.FORBIDDEN
    assert group.create("s", DataClass.PHI, tenant=2).code is Code.OK
    # Somebody else's stream is not found, whatever the rules say of its owner.
    assert group.append(stream, tenant=2).code is Code.WRONG_TENANT


def test_new_streams_take_the_default_of_their_class() -> None:
    group = Group(GroupId(1), HOME)
    bounds = Retention(max_events=9)
    group.set(Rules(retention=(ClassRetention(DataClass.NON_PHI, bounds),)), 1)
    notes = group.create("notes", DataClass.PHI).stream
    logs = group.create("logs", DataClass.NON_PHI).stream
    records = group.state.streams.records
    assert records[notes].info.retention is None
    assert records[logs].info.retention == bounds


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (Rules(regions=("nowhere",)), Code.NO_SUCH_REGION),
        (Rules(regions=("",)), Code.NO_SUCH_REGION),
        (Rules(regions=("eu-west-1", "au-syd")), Code.BAD_COMMAND),
        (Rules(regions=("au-syd", "au-syd")), Code.BAD_COMMAND),
        (Rules(tenants=(2, 1)), Code.BAD_COMMAND),
        (Rules(tenants=tuple(range(POLICY_TENANTS_MAX + 1))), Code.BAD_COMMAND),
        (
            Rules(retention=(ClassRetention(DataClass.PHI, Retention(RETENTION_MAX + 1)),)),
            Code.BAD_COMMAND,
        ),
        (Rules(retention=(ClassRetention(DataClass.PHI, Retention(1)),) * 2), Code.BAD_COMMAND),
        (Rules(tenants=tuple(range(POLICY_TENANTS_MAX))), Code.OK),
    ],
)
def test_rules_that_cannot_be(rules: Rules, code: Code) -> None:
    group = Group(GroupId(1), HOME)
    assert group.set(rules, 1).code is code
    assert group.state.policy.version == (2 if code is Code.OK else 1)
