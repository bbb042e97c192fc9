"""Marks: which there are, which a search has to reach, and who reaches the others."""

from pathlib import Path

import pytest

from simulation import coverage
from veritydb.types import marks

TESTS = Path(__file__).parents[1]


def test_the_marks_of_a_file_are_read_from_its_source() -> None:
    source = "mark('a.b')\nif x:\n    mark('c')\nmark(name)\nremark('d')"
    assert list(coverage.marks_in(source)) == ["a.b", "c"]
    assert list(coverage.marks_in("x = 1")) == []


def test_each_part_of_a_replica_has_marks() -> None:
    assert {name.split(".")[0] for name in coverage.known()} == {
        "node",
        "sessions",
        "storage",
        "vsr",
    }


def test_no_mark_is_made_at_run_time() -> None:
    """Nobody would require it of a search."""
    product = Path(marks.__file__).parents[1]
    sources = {path: path.read_text() for path in product.glob("**/*.py")}
    calls = {path: source.count(" mark(") for path, source in sources.items()}
    named = {path: len([*coverage.marks_in(source)]) for path, source in sources.items()}
    calls[Path(marks.__file__)] -= 1  # Its definition.
    assert calls == named


@pytest.mark.parametrize("mark", sorted(coverage.EXEMPT))
def test_what_no_run_can_reach_exists_and_is_reached_by_a_test(mark: str) -> None:
    assert mark in coverage.known()
    assert mark not in coverage.required()
    expected = f'reaches("{mark}")'
    assert any(expected in path.read_text() for path in TESTS.glob("**/test_*.py"))
