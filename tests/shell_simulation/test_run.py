"""Whole runs of the shell's simulation: they pass, they repeat, and they find what is planted."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shell_simulation.plan import KINDS, Plan, make
from shell_simulation.run import Result, simulate
from veritydb.server.group import Group
from veritydb.server.writer import Writer

PROJECT = Path(__file__).parents[2]


def short(seed: int, *faults: str, requests: int = 40) -> Plan:
    """A run that does not take long."""
    return msgspec.structs.replace(
        make(seed), requests=requests, faults=faults, bursts=False, strikes=6, every=150_000_000
    )


def run(plan: Plan) -> Result:
    return simulate(plan.seed, plan)


@pytest.mark.parametrize(
    "faults",
    [(), ("kill", "stop", "moment"), ("cut", "reset", "flip", "stall"), ("eio", "full", "power")],
    ids=lambda faults: "-".join(faults) or "calm",
)
def test_a_run_passes(faults: tuple[str, ...]) -> None:
    result = run(short(5, *faults))
    assert result.failure is None, result.failure
    assert not result.empty
    assert result.counts["ops"] > 10


def test_a_seed_takes_the_same_course_in_another_process() -> None:
    code = (
        "from tests.shell_simulation.test_run import run, short\n"
        "print(run(short(3, 'kill', 'cut', 'slow-disk')).trace)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(PROJECT)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == run(short(3, "kill", "cut", "slow-disk")).trace


def test_plans_have_every_kind_of_fault() -> None:
    plans = [make(seed) for seed in range(100)]
    assert {kind for plan in plans for kind in plan.faults} == set(KINDS)
    assert any(not plan.faults for plan in plans) and any(plan.bursts for plan in plans)


def test_a_writer_that_is_not_waited_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(self: Writer) -> None:
        self._closed = True

    monkeypatch.setattr(Writer, "close", close)
    result = run(short(1, requests=10))
    assert result.failure is not None and result.failure[0] == "thread-leak"


def test_an_answer_that_never_comes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "_reply", lambda self, effect: None)
    monkeypatch.setattr(Group, "_expire", lambda self, token: None)
    result = run(short(1, requests=10))
    assert result.failure is not None and result.failure[0] == "unanswered"
