"""Functions compiled from changed source, in place of the running ones, for a while."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import veritydb.vsr

PACKAGE = veritydb.vsr.__name__
FOLDER = Path(veritydb.vsr.__file__).parent
Where = tuple[str, int]
"""A function's full name within its module, and its first line."""


def sources() -> dict[str, str]:
    """The protocol's files by name."""
    paths = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
    return {path.name: path.read_text() for path in paths}


def module_of(file: str) -> ModuleType:
    """The running module of a file."""
    return import_module(f"{PACKAGE}.{Path(file).stem}")


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """Every function and method that a module defines."""
    found: list[object] = []
    for value in vars(module).values():
        if getattr(value, "__module__", "") == module.__name__:
            found += vars(value).values() if isinstance(value, type) else [value]
    for each in found:
        if isinstance(each, property):
            each = each.fget
        elif isinstance(each, staticmethod | classmethod):
            each = each.__func__
        each = getattr(each, "__wrapped__", each)
        if isinstance(each, FunctionType):
            yield each


def codes(code: CodeType) -> Iterator[tuple[Where, CodeType]]:
    """Every function's code in a module's."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield (each.co_qualname, each.co_firstlineno), each
            yield from codes(each)


@contextmanager
def planted(trees: Mapping[str, ast.Module], names: Mapping[str, object]) -> Iterator[int]:
    """Run with the changed files, which may use these names; yields how many functions changed."""
    before: list[tuple[FunctionType, CodeType]] = []
    try:
        for file, tree in trees.items():
            module = module_of(file)
            vars(module).update(names)
            new = dict(codes(compile(tree, str(FOLDER / file), "exec")))
            for function in functions(module):
                code = new.get((function.__qualname__, function.__code__.co_firstlineno))
                if code is not None and code != function.__code__:
                    before.append((function, function.__code__))
                    function.__code__ = code
        yield len(before)
    finally:
        for function, code in before:
            function.__code__ = code
