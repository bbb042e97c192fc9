"""Which rare branches the runs have reached, of all that report themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

from veritydb.types import marks

CALL = "mark"

EXEMPT: dict[str, str] = {}
"""Marks that no simulated run can reach, and why. Tests of their own reach them."""


def known() -> set[str]:
    """The names of all marks in the product's sources, those made at run time left out."""
    root = Path(marks.__file__).parents[1]
    return {name for path in sorted(root.glob("**/*.py")) for name in marks_in(path.read_text())}


def required() -> set[str]:
    """The marks that a long search has to reach."""
    return known() - set(EXEMPT)


def marks_in(source: str) -> Iterator[str]:
    """The marks of one file."""
    if CALL not in source:
        return
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="mark"), args=[ast.Constant(value=str(name))]):
                yield name
