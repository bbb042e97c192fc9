"""Runs on file: written, read back, run again to the same end."""

from pathlib import Path

import msgspec
import pytest

from simulation import case
from simulation.__main__ import main
from simulation.case import Case
from simulation.plan import make
from simulation.run import simulate

SEED = 3


def test_a_recorded_run_is_the_run(tmp_path: Path) -> None:
    plain = simulate(SEED)
    recorded, drawn = case.run(Case(plan=make(SEED)))
    assert recorded.trace == plain.trace == drawn.trace
    path = tmp_path / "case.json"
    path.write_text(drawn.text())
    assert case.read(path) == drawn
    again, same = case.run(case.read(path))
    assert again.trace == plain.trace
    assert same == drawn


def test_a_tape_does_not_need_the_streams_of_its_seed() -> None:
    _, drawn = case.run(Case(plan=make(SEED)))
    # Another seed in the plan changes only what code draws that has a generator of its own.
    choices = case.Taped(SEED + 1, drawn.tape)
    for piece, labels in drawn.tape.items():
        for label, values in labels.items():
            if piece == "":
                assert [choices.choose(label, 1 << 62) for _ in values] == values


def test_what_is_left_out_does_not_happen() -> None:
    made = msgspec.structs.replace(make(SEED), events=0)
    gone = tuple(f"client{index}" for index in range(1, made.clients))
    result, drawn = case.run(Case(plan=made, left_out=gone), lines=None)
    assert result.failure is None
    spoke = {line.who for line in result.timeline if line.who.startswith("client")}
    assert spoke == {"client0"}
    turns = [piece for piece in drawn.tape if piece.startswith("client0#")]
    assert len(turns) >= made.requests
    fewer = msgspec.structs.replace(drawn, left_out=(*gone, *turns[20:]))
    less, _ = case.run(fewer)
    assert less.events < result.events


def test_the_command_line_records_and_replays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.json"
    assert main(["--seed", str(SEED), "--record", str(path), "--trace", "g1r0,op15"]) == 0
    told = capsys.readouterr().out
    assert "p < Prepare v1 from 1" in told and "g1r1" not in told
    trace = case.read(path).trace
    assert trace in told
    assert main(["--replay", str(path)]) == 0
    told = capsys.readouterr().out
    assert f"trace {trace}" in told
    assert "Not the run" not in told
    path.write_text(path.read_text().replace(trace, "f" * 32))
    assert main(["--replay", str(path)]) == 0
    assert "Not the run that was recorded" in capsys.readouterr().out


def test_a_printed_plan_can_be_run_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(make(SEED).text())
    assert main(["--plan", str(path)]) == 0
    assert f"trace {simulate(SEED).trace}" in capsys.readouterr().out
