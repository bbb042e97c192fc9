"""The policy of a group: rules with a version, which every outcome names."""

import msgspec

from veritydb.types.labels import DataClass
from veritydb.types.retention import Retention

FIRST_VERSION = 1
"""The version of the built-in rules."""


class ClassRetention(msgspec.Struct, frozen=True, gc=False):
    """How long a new stream of this class keeps events, unless it is made with its own bounds."""

    data_class: DataClass
    retention: Retention


class Rules(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What narrows the built-in table of placement.py. There is no way to say anything wider.

    No `regions`: every region the cluster serves. No `tenants`: every tenant. All three lists are
    ascending and name nothing twice.
    """

    deidentified_global: bool = True
    non_phi_global: bool = True
    regions: tuple[str, ...] = ()
    tenants: tuple[int, ...] = ()
    retention: tuple[ClassRetention, ...] = ()


class PolicyState(msgspec.Struct, frozen=True, gc=False):
    """The rules in force. `tenants` are theirs, for looking one up."""

    version: int = FIRST_VERSION
    rules: Rules = Rules()
    tenants: frozenset[int] = frozenset()


def in_force(version: int, rules: Rules) -> PolicyState:
    """Return the state in which `rules` are version `version`."""
    return PolicyState(version, rules, frozenset(rules.tenants))
