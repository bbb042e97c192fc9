"""Deciding by the rules, and changing them."""

from collections.abc import Sequence
from itertools import pairwise

from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import GLOBAL_CLASSES, Directory, region_name
from veritydb.policy.state import PolicyState, Rules, in_force
from veritydb.types.ids import U64_MAX
from veritydb.types.labels import DataClass, Global, Placement
from veritydb.types.limits import POLICY_TENANT_REGIONS_MAX, POLICY_TENANTS_MAX
from veritydb.types.outcome import Code
from veritydb.types.retention import Retention

VERSION_MAX = (1 << 32) - 1


def check(policy: PolicyState, tenant: int, data_class: DataClass, placement: Placement) -> Code:
    """Return OK if the rules let this tenant put such data there.

    Asked when a stream is made and again for every append, so that a narrower rule holds at once.
    """
    if isinstance(placement, Global) and data_class not in policy.rules.global_classes:
        return Code.PLACEMENT_REFUSED
    if policy.places:
        allowed = policy.places.get(tenant)
        if allowed is not None and region_name(placement) not in allowed:
            return Code.PLACEMENT_REFUSED
    return Code.OK


def default_retention(policy: PolicyState, data_class: DataClass) -> Retention | None:
    """Return the bounds of a new stream that names none."""
    for row in policy.rules.retention:
        if row.data_class is data_class:
            return row.retention
    return None


def set_policy(
    policy: PolicyState, command: SetPolicy, directory: Directory
) -> tuple[PolicyState, Code]:
    """Replace the rules, or say why not."""
    if command.expected != policy.version:
        return policy, Code.POLICY_VERSION_CONFLICT
    code = _judge(command.rules, directory)
    if code is not Code.OK:
        return policy, code
    if policy.version >= VERSION_MAX:
        return policy, Code.NOT_SUPPORTED
    return in_force(policy.version + 1, command.rules), Code.OK


def _judge(rules: Rules, directory: Directory) -> Code:
    """Return OK for rules in canonical form that narrow the table and name known regions."""
    if len(rules.tenants) > POLICY_TENANTS_MAX:
        return Code.BAD_COMMAND
    columns: list[Sequence[int | str]] = [
        rules.global_classes,
        [rule.tenant for rule in rules.tenants],
        [row.data_class for row in rules.retention],
        *(rule.regions for rule in rules.tenants),
    ]
    if not all(_ascending(column) for column in columns):
        return Code.BAD_COMMAND
    if not all(row.retention.valid for row in rules.retention):
        return Code.BAD_COMMAND
    if any(data_class not in GLOBAL_CLASSES for data_class in rules.global_classes):
        return Code.POLICY_WIDENS
    known = {region for _, region in directory.groups}
    for rule in rules.tenants:
        if not 0 <= rule.tenant <= U64_MAX or len(rule.regions) > POLICY_TENANT_REGIONS_MAX:
            return Code.BAD_COMMAND
        if not known.issuperset(rule.regions):
            return Code.NO_SUCH_REGION
    return Code.OK


def _ascending(column: Sequence[int | str]) -> bool:
    return all(a < b for a, b in pairwise(column))  # type: ignore[operator]
