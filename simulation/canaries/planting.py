"""What a planted bug is, and how code that runs is changed."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

ASSERTED = "raised-AssertionError"
"""The code itself noticed."""


@dataclass(frozen=True)
class Canary:
    """A planted bug. `finders` are the checkers that may notice it first; `plant` puts it in place.

    `pitfalls` are the numbers of the list in docs/canaries.md of bugs that real systems had.
    """

    name: str
    what: str
    finders: tuple[str, ...]
    plant: Callable[[], None]
    pitfalls: tuple[int, ...] = ()


def replace(old: object, new: object) -> None:
    """Let every module of ours, and every table in one, use `new` instead of `old`."""
    found = 0
    for name, module in list(sys.modules.items()):
        if not name.startswith("veritydb.") or not isinstance(module, ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            if value is old:
                setattr(module, attribute, new)
                found += 1
            elif isinstance(value, dict):
                for key in [key for key, entry in value.items() if entry is old]:
                    value[key] = new
                    found += 1
    assert found, f"nobody uses {old}"


def replace_in(table: dict[type, Any], old: object, new: object) -> None:
    """Let one table have `new` instead of `old`."""
    keys = [key for key, value in table.items() if value is old]
    assert keys, f"the table does not have {old}"
    for key in keys:
        table[key] = new


def put(owner: object, name: str, new: object) -> None:
    """Let a class or a module have something else under a name it has."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, new)
