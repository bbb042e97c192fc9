"""The nemesis's command line, and one short run of it on real nodes."""

from pathlib import Path

import pytest

from nemesis.__main__ import parse
from nemesis.run import Plan, run


def test_what_was_asked_for_is_read() -> None:
    plan = parse(["--minutes", "2", "--every", "3", "--faults", "kill,wipe", "--seed", "7"])
    assert plan == Plan(2.0, 3.0, ["kill", "wipe"], 7)
    assert parse([]).faults == ["kill"]


@pytest.mark.parametrize(
    "wrong",
    [["--minutes", "0"], ["--every", "-1"], ["--every", "x"], ["--faults", "kill,flood"]],
)
def test_what_cannot_be_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.cluster
def test_a_few_seconds_of_it_hold(tmp_path: Path) -> None:
    said: list[str] = []
    result = run(tmp_path, Plan(0.1, 2.0, ["kill"], 1), said.append)
    assert [problem for problem in result.problems if "grew" not in problem] == []
    assert result.faults["kill"] >= 1
    assert all(verdict.acknowledged > 0 for verdict in result.verdicts.values())
