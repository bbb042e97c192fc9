"""A failing run is made small, and still fails the same way."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from simulation import case, shrink
from simulation.__main__ import main
from simulation.case import Case
from simulation.plan import FAULTS, make

BUG = "acknowledged before sync"
"""Found in nearly every run."""


def command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "simulation", "--plant", BUG, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_a_planted_bug_shrinks_to_little_that_fails_the_same_way_each_time(tmp_path: Path) -> None:
    command("--count", "4", "--processes", "1", "--seeds-file", str(tmp_path / "seeds.txt"))
    found = sorted((tmp_path / "regressions").iterdir(), key=lambda path: path.stat().st_size)[-1]
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    told = [
        command("--shrink", str(found), "--runs", "60", "--record", str(file)) for file in files
    ]
    assert files[0].read_text() == files[1].read_text()
    large, small = case.read(found), case.read(files[0])
    assert small.failure == large.failure
    pieces = [piece for piece in small.tape if piece]
    assert len(pieces) <= 10 < len(large.tape)
    assert len(small.plan.faults) <= 1
    assert small.plan.requests < large.plan.requests // 2
    assert len(files[0].read_text()) < len(found.read_text()) // 4
    assert "lines," in told[0] and "faults left" in told[0]
    again = command("--replay", str(files[0]), "--trace")
    assert f"trace {small.trace}" in again
    assert f"FAILED {small.failure}" in again


def test_what_does_not_fail_is_not_shrunk(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shrink-seed", "3"]) == 0
    assert capsys.readouterr().out == "passed\n"


def test_a_plan_can_do_without_each_class_of_faults() -> None:
    plans = [make(seed) for seed in range(300)]
    for fault in FAULTS:
        plan = next(each for each in plans if each.has(fault))
        less = shrink.without(plan, [fault])
        assert not less.has(fault)
        assert fault not in less.nemeses
        assert less != plan
        bare = shrink.without(plan, plan.faults)
        assert bare.faults == () and bare.nemeses == {}
        rates = msgspec.structs.asdict(bare.network)
        assert not any(value for name, value in rates.items() if name.endswith("_ppm"))
        assert bare.clock_rate_ppm == bare.clock_offset == bare.clock_drift_ppm == 0


def test_single_draws_are_made_smaller() -> None:
    whole = Case(plan=make(1), tape={"": {"a": [8]}, "crash#1": {"who": [2, 5]}})
    assert shrink.redrawn(whole, "crash#1", "who", 1, 0).tape["crash#1"] == {"who": [2, 0]}
    assert shrink.redrawn(whole, "crash#1", "who", 1, 2).tape["crash#1"] == {"who": [2, 2]}
    assert shrink.redrawn(whole, "crash#1", "who", 9, 2).tape == whole.tape
    assert whole.tape["crash#1"] == {"who": [2, 5]}
