"""Runs without faults are held to what they have to cost."""

import pytest

from simulation.checkers.base import Checker, SentFact
from simulation.checkers.steady import Steady
from simulation.plan import make
from simulation.run import simulate
from simulation.world import MS, Failure
from veritydb.types.durable import ViewState
from veritydb.types.ids import Op, View

QUIET = next(
    seed for seed in range(1, 100) if not make(seed).faults and make(seed).shape == "three"
)


VIEW = ViewState(view=View(1), log_view=View(1), commit=Op(0), epoch=0, members=(0,), headers=())


def message(kind: str, view: int = 1) -> SentFact:
    """A message of replica 0."""
    return SentFact((1, 0), 1, 0, kind, view, view, 0, b"", b"")


def fails(checker: Checker, *facts: SentFact) -> bool:
    """Whether it complains of these, or in the end."""
    try:
        for fact in facts:
            checker.sent(fact)
        checker.ended()
    except Failure as failure:
        return failure.checker == "steady"
    return False


def test_a_run_without_faults_is_steady() -> None:
    assert simulate(QUIET).failure is None


@pytest.mark.parametrize("fact", [message("StartViewChange"), message("Prepare", view=2)])
def test_what_is_out_of_the_ordinary_fails(fact: SentFact) -> None:
    assert fails(Steady(MS, 3, lambda: 0), fact)


@pytest.mark.parametrize(
    "kind", ["Ping", "Heartbeat", "PrepareOk", "RequestFrames", "DoViewChange", "RequestStartView"]
)
def test_too_many_of_a_kind_fail(kind: str) -> None:
    assert not fails(Steady(MS, 3, lambda: 0), *[message(kind)] * 5)
    assert fails(Steady(MS, 3, lambda: 0), *[message(kind)] * 400)


def test_writing_a_view_down_again_and_again_fails() -> None:
    checker = Steady(MS, 3, lambda: 0)
    for number in range(6):
        checker.asked((1, 0), number, VIEW, None)
    with pytest.raises(Failure, match="writes down"):
        checker.asked((1, 0), 6, VIEW, None)
