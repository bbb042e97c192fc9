"""The tool that takes gates away: on a function small enough to see through, on the protocol."""

import ast
from typing import Any

from simulation.mutants import hunt, sites
from simulation.mutants.harmless import HARMLESS
from simulation.mutants.planting import functions, module_of, sources
from simulation.mutants.probes import probes
from simulation.run import simulate

SOURCE = '''
def ready(log, durable):
    """Whether it may be acknowledged."""
    assert log >= 0 and durable >= 0
    if log < 1 or durable < 1:
        return 0
    return min(log, durable)
'''


def run(tree: ast.Module, **names: Any) -> Any:
    """The function that a tree defines."""
    space: dict[str, Any] = dict(names)
    exec(compile(tree, "small", "exec"), space)
    return space["ready"]


def test_every_gate_is_found_and_each_can_be_taken_away() -> None:
    found = list(sites.sites("small", SOURCE))
    outcomes = {}
    for site in found:
        ready = run(sites.planted(SOURCE, site))
        outcomes[site.kind, site.text] = (ready(0, 3), ready(2, 0), ready(1, 3), ready(5, 3))
    assert run(ast.parse(SOURCE))(0, 3) == 0
    assert outcomes == {
        ("never", "log < 1 or durable < 1"): (0, 0, 1, 3),
        ("always", "log < 1 or durable < 1"): (0, 0, 0, 0),
        ("never", "log < 1"): (0, 0, 1, 3),
        ("never", "durable < 1"): (0, 0, 1, 3),
        ("edge", "log < 1"): (0, 0, 0, 3),
        ("edge", "durable < 1"): (0, 0, 1, 3),
        ("without", "log"): (0, 0, 3, 3),
        ("without", "durable"): (0, 0, 1, 5),
    }


def test_a_run_notes_which_gates_make_a_difference() -> None:
    reached: set[str] = set()
    nodes = {site.node for site in sites.sites("small", SOURCE)}
    ready = run(sites.probed("small", SOURCE, nodes), **probes(reached))
    assert ready(5, 3) == 3
    kinds = {site.reach: (site.kind, site.text) for site in sites.sites("small", SOURCE)}
    found = {kinds[each] for each in reached if each in kinds}
    assert found == {("always", "log < 1 or durable < 1"), ("without", "durable")}
    assert ready(0, 3) == 0
    assert ("never", "log < 1") in {kinds[each] for each in reached if each in kinds}


def test_a_quorum_that_is_not_waited_for_is_caught() -> None:
    # Of `min(known, s.log.durable)` only what is durable here is left.
    site = next(
        each
        for each in hunt.everything()
        if (each.file, each.function, each.kind) == ("commit.py", "advance", "without")
        and each.text == "known"
    )
    (verdict,) = hunt.hunt([site], seeds=3, processes=1)
    assert verdict.caught


def test_with_every_gate_in_place_a_seed_takes_the_course_that_it_always_takes() -> None:
    every = hunt.everything()
    (found,) = hunt.baseline(range(3, 4), tuple(every), 1)
    assert found.verdict == ""
    assert len(found.reached & {each.reach for each in every}) > 200
    # It is watched, and runs as it does when nobody looks.
    (alone,) = hunt.baseline(range(3, 4), tuple(every[:1]), 1)
    assert alone.trace == found.trace == simulate(3).trace


def test_every_gate_is_in_a_function_that_can_be_replaced() -> None:
    known = {(file, each.__qualname__) for file in sources() for each in functions(module_of(file))}
    for site in hunt.everything():
        outer = site.function.split(".")
        names = {".".join(outer[: at + 1]) for at in range(len(outer))}
        assert any((site.file, name) in known for name in names), site


def test_what_is_called_harmless_is_there() -> None:
    names = {each.name for file, source in sources().items() for each in sites.sites(file, source)}
    assert set(HARMLESS) <= names
    assert all(len(reason) > 20 for reason in HARMLESS.values())
