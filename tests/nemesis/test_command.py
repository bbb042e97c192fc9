"""The nemesis's command line, and one short run of it on real nodes."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from nemesis.__main__ import parse
from nemesis.report import show
from nemesis.run import Plan, run


def test_what_was_asked_for_is_read() -> None:
    plan = parse(["--minutes", "2", "--every", "3", "--faults", "kill,wipe", "--seed", "7"])
    assert plan == Plan(2.0, 3.0, ("kill", "wipe"), 7)
    assert parse(["--plant", "drop-ack"]).plant == "drop-ack"
    assert parse([]).faults == ()


def test_ten_minutes_are_a_hundred_faults_or_they_are_too_little() -> None:
    plan = parse([])
    assert plan.minutes * 60 / plan.every >= 120
    assert plan.faults_min == 100


@pytest.mark.parametrize(
    "wrong",
    [
        ["--minutes", "0"],
        ["--every", "-1"],
        ["--every", "x"],
        ["--faults", "kill,flood"],
        ["--plant", "x"],
        ["--canary", "x"],
    ],
)
def test_what_cannot_be_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.cluster
def test_a_few_seconds_of_it_hold(tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan(0.15, 2.0, ("kill", "island", "clock", "bent"), 1)
    result = run(tmp_path, plan, said.append)
    assert [problem for problem in result.problems if "grew" not in problem] == []
    assert sum(one.count for one in result.accounts.values()) >= 2
    assert all(verdict.acknowledged > 0 for verdict in result.verdicts.values())
    assert result.judgement.acknowledged > 0
    printed = io.StringIO()
    show(Console(file=printed, width=200), result, plan.seed)
    assert "--seed 1" in printed.getvalue()
