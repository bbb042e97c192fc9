"""The policy of a group: rules with a version, which every outcome names."""

import immutables
import msgspec

from veritydb.policy.placement import GLOBAL_CLASSES
from veritydb.types.labels import DataClass
from veritydb.types.retention import Retention

FIRST_VERSION = 1
"""The version of the built-in rules."""


class TenantRule(msgspec.Struct, frozen=True, gc=False):
    """The only places for a tenant's data: regions by name, "" for global. None at all is a ban."""

    tenant: int
    regions: tuple[str, ...]


class ClassRetention(msgspec.Struct, frozen=True, gc=False):
    """How long a new stream of this class keeps events, unless it is made with its own bounds."""

    data_class: DataClass
    retention: Retention


class Rules(msgspec.Struct, frozen=True, gc=False):
    """What narrows the built-in table. Tenants without a rule may use every place.

    Tenants, regions and classes are listed in ascending order, once each.
    """

    global_classes: tuple[DataClass, ...] = GLOBAL_CLASSES
    tenants: tuple[TenantRule, ...] = ()
    retention: tuple[ClassRetention, ...] = ()


class PolicyState(msgspec.Struct, frozen=True, gc=False):
    """The rules in force. `places` is their tenants' part, for looking one up."""

    version: int = FIRST_VERSION
    rules: Rules = Rules()
    places: immutables.Map[int, tuple[str, ...]] = immutables.Map()


def in_force(version: int, rules: Rules) -> PolicyState:
    """Return the state in which `rules` are version `version`."""
    places = immutables.Map({rule.tenant: rule.regions for rule in rules.tenants})
    return PolicyState(version, rules, places)
