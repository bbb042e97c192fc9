"""Where the gates are in a module's source, and the source without one of them.

A gate is a condition (of an `if`, a conditional expression, a comprehension), one of the operands
of an `and` or `or`, one of the arguments of a `min` or `max`, or the edge between < and <=. Taking
it away means that it is held open or shut for good, or that the argument is left out. Assertions
are left alone: they notice, and decide nothing.
"""

import ast
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import NamedTuple

NEVER, ALWAYS, WITHOUT, EDGE = "never", "always", "without", "edge"
EDGES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
NOTED = "__noted__"
LEAST = "__least__"
MEETS = "__meets__"
DURABLE = ("durable", "certain", "written", "frozen", "faulty", "missing", "recovering", "nack")
Change = Callable[[ast.AST], ast.expr]


class Site(NamedTuple):
    """One gate and one way to take it away."""

    file: str
    node: int
    """Which one it is of all nodes of the file's tree."""
    kind: str
    argument: int
    """Which of a call's arguments is left out, else 0."""
    function: str
    line: int
    text: str
    """The condition, or the argument."""
    part: bool
    """Whether it is an operand or an argument, and not a condition by itself."""
    whole: str
    """The first source line of the statement that it is part of."""

    @property
    def reach(self) -> str:
        """Under what name a run notes that it makes a difference to evaluate it."""
        return f"{self.file}:{self.node}:{self.kind}:{self.argument}"

    @property
    def main(self) -> bool:
        """Whether it is a condition, or a part of one that is about what is durable or decided."""
        return not self.part or any(word in self.text for word in DURABLE)

    @property
    def name(self) -> str:
        """What it is called whatever line it stands in."""
        return f"{self.file} {self.function} | {self.kind} | {self.text}"


def sites(file: str, source: str) -> Iterator[Site]:
    """Every gate of a file and every way to take it away."""
    tree = ast.parse(source)
    numbers = {node: number for number, node in enumerate(ast.walk(tree))}
    lines = source.splitlines()
    wholes = {one for node in ast.walk(tree) for one in conditions(node)}
    for function, node, kind, argument in _gates(tree):
        shown = node.args[argument] if kind == WITHOUT and isinstance(node, ast.Call) else node
        whole = lines[node.lineno - 1].strip()
        text = ast.unparse(shown)
        part = node not in wholes or kind in (WITHOUT, EDGE)
        number = numbers[node]
        yield Site(file, number, kind, argument, function, node.lineno, text, part, whole)


Gate = tuple[str, ast.expr, str, int]


def _gates(tree: ast.Module) -> Iterator[Gate]:
    """Function, node, kind and argument, in the order of the source."""

    def walk(node: ast.AST, function: str) -> Iterator[Gate]:
        if isinstance(node, ast.Assert):
            return
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}" if function else node.name
        for condition in conditions(node):
            yield function, condition, NEVER, 0
            yield function, condition, ALWAYS, 0
        if isinstance(node, ast.BoolOp):
            kind = ALWAYS if isinstance(node.op, ast.And) else NEVER
            for operand in node.values:
                if not isinstance(operand, ast.Constant):
                    yield function, operand, kind, 0
        if is_least(node):
            assert isinstance(node, ast.Call)
            for argument in range(len(node.args)):
                yield function, node, WITHOUT, argument
        if isinstance(node, ast.Compare) and has_edge(node):
            yield function, node, EDGE, 0
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    yield from walk(tree, "")


def conditions(node: ast.AST) -> list[ast.expr]:
    """The conditions by which a node decides."""
    if isinstance(node, ast.If | ast.IfExp):
        return [node.test]
    return node.ifs if isinstance(node, ast.comprehension) else []


def is_least(node: ast.AST) -> bool:
    """Whether it is a `min` or `max` over arguments."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("min", "max")
        and len(node.args) > 1
        and not node.keywords
        and not any(isinstance(each, ast.Starred) for each in node.args)
    )


def has_edge(node: ast.Compare) -> bool:
    """Whether it compares two things by their order."""
    return len(node.ops) == 1 and type(node.ops[0]) in EDGES


def planted(source: str, site: Site) -> ast.Module:
    """The module without one of its gates."""
    tree = ast.parse(source)
    target = list(ast.walk(tree))[site.node]
    return _Replace({target: partial(_without, site)}).done(tree)


def _without(site: Site, node: ast.AST) -> ast.expr:
    """What stands there afterwards. What a condition does on the way is still done."""
    assert isinstance(node, ast.expr)
    if site.kind == NEVER:
        return ast.BoolOp(ast.And(), [node, ast.Constant(False)])
    if site.kind == ALWAYS:
        return ast.BoolOp(ast.Or(), [node, ast.Constant(True)])
    if site.kind == EDGE:
        assert isinstance(node, ast.Compare)
        return ast.Compare(node.left, [EDGES[type(node.ops[0])]()], node.comparators)
    assert site.kind == WITHOUT and isinstance(node, ast.Call)
    left = [each for at, each in enumerate(node.args) if at != site.argument]
    return left[0] if len(left) == 1 else ast.Call(node.func, left, node.keywords)


def probed(file: str, source: str, watched: Collection[int]) -> ast.Module:
    """The module as it is, noting which of some nodes make a difference."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    changes: dict[ast.AST, Change] = {}
    for site in sites(file, source):
        node = nodes[site.node]
        if node not in changes and site.node in watched:
            changes[node] = partial(_noting, f"{file}:{site.node}")
    return _Replace(changes).done(tree)


def _noting(name: str, node: ast.AST) -> ast.expr:
    """The same, reported by name to the functions that `worker` provides."""
    assert isinstance(node, ast.expr)
    if isinstance(node, ast.Compare) and has_edge(node):
        operator = ast.Constant(type(node.ops[0]).__name__)
        return _call(MEETS, ast.Constant(name), operator, node.left, *node.comparators)
    if is_least(node):
        assert isinstance(node, ast.Call)
        return _call(LEAST, ast.Constant(name), node.func, *node.args)
    return _call(NOTED, ast.Constant(name), node)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


class _Replace(ast.NodeTransformer):
    def __init__(self, changes: Mapping[ast.AST, Change]) -> None:
        self._changes = changes

    def visit(self, node: ast.AST) -> ast.AST:
        """Children first: what replaces a node holds the changed ones."""
        self.generic_visit(node)
        change = self._changes.get(node)
        return node if change is None else change(node)

    def done(self, tree: ast.Module) -> ast.Module:
        """The whole module, ready to be compiled."""
        self.visit(tree)
        return ast.fix_missing_locations(tree)
