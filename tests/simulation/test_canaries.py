"""Planted bugs: every checker has one, and every pitfall has one or a reason why not."""

import sys
from pathlib import Path

import pytest

from simulation import canaries
from simulation.canaries import hunt
from simulation.canaries.hunt import Found
from simulation.canaries.pitfalls import ELSEWHERE, PITFALLS, page
from simulation.canaries.planting import put, replace, replace_in
from simulation.plan import make
from simulation.run import Simulation
from veritydb.vsr import quorum

DOCS = Path(__file__).parents[2] / "docs"
RUNS = ("state", "liveness", "halted", "refused-to-start", "foreign-files")
"""Judged by the run itself, not by a checker."""


def checkers() -> list[str]:
    simulation = Simulation(make(1))
    return [checker.name for checker in simulation.checkers.all]


def test_every_checker_has_a_planted_bug_that_it_may_find() -> None:
    finders = {finder for canary in canaries.CANARIES for finder in canary.finders}
    assert {*checkers(), *RUNS} - finders == set()
    assert {finder for finder in finders if not finder.startswith("raised-")} <= {
        *checkers(),
        *RUNS,
        "steady",
    }


def test_every_checker_is_in_the_documentation() -> None:
    text = (DOCS / "simulation.md").read_text()
    assert [name for name in (*checkers(), *RUNS) if f"`{name}`" not in text] == []


def test_every_pitfall_has_a_planted_bug_or_a_reason() -> None:
    planted = {number for canary in canaries.CANARIES for number in canary.pitfalls}
    assert planted.isdisjoint(ELSEWHERE)
    assert planted | set(ELSEWHERE) == set(PITFALLS) == set(range(1, 48))


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(set(canaries.NAMES)) == len(canaries.NAMES) >= 55
    assert all(canary.finders for canary in canaries.CANARIES)
    assert canaries.find("tail left out").name == "tail left out"


@pytest.mark.parametrize(
    ("tripped", "trouble", "says"),
    [
        ((("same-story", 3), ("same-story", 9)), "", ""),
        ((("same-story", 3), ("agreement", 1)), "", "found by another"),
        ((("", 500),), "", "SURVIVED"),
        ((), "", "SURVIVED"),
        ((), "Traceback\nAssertionError: no such name", "could not be hunted"),
    ],
)
def test_a_hunt_is_judged(tripped: tuple[tuple[str, int], ...], trouble: str, says: str) -> None:
    found = Found("DoViewChange changes", tripped, trouble)
    problem = hunt.problem(found)
    assert says in problem if says else problem == ""
    assert hunt.row(found).startswith("DoViewChange changes")


def test_a_hunt_whose_process_dies_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hunt, "hunt", die)
    (found,) = hunt.hunts(["tail left out"], processes=1, starts=1)
    assert hunt.problem(found) == "could not be hunted: its process ended with status 7"


def die(name: str, starts: int) -> Found:
    sys.exit(7)


def test_the_page_has_all_of_them() -> None:
    results = [Found(name, ((canaries.find(name).finders[0], 3),)) for name in canaries.NAMES]
    text = page(results)
    assert all(f"| {name} |" in text for name in canaries.NAMES)
    assert f"{len(canaries.NAMES)} of {len(canaries.NAMES)} found as they must be" in text
    assert all(bug in text for bug in PITFALLS.values())


def test_what_is_planted_must_have_been_there() -> None:
    with pytest.raises(AssertionError, match="nobody uses"):
        replace(object(), None)
    with pytest.raises(AssertionError, match="has no"):
        put(quorum, "no_such_function", None)
    with pytest.raises(AssertionError, match="does not have"):
        replace_in({int: 1}, 2, 3)
