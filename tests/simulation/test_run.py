"""Whole runs: they pass, they are the same again, they notice planted bugs and idleness."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from simulation.__main__ import main
from simulation.plan import make
from simulation.report import EMPTY, FAILED, SURVIVED, by_file, by_seed, report, status
from simulation.run import Result, simulate
from simulation.world import Line


def command(
    *arguments: str, seed: str = "0", module: str = "simulation"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_seed_finds_nothing(seed: int) -> None:
    result = simulate(seed)
    assert result.failure is None, report(result, make(seed), "")
    assert result.empty == ""


@pytest.mark.parametrize("seed", [3, 14])
def test_a_seed_takes_the_same_course_whatever_python_hashes_to(seed: int) -> None:
    runs = [command("--seed", str(seed), seed=hashes) for hashes in ("1", "2")]
    assert runs[0].returncode == 0, runs[0].stdout
    assert "trace" in runs[0].stdout
    assert runs[0].stdout == runs[1].stdout


@pytest.mark.parametrize("canary", ["view not durable", "quorum too small", "expectations ignored"])
def test_a_planted_bug_is_found_by_a_checker_that_it_names(canary: str) -> None:
    wanted = ("--only", canary, "--processes", "1", "--starts", "1")
    done = command(*wanted, module="simulation.canaries")
    assert done.returncode == 0, done.stdout
    assert "1 of 1 found as they must be" in done.stdout


def test_a_run_with_too_little_to_do_counts_as_empty() -> None:
    idle = msgspec.structs.replace(make(2), requests=0, events=0, faults=(), nemeses={})
    result = simulate(2, idle)
    assert result.failure is None
    assert result.empty
    assert status([result]) == EMPTY


def result_with(failure: tuple[str, str] | None, empty: str) -> Result:
    return Result(
        seed=1,
        failure=failure,
        empty=empty,
        trace="",
        events=0,
        time=0,
        counts={},
        timeline=[Line(1, "world", (), "what happened", ())],
    )


def test_a_failure_is_reported_with_all_that_is_needed_to_repeat_it() -> None:
    failed = result_with(("agreement", "two hashes"), "")
    assert "--seed 1 --plant 'one bug' " in by_seed(1, "one bug")
    assert by_file("a.json", "bug").endswith("--trace --replay a.json --plant bug")
    text = report(failed, make(1), by_seed(1))
    assert '"seed": 1' in text
    assert "what happened" in text
    assert "FAILED agreement: two hashes" in text
    assert "make sim SEED=1" in text
    assert status([result_with(None, "nothing done"), failed]) == FAILED


def test_exit_statuses_differ() -> None:
    assert len({0, 2, FAILED, EMPTY, SURVIVED}) == 5
    assert status([result_with(None, "")]) == 0


def test_a_range_of_seeds_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--count",
        "2",
        "--start",
        "1",
        "--processes",
        "1",
        "--seeds-file",
        str(tmp_path / "seeds.txt"),
    ]
    assert main(arguments) == 0
    assert "2 seeds, 0 failed, 0 empty" in capsys.readouterr().out


TRIPWIRE = """
import sys
from simulation.run import simulate
assert simulate(3).failure is None
reached = set()
outside = ("open", "os", "socket", "subprocess", "tempfile", "shutil", "ctypes", "mmap")
sys.addaudithook(lambda name, _: reached.add(name) if name.split(".")[0] in outside else None)
assert simulate(3).failure is None
print(sorted(reached))
"""


def test_a_run_reaches_nothing_outside_of_its_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIPWIRE], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
