"""Searches: what they count, what they keep, how they end."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from simulation import coverage, floors, kept, search
from simulation.__main__ import first_seed, main
from simulation.plan import make
from simulation.report import EMPTY, FAILED, PASSED, UNREACHED
from simulation.run import Result
from simulation.search import Limits, Summary, Tried

BUG = "acknowledged before sync"


def result(seed: int, **changes: object) -> Result:
    plain = Result(
        seed=seed,
        failure=None,
        empty="",
        trace="",
        events=9_000,
        time=0,
        counts={"code.OK": 180} | {f"fault.{fault}": 1 for fault in make(seed).faults},
        timeline=[],
    )
    return plain._replace(**changes)


def three(seed: int) -> int:
    """The first seed from here on whose run has three replicas."""
    return next(each for each in range(seed, seed + 100) if make(each).shape == "three")


def tried(**changes: object) -> Tried:
    seed = three(1)
    return Tried(make(seed), result(seed, **changes), None, 0.5)


def summary(*runs: Tried) -> Summary:
    made = Summary()
    for run in runs:
        made.add(run)
    return made


def test_only_runs_that_did_enough_are_counted() -> None:
    seed = next(each for each in range(1, 200) if make(each).shape == "one")
    alone = Tried(make(seed), result(seed), None, 0.5)
    few = tried().result.counts | {"code.OK": 149}
    idle = tried(counts={"code.OK": 180})
    found = summary(tried(), tried(counts=few), tried(empty="idle"), idle, alone)
    assert (found.seeds, len(found.events), found.idle) == (5, 1, 1)
    assert "5 seeds, 0 failed, 1 empty, 1 counted; 2.5 CPU seconds, 1,440 counted" in found.text()


def test_each_way_to_end_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = tried(failure=("agreement", "two"))
    assert summary(tried(empty="idle"), failed).status() == FAILED
    assert summary(tried(empty="idle")).status() == EMPTY
    assert summary(tried()).status() == PASSED
    monkeypatch.setattr(search, "COVERING", 1)
    assert summary(tried()).status() == UNREACHED
    assert summary(tried(marks=frozenset(coverage.required()))).status() == PASSED


def test_a_class_that_seldom_strikes_makes_a_search_empty() -> None:
    fault = tried().plan.faults[0]
    least = floors.STRIKES_DRAWN * floors.STRIKES_OF_TEN // 10
    assert floors.tame({fault: floors.STRIKES_DRAWN}, {fault: least}) == []
    assert floors.tame({fault: floors.STRIKES_DRAWN}, {fault: least - 1}) == [fault]
    assert floors.tame({fault: floors.STRIKES_DRAWN - 1}, {}) == []


def test_failures_are_told_apart_by_where_they_were_raised() -> None:
    here, there = (
        tried(failure=("raised-AssertionError", ""), where=where) for where in ("a.py:f", "b.py:g")
    )
    assert set(summary(here, there).failures) == {
        "raised-AssertionError a.py:f",
        "raised-AssertionError b.py:g",
    }


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_fails_is_kept_and_comes_first_ever_after(tmp_path: Path) -> None:
    file = str(tmp_path / "seeds.txt")
    found = command("--count", "3", "--plant", BUG, "--seeds-file", file)
    assert found.returncode == FAILED, found.stdout
    assert "FAILED" in found.stdout
    lines = kept.read(tmp_path / "seeds.txt")
    assert 1 <= len(lines) <= 3
    assert all(line.plan == kept.digest(make(line.seed)) for line in lines)
    case = lines[0].case
    assert case is not None
    again = command("--replay", str(case), "--plant", BUG)
    assert again.returncode == FAILED
    assert "Not the run that was recorded" not in again.stdout
    # Without the bug all is well, and what was kept ran although no new seed was asked for.
    healthy = command("--count", "0", "--seeds-file", file)
    assert healthy.returncode == PASSED, healthy.stdout
    assert f"{len(lines)} seeds, 0 failed" in healthy.stdout


def test_seeds_without_a_file_are_run_from_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "seeds.txt"
    plan = make(7)
    kept.add(file, plan, result(7, failure=("agreement", "two hashes")), None)
    assert file.read_text() == f"7 {kept.digest(plan)} - agreement\n"
    assert main(["--count", "0", "--seeds-file", str(file)]) == PASSED
    assert "1 seeds, 0 failed, 0 empty" in capsys.readouterr().out


def test_a_process_that_dies_is_told_of_with_its_seed() -> None:
    dead = search.lost(7, -9)
    assert dead.result.seed == 7
    assert dead.result.key == "process-died"
    assert summary(dead).status() == FAILED


def test_a_search_by_time_ends() -> None:
    assert list(search.jobs([], 5, Limits(None, 0.0, 1))) == []
    assert list(search.jobs([], 5, Limits(2, None, 1))) == [5, 6]


def test_an_interrupt_ends_a_search_with_its_summary(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "simulation", "--minutes", "9", "--processes", "1"),
            *("--seeds-file", str(tmp_path / "seeds.txt")),
        ],
        stdout=subprocess.PIPE,
        text=True,
        # Where this test is run in the background, an interrupt would be ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stdout is not None
    assert "from seed" in running.stdout.readline()
    running.send_signal(signal.SIGINT)
    told = running.stdout.read()
    assert running.wait() in (PASSED, FAILED, EMPTY), told
    assert "interrupted" in told
    assert "CPU seconds" in told
    running.stdout.close()


def test_the_first_seed_is_chosen_only_by_those_who_have_time() -> None:
    assert first_seed(None, None) == 1
    assert first_seed(9, 10.0) == 9
    assert first_seed(None, 10.0) > 1


def test_the_kept_seeds_can_be_read_and_run() -> None:
    for line in kept.read(kept.FILE):
        if line.case is not None:
            assert line.read().plan.seed == line.seed


def test_floors_name_what_is_missing() -> None:
    plan = next(made for made in map(make, range(1, 100)) if made.shape == "three" and made.nemeses)
    enough = {"client.answers": 240, "code.OK": 240, "messages": 9_000, "role-changes": 5}
    enough |= {f"fault.{fault}": 1 for fault in plan.faults}
    assert floors.missing(plan, enough) == ""
    assert "answers" in floors.missing(plan, {**enough, "client.answers": 3})
    assert "accepted" in floors.missing(plan, {**enough, "code.OK": 3})
    assert "messages" in floors.missing(plan, {**enough, "messages": 3})
    fault = plan.faults[0]
    assert floors.idle(plan, enough) == []
    assert floors.idle(plan, {**enough, f"fault.{fault}": 0}) == [fault]
    excused = {**enough, "client.answers": 60, "code.OK": 20, "core.excused": 1}
    assert floors.missing(plan, excused) == ""
    assert "answers" in floors.missing(plan, {**excused, "client.answers": 10})
    calm = next(made for made in map(make, range(1, 100)) if not made.faults)
    assert "given up" in floors.missing(calm, {**enough, "client.gave-up": 1})
