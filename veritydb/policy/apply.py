"""Deciding by the rules, and changing them."""

from collections.abc import Sequence
from typing import TypeVar

from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import Directory
from veritydb.policy.state import PolicyState, Rules, in_force
from veritydb.types.ids import U64_MAX
from veritydb.types.labels import DataClass, Global, Placement
from veritydb.types.limits import POLICY_REGIONS_MAX, POLICY_TENANTS_MAX
from veritydb.types.outcome import Code
from veritydb.types.retention import Retention

VERSION_MAX = (1 << 32) - 1
Word = TypeVar("Word", int, str)


def check(policy: PolicyState, tenant: int, data_class: DataClass, placement: Placement) -> Code:
    """Return OK if the rules let this tenant put such data there.

    Asked when a stream is made and again for every append, so that a narrower rule holds at once.
    """
    rules = policy.rules
    if isinstance(placement, Global):
        if data_class is DataClass.NON_PHI:
            permitted = rules.non_phi_global
        elif data_class is DataClass.DEIDENTIFIED:
            permitted = rules.deidentified_global
        else:
            permitted = False
    else:
        permitted = not rules.regions or placement.name in rules.regions
    if not permitted:
        return Code.PLACEMENT_REFUSED
    if policy.tenants and tenant not in policy.tenants:
        return Code.FORBIDDEN
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
    """Return OK for rules in canonical form that name known regions."""
    if len(rules.tenants) > POLICY_TENANTS_MAX or len(rules.regions) > POLICY_REGIONS_MAX:
        return Code.BAD_COMMAND
    classes = [int(row.data_class) for row in rules.retention]
    if not (_ascending(rules.tenants) and _ascending(rules.regions) and _ascending(classes)):
        return Code.BAD_COMMAND
    if not all(row.retention.valid for row in rules.retention):
        return Code.BAD_COMMAND
    if not all(0 <= tenant <= U64_MAX for tenant in rules.tenants):
        return Code.BAD_COMMAND
    known = {region for _, region in directory.groups if region}
    return Code.OK if known.issuperset(rules.regions) else Code.NO_SUCH_REGION


def _ascending(column: Sequence[Word]) -> bool:
    return list(column) == sorted(set(column))
