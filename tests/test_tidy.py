"""Numbers and habits that keep the code readable, held by tests instead of by reviewers.

Each check is a function over text, so that it can be shown a planted violation.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

FILE_LINES = 500
FUNCTION_LINES = 70
LINE_LENGTH = 100
# Where a mistake loses data, functions state what they rely on: one assertion each on average.
ASSERTING = ("vsr", "storage", "kernel", "node")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function, methods and inner ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def long_files(source: str) -> list[str]:
    """A file that has grown past what one sitting reads."""
    count = len(source.splitlines())
    return [f"{count} lines, the limit is {FILE_LINES}"] if count > FILE_LINES else []


def long_functions(source: str) -> list[str]:
    """Functions that do not fit on a screen, signature and docstring included."""
    found = []
    for node in functions(ast.parse(source)):
        count = (node.end_lineno or node.lineno) - node.lineno + 1
        if count > FUNCTION_LINES:
            found.append(f"{node.lineno}: {node.name} has {count} lines")
    return found


def long_lines(source: str) -> list[str]:
    """Lines that the formatter could not break, such as comments and texts."""
    return [
        f"{number}: {len(line)} characters"
        for number, line in enumerate(source.splitlines(), start=1)
        if len(line) > LINE_LENGTH
    ]


def bare_ignores(source: str) -> list[str]:
    """Type errors that are silenced without saying which."""
    return [
        f"{token.start[0]}: {token.string}"
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and re.search(r"#\s*type:\s*ignore(?!\[)", token.string)
    ]


def undocumented(source: str) -> list[str]:
    """The module and its public names, as far as they say nothing about themselves."""
    tree = ast.parse(source)
    # A file without any code has nothing to explain.
    found = ["1: the module"] if tree.body and not ast.get_docstring(tree) else []
    for node in public_definitions(tree):
        if not ast.get_docstring(node):
            found.append(f"{node.lineno}: {node.name}")
    return found


def public_definitions(scope: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    """Classes and functions of a module, and the methods of its classes, without underscore."""
    for node in scope.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if not any(speaks_elsewhere(decorator) for decorator in node.decorator_list):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node)


def speaks_elsewhere(decorator: ast.expr) -> bool:
    """Whether the docstring belongs to another definition: the getter, or the implementation."""
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name in {"setter", "deleter", "overload"}


def assertions_and_functions(source: str) -> tuple[int, int]:
    """How many assertions a file makes, and how many functions it has that do something."""
    tree = ast.parse(source)
    asserted = sum(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "assert_never")
        for node in ast.walk(tree)
    )
    return asserted, sum(not is_declaration(node) for node in functions(tree))


def is_declaration(node: Function) -> bool:
    """Whether a function is only declared, as in a Protocol."""
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in node.body
    )


def too_few_assertions(sources: list[str]) -> list[str]:
    """A package whose functions state less than one assumption each, on average."""
    counts = [assertions_and_functions(source) for source in sources]
    asserted, defined = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return [f"{asserted} assertions in {defined} functions"] if asserted < defined else []


def import_cycle(sources: dict[str, str]) -> list[str]:
    """The modules of one cycle, by name, if there is any. Imports inside functions count too."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        reached: set[str] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                reached |= {alias.name for alias in node.names} & set(sources)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    reached |= {full if full in sources else node.module} & set(sources)
        # A package that imports its own modules is a cycle only if they import it back.
        graph[module] = reached - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


# Written in pieces, so that this file does not contain what it looks for.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:work|root|home/[a-z]\w*|opt)" + r"/"
    r"|file:" + r"///"
    r"|index[-_]" + r"url|find[-_]" + r"links|pythonhosted\." + r"org"
    r"|https?://[^\s\"']+/simp" + r"le\b"
    r"|PIP_(?:INDEX|EXTRA|FIND|TRUSTED)|UV_(?:INDEX|DEFAULT_INDEX|FIND)",
    re.IGNORECASE,
)


def foreign_places(text: str) -> list[str]:
    """Paths of somebody's machine and addresses of package indexes."""
    return [
        f"{number}: {match.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := FOREIGN.search(line))
    ]


def python_files(*tops: str) -> list[Path]:
    """The files of some top-level folders."""
    return sorted(path for top in tops for path in (PROJECT / top).glob("**/*.py"))


def module_name(path: Path) -> str:
    """How a file of ours is imported."""
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def violations(check: Callable[[str], list[str]], paths: list[Path]) -> str:
    """What a check finds in some files, one finding a line."""
    return "\n".join(
        f"{path.relative_to(PROJECT)}:{found}"
        for path in paths
        for found in check(path.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize(
    "check",
    [long_files, long_functions, long_lines, bare_ignores],
    ids=lambda check: check.__name__,
)
def test_all_code_is_tidy(check: Callable[[str], list[str]]) -> None:
    folders = ("veritydb", "simulation", "shell_simulation", "nemesis")
    paths = python_files(*folders, "tests", "benchmarks", "examples")
    assert paths
    assert violations(check, paths) == ""


def test_public_names_are_documented() -> None:
    paths = python_files("veritydb", "simulation", "shell_simulation")
    assert violations(undocumented, paths) == ""


@pytest.mark.parametrize("package", ASSERTING)
def test_functions_assert_what_they_rely_on(package: str) -> None:
    sources = [path.read_text() for path in python_files(f"veritydb/{package}")]
    assert too_few_assertions(sources) == []


def test_no_import_cycle() -> None:
    paths = python_files("veritydb", "simulation", "shell_simulation")
    sources = {module_name(path): path.read_text() for path in paths}
    # The face loads its names when they are asked for; the test of the architecture holds it.
    del sources["veritydb"]
    assert import_cycle(sources) == []


def test_no_file_names_a_machine_or_an_index() -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout, so there is no telling which files are ours")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True)
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = PROJECT / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        # Only text can be read for its meaning.
        if b"\0" not in content:
            text = content.decode("utf-8", errors="replace")
            found += [f"{name}:{place}" for place in foreign_places(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("check", "limit"),
    [
        (long_files, "x = 1\n" * FILE_LINES),
        (long_functions, "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)),
        (long_lines, "#" * LINE_LENGTH),
    ],
)
def test_limits_are_exact(check: Callable[[str], list[str]], limit: str) -> None:
    assert check(limit) == []
    last = limit.splitlines(keepends=True)[-1]
    longer = limit + (last if limit.endswith("\n") else "#")
    assert len(check(longer)) == 1


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (bare_ignores, "x = f()  # type: ignore", "x = f()  # type: ignore[no-any-return]"),
        (bare_ignores, "x = f()  # noqa #type:ignore", "x = '# type: ignore'"),
        (undocumented, "x = 1", '"""Words."""\nx = 1'),
        (undocumented, '"""M."""\ndef f(): pass', '"""M."""\ndef f():\n    """Does."""'),
        (undocumented, '"""M."""\nclass C: pass', '"""M."""\nclass _C: pass'),
        (
            undocumented,
            '"""M."""\nclass C:\n    """Is."""\n    def f(self): pass',
            '"""M."""\nclass C:\n    """Is."""\n    def _f(self): pass\n    def __eq__(self): pass',
        ),
        (
            undocumented,
            '"""M."""\nclass C:\n    """Is."""\n    @property\n    def f(self): pass',
            '"""M."""\nclass C:\n    """Is."""\n    @f.setter\n    def f(self, x): pass',
        ),
        (foreign_places, "cd /wor" + "k/main", "cd framework/main and ./work/main"),
        (foreign_places, "'/roo" + "t/key'", "'merkle/root/key'"),
        (foreign_places, "pip install --index" + "-url x", "pip install --no-index x"),
        (foreign_places, "https://pypi.example/simp" + "le", "https://example.org/simpler"),
        (foreign_places, "file:" + "///srv/wheels", "a file: /srv"),
    ],
)
def test_a_planted_violation_is_found(
    check: Callable[[str], list[str]], bad: str, good: str
) -> None:
    assert len(check(bad)) == 1
    assert check(good) == []


def test_a_planted_lack_of_assertions_is_found() -> None:
    asserting = "def f(x):\n    assert x\n    assert x > 1\n    return x\n"
    trusting = "def g(x):\n    return x\n"
    declared = 'class Disk(Protocol):\n    def read(self):\n        """Reads."""\n        ...\n'
    assert too_few_assertions([asserting, trusting, declared]) == []
    assert too_few_assertions([trusting, declared]) == ["0 assertions in 1 functions"]
    assert len(too_few_assertions([asserting, trusting, trusting])) == 1
    assert too_few_assertions([]) == []


@pytest.mark.parametrize(
    "last",
    ["import p.a", "from p import a", "from p.a import f", "def f():\n    import p.a"],
)
def test_a_planted_cycle_is_found(last: str) -> None:
    sources = {"p": "", "p.a": "import p.b", "p.b": "from p.c import f", "p.c": "import os"}
    assert import_cycle(sources) == []
    assert set(import_cycle(sources | {"p.c": last})) == {"p.a", "p.b", "p.c"}
