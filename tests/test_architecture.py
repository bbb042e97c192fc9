"""Who may import whom, and what code below the waterline may touch.

The tables are the law; docs/ARCHITECTURE.md explains it. Each rule is a function from one file's
path and text to its violations, so that it can be shown a planted one.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pytest

PROJECT = Path(__file__).parents[1]

CAPABILITIES = {"streams", "consumers", "projections", "policy", "audit"}
BELOW_THE_WATERLINE = {"types", "kernel", "vsr", "storage", "node", *CAPABILITIES}
# What stands directly in `veritydb/`: the face that users import.
FACE = "(face)"

# Each package and the packages it may import. A package that is not here may not exist.
MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    **{capability: {"types"} for capability in CAPABILITIES},
    "kernel": {"types", *CAPABILITIES},
    # Replication must not know what its bytes mean, nor how a disk keeps them.
    "vsr": {"types"},
    "storage": {"types"},
    "node": {"types", "kernel", "vsr"},
    "wire": BELOW_THE_WATERLINE,
    # The client asks the same function as the node whether data may lie where it is told to.
    "client": {"types", "policy", "wire"},
    # SQL reaches a cluster as a client does. The server drives projections, never the reverse.
    "sql": {"types", "projections", "wire", "client"},
    "server": BELOW_THE_WATERLINE | {"wire", "sql"},
    FACE: {"types", "policy", "client", "server", "sql"},
    "cli": BELOW_THE_WATERLINE | {"wire", "client", "sql", "server", FACE},
    "testing": BELOW_THE_WATERLINE | {"wire", "client", "sql", "server", "cli", FACE},
    "simulation": BELOW_THE_WATERLINE | {"wire"},
    # The server as it is, on a machine that is not. It shares disks, workload and checkers.
    "shell_simulation": BELOW_THE_WATERLINE | {"wire", "server", "simulation"},
    # Real processes, judged by the simulator's checkers.
    "nemesis": BELOW_THE_WATERLINE | {"wire", "client", "server", "cli", FACE, "simulation"},
}
# Of a package that is allowed, all that is: the rest of the simulator is of no use outside of it.
ONLY = {
    ("nemesis", "simulation"): (
        *("simulation.checkers.", "simulation.canaries."),
        "simulation.arguments.",
    )
}

# All that pure code may use. Nothing here waits, reads a clock, rolls dice or reaches the outside.
# `unicodedata` is missing on purpose: its tables change with the Python version, so two replicas
# could disagree. Names are normalised at the edge.
PURE_MODULES = {
    *{"__future__", "abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "enum"},
    *{"functools", "hashlib", "heapq", "itertools", "math", "operator", "re", "string", "struct"},
    *{"types", "typing"},
    *{"crc32c", "immutables", "msgspec"},
}
# Builtins that reach outside, or whose answer differs from one process to the next.
IMPURE_BUILTINS = {
    *{"__import__", "breakpoint", "eval", "exec", "hash", "id", "input", "open", "print"},
}

SHELL_THAT_WAITS = {"server", "client", "cli", "testing", "nemesis"}
# Runs the server under Trio, with threads and an asyncio loop of its own making.
TURNS_THE_SHELL = {"shell_simulation"}
SIMULATIONS = {"simulation", "shell_simulation"}
# Modules that only some may know. Every dependency has to be here or be pure.
OWNERS: dict[str, set[str]] = {
    "capnp": {"wire", "server", "client"} | TURNS_THE_SHELL,
    "trio": SHELL_THAT_WAITS | TURNS_THE_SHELL | {"veritydb/trio.py"},
    "outcome": {"server"},
    # Client and server join their writes alike; neither may know the other.
    "asyncio": SHELL_THAT_WAITS | TURNS_THE_SHELL | {"veritydb/wire/joining.py"},
    "socket": SHELL_THAT_WAITS,
    "ssl": SHELL_THAT_WAITS,
    "threading": SHELL_THAT_WAITS | TURNS_THE_SHELL | {"sql"},
    # The simulator keeps its own time. Only its command line may ask how long a run took.
    "time": SHELL_THAT_WAITS
    | {"sql", "simulation/__main__.py", "simulation/search.py", "shell_simulation/__main__.py"}
    | {"simulation/model/runs.py", "simulation/mutants/__main__.py"},
    "datetime": SHELL_THAT_WAITS | {"sql"},
    "random": SHELL_THAT_WAITS | SIMULATIONS,
    "secrets": SHELL_THAT_WAITS,
    "uuid": SHELL_THAT_WAITS | {"sql"},
    "sqlcipher3": {"sql"},
    "sqlalchemy": {"sql"},
    "sqlglot": {"sql"},
    "cryptography": {"server", "client", "cli"},
    "click": {"cli"},
    "rich": {"cli", "nemesis"},
    "pytest": {"testing"},
    "hypothesis": {"testing"},
    # pycapnp's RPC crashes with it.
    "uvloop": set(),
}


class Import(NamedTuple):
    """One imported name, in full, and where it stands."""

    name: str
    line: int


def imports(source: str) -> Iterator[Import]:
    """Every import of a file, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import keeps its dots and so belongs to nobody: it is always a violation.
            module = "." * node.level + (node.module or "")
            yield from (Import(f"{module}.{alias.name}", node.lineno) for alias in node.names)


def package_of(path: str) -> str:
    """The row of the table that a file is held to."""
    top, *rest = path.split("/")
    if top in {*SIMULATIONS, "nemesis"}:
        return top
    assert top == "veritydb", path
    return rest[0] if len(rest) > 1 else FACE


def target_of(name: str) -> str | None:
    """The package of ours that an imported name reaches into, or None for other people's."""
    top, *rest = name.split(".")
    if top == "veritydb":
        return rest[0] if rest and rest[0] in MAY_IMPORT else FACE
    ours = {*SIMULATIONS, "nemesis", "tests", "benchmarks", "examples"}
    return top if top in ours else None


def breaks_layers(path: str, source: str) -> list[str]:
    """Imports of a package that the table does not allow."""
    package = package_of(path)
    allowed = MAY_IMPORT[package] | {package}
    return [
        f"{path}:{line} {package} may not import {name}"
        for name, line in imports(source)
        # The version is a word that anyone may know.
        if name != "veritydb.__version__"
        and (target := target_of(name)) is not None
        and (target not in allowed or not name.startswith(ONLY.get((package, target), "")))
    ]


def breaks_ownership(path: str, source: str) -> list[str]:
    """Imports of a module by someone who may not know that it exists."""
    package = package_of(path)
    found = []
    for name, line in imports(source):
        top = name.split(".")[0]
        if top == "":
            found.append(f"{path}:{line} relative import; the absolute name can be searched for")
        elif target_of(name) is not None or top in PURE_MODULES:
            continue
        elif package in BELOW_THE_WATERLINE:
            found.append(f"{path}:{line} below the waterline, and imports {name}")
        elif top in OWNERS:
            if not {package, path} & OWNERS[top]:
                found.append(f"{path}:{line} {name} is for {sorted(OWNERS[top])} only")
        elif top not in sys.stdlib_module_names:
            found.append(f"{path}:{line} {name} is a dependency without owners")
    return found


def breaks_purity(path: str, source: str) -> list[str]:
    """Code below the waterline that waits, or that reaches outside without an import."""
    if package_of(path) not in BELOW_THE_WATERLINE:
        return []
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                found.append(f"{path}:{node.lineno} below the waterline nothing waits")
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
                found.append(f"{path}:{node.lineno} below the waterline, and calls {name}()")
    return found


def breaks_the_seed(path: str, source: str) -> list[str]:
    """Dice in the simulator that do not follow the seed: all but an instance of Random."""
    if package_of(path) not in SIMULATIONS:
        return []
    return [
        f"{path}:{line} {name} does not follow the seed; use an instance of random.Random"
        for name, line in imports(source)
        if name.split(".")[0] == "random" and name != "random.Random"
    ]


def is_for_checkers(node: ast.AST) -> TypeGuard[ast.If]:
    """Whether it is a block that only type checkers look at."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def breaks_lightness(path: str, source: str) -> list[str]:
    """Imports that run whenever anything of ours is imported, however small."""
    if path != "veritydb/__init__.py":
        return []
    lazy = {
        inner
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_checkers(node)
        for inner in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return [
        f"{path}:{line} {name} would be loaded by every import of the package"
        for name, line in imports(source)
        if line not in lazy and target_of(name) is not None
    ]


RULES: list[Callable[[str, str], list[str]]] = [
    breaks_layers,
    breaks_ownership,
    breaks_purity,
    breaks_the_seed,
    breaks_lightness,
]


def unknown_packages(paths: list[str]) -> list[str]:
    """Folders that the table does not know, and folders without an `__init__.py`."""
    folders = {path.rpartition("/")[0] for path in paths}
    return [
        *sorted({package_of(path) for path in paths} - set(MAY_IMPORT)),
        *sorted(folder for folder in folders if f"{folder}/__init__.py" not in paths),
    ]


def our_files() -> list[str]:
    """The product, the simulators, and what torments real processes."""
    folders = ("veritydb", *sorted(SIMULATIONS), "nemesis")
    found = [path for folder in folders for path in PROJECT.glob(f"{folder}/**/*.py")]
    return sorted(path.relative_to(PROJECT).as_posix() for path in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_law_holds(rule: Callable[[str, str], list[str]]) -> None:
    assert our_files()
    broken = [
        violation
        for path in our_files()
        if package_of(path) in MAY_IMPORT
        for violation in rule(path, (PROJECT / path).read_text())
    ]
    assert not broken, "\n".join(broken)


def test_every_folder_is_in_the_table() -> None:
    assert unknown_packages(our_files()) == []


def test_the_table_has_no_cycle_and_no_unknown_name() -> None:
    # Raises when there is a cycle.
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert set(order) == set(MAY_IMPORT)


def test_no_owner_is_below_the_waterline() -> None:
    for module, owners in OWNERS.items():
        assert not owners & BELOW_THE_WATERLINE, module
        assert module not in PURE_MODULES
        assert {owner for owner in owners if not owner.endswith(".py")} <= set(MAY_IMPORT), module


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (breaks_layers, "veritydb/vsr/normal.py", "import veritydb.kernel.apply"),
        (breaks_layers, "veritydb/vsr/normal.py", "from veritydb import storage"),
        (breaks_layers, "veritydb/vsr/normal.py", "def f():\n    from veritydb import kernel"),
        (breaks_layers, "veritydb/kernel/apply.py", "from veritydb.vsr.quorum import majority"),
        (breaks_layers, "veritydb/streams/apply.py", "from veritydb.audit.chain import link"),
        (breaks_layers, "veritydb/storage/frame.py", "import veritydb.vsr.messages as m"),
        (breaks_layers, "veritydb/node/node.py", "from veritydb.storage.log import Log"),
        (breaks_layers, "veritydb/types/ids.py", "from veritydb.vsr import quorum"),
        (breaks_layers, "veritydb/types/ids.py", "import veritydb"),
        (breaks_layers, "veritydb/client/client.py", "from veritydb.server.loop import Loop"),
        (breaks_layers, "veritydb/sql/engine.py", "from veritydb.server.loop import Loop"),
        (breaks_layers, "veritydb/server/main.py", "from simulation.disk import Disk"),
        (breaks_layers, "simulation/world.py", "from veritydb.server.loop import Loop"),
        (breaks_layers, "simulation/world.py", "from tests.helpers import make"),
        (breaks_layers, "simulation/world.py", "from nemesis.proxy import Network"),
        (breaks_layers, "nemesis/run.py", "from simulation.world import World"),
        (breaks_layers, "nemesis/run.py", "from tests.helpers import make"),
        (breaks_ownership, "veritydb/vsr/normal.py", "import trio"),
        (breaks_ownership, "veritydb/vsr/normal.py", "from time import time"),
        (breaks_ownership, "veritydb/storage/disk.py", "import os.path"),
        (breaks_ownership, "veritydb/kernel/apply.py", "from datetime import datetime"),
        (breaks_ownership, "veritydb/kernel/apply.py", "import random"),
        (breaks_ownership, "veritydb/node/node.py", "import asyncio"),
        (breaks_ownership, "veritydb/node/node.py", "import threading"),
        (breaks_ownership, "veritydb/node/node.py", "import capnp"),
        (breaks_ownership, "veritydb/types/ids.py", "import made_up_dependency"),
        (breaks_ownership, "veritydb/types/ids.py", "from .labels import Region"),
        (breaks_ownership, "veritydb/cli/main.py", "import capnp"),
        (breaks_ownership, "veritydb/wire/streams.py", "import trio"),
        (breaks_ownership, "veritydb/server/main.py", "import uvloop"),
        (breaks_ownership, "veritydb/server/main.py", "import made_up_dependency"),
        (breaks_ownership, "simulation/world.py", "import trio"),
        (breaks_layers, "simulation/world.py", "from shell_simulation.world import World"),
        (breaks_layers, "shell_simulation/run.py", "from veritydb.client.client import Client"),
        (breaks_the_seed, "shell_simulation/run.py", "from random import choice"),
        (breaks_ownership, "simulation/world.py", "import asyncio"),
        (breaks_ownership, "simulation/world.py", "import capnp"),
        (breaks_ownership, "simulation/world.py", "from time import monotonic"),
        (breaks_purity, "veritydb/vsr/normal.py", "async def f():\n    pass"),
        (breaks_purity, "veritydb/storage/log.py", "f = open('log')"),
        (breaks_purity, "veritydb/kernel/state.py", "digest = hash(state)"),
        (breaks_the_seed, "simulation/network.py", "import random"),
        (breaks_the_seed, "simulation/network.py", "from random import choice"),
        (breaks_the_seed, "simulation/network.py", "from random import SystemRandom"),
        (breaks_lightness, "veritydb/__init__.py", "from veritydb.client.sync import Client"),
    ],
)
def test_a_planted_violation_is_found(
    rule: Callable[[str, str], list[str]], path: str, source: str
) -> None:
    found = rule(path, source)
    assert len(found) == 1, found
    assert path in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("veritydb/vsr/normal.py", "from veritydb.types.ids import Op\nimport veritydb.vsr.quorum"),
        ("veritydb/kernel/apply.py", "from collections.abc import Iterable\nimport msgspec.json"),
        ("veritydb/server/main.py", "import os\nimport trio\nfrom veritydb.node.node import Node"),
        ("veritydb/server/disk.py", "f = open('log')\nasync def f():\n    pass"),
        ("veritydb/client/client.py", "from veritydb import __version__"),
        ("veritydb/__init__.py", "def f():\n    from veritydb.client.sync import Client"),
        ("veritydb/trio.py", "import trio"),
        ("simulation/world.py", "from random import Random\nfrom veritydb.wire.log import decode"),
        ("simulation/__main__.py", "import time"),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, source: str) -> None:
    assert [violation for rule in RULES for violation in rule(path, source)] == []


def test_a_planted_folder_is_found() -> None:
    known = ["veritydb/__init__.py", "veritydb/vsr/__init__.py"]
    assert unknown_packages(known) == []
    assert unknown_packages([*known, "veritydb/utils/__init__.py"]) == ["utils"]
    assert unknown_packages([*known, "veritydb/kernel/apply.py"]) == ["veritydb/kernel"]
