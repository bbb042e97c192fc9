"""Command lines of the simulators: what cannot be is refused in a line, an interrupt ends them."""

import importlib
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from functools import partial
from pathlib import Path

import msgspec
import pytest

from nemesis.__main__ import main as nemesis
from simulation import arguments, case, kept
from simulation.arguments import BadInput
from simulation.case import Case
from simulation.plan import make
from simulation.report import EMPTY
from simulation.run import Result

MODULES = (
    *("simulation", "simulation.canaries", "simulation.mutants", "simulation.model"),
    "shell_simulation",
)


def run(module: str, *words: str) -> int:
    """The exit status of a command line."""
    main = importlib.import_module(f"{module}.__main__").main
    status: int = main([*words])
    return status


def refused(module: str, words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command line that cannot be is told."""
    with pytest.raises(SystemExit) as ended:
        run(module, *words.split())
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m {module}: ") and told.count("\n") == 1
    return told


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--count -3", "--count: '-3' is no whole number from 0"),
        ("--count many", "--count: 'many' is no whole number"),
        ("--minutes -1", "--minutes: '-1' is no number above 0"),
        ("--minutes 0", "--minutes: '0'"),
        ("--minutes nan", "--minutes: 'nan'"),
        ("--minutes inf", "--minutes: 'inf'"),
        ("--minutes soon", "--minutes: 'soon'"),
        ("--count 1 --processes 0", "--processes: '0' is no whole number from 1 to 1,000"),
        ("--count 1 --processes -1", "--processes: '-1'"),
        ("--seed 7 --plant nope", "--plant: 'nope' is no planted bug; there are: "),
        ("--seed 7 --record /nope/x", "--record: '/nope/x': there is no folder '/nope'"),
        ("--seed 7 --record /", "--record: '/' is a folder"),
        ("--seed 7 --trace op", "--trace: 'op' is none of g1, "),
        ("--seed 7 --trace g1,opX", "--trace: 'opX' is none of"),
        ("--shrink-seed 7 --runs 0", "--runs: '0'"),
        ("--shrink-seed 7 --seconds -1", "--seconds: '-1'"),
        ("--plan /nope", "/nope: No such file"),
        ("--replay /nope", "/nope: No such file"),
        ("--shrink /", "/: Is a directory"),
    ],
)
def test_the_simulator_refuses(words: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert what in refused("simulation", words, capsys)


@pytest.mark.parametrize(
    ("module", "words", "what"),
    [
        ("shell_simulation", "--count 0", "--count: '0' is no whole number from 1"),
        ("shell_simulation", "--count -2", "--count: '-2'"),
        ("shell_simulation", "--count 1 --processes 0", "--processes: '0'"),
        ("shell_simulation", "--canaries --only zzz", "--only: 'zzz' is no planted bug"),
        ("simulation.canaries", "--processes 0", "--processes: '0'"),
        ("simulation.canaries", "--only zzz", "--only: 'zzz' is no planted bug"),
        ("simulation.canaries", "--starts 0", "--starts: '0'"),
        ("simulation.canaries", "--write /nope/x", "--write: '/nope/x'"),
        ("simulation.mutants", "--picks 0", "--picks: '0'"),
        ("simulation.mutants", "--seeds 0", "--seeds: '0'"),
        ("simulation.mutants", "--runs -1", "--runs: '-1'"),
        ("simulation.model", "--processes 0", "--processes: '0'"),
    ],
)
def test_so_do_the_others(
    module: str, words: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert what in refused(module, words, capsys)


def test_the_nemesis_does_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        nemesis(["--minutes", "nan"])
    told = capsys.readouterr().err
    assert told == (
        "python -m nemesis: argument --minutes: 'nan' is no number above 0 and below 1,000,000\n"
    )


@pytest.mark.parametrize("module", ["simulation.mutants", "simulation.model"])
def test_what_searches_nothing_says_so(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(module, "--only", "zzz") == EMPTY
    assert "'zzz'" in capsys.readouterr().err


def test_a_search_of_no_seeds_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulation", "--count", "0", "--seeds-file", str(tmp_path / "seeds")) == EMPTY
    assert capsys.readouterr().err == "nothing was run\n"


def test_words_choose_lines() -> None:
    assert arguments.words("g1r2,op64,node0,client3,world") == [
        *("g1r2", "op64", "node0", "client3", "world"),
    ]
    assert arguments.words("1") == []
    with pytest.raises(ArgumentTypeError):
        arguments.words("")


# -- files


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("7 abc", "line 2: not a seed, a digest and a file"),
        ("seven abc - agreement", "line 2: not a seed"),
        ("7 abc missing.json agreement", "missing.json: No such file"),
        ("7 abc bad.json agreement", "bad.json holds no case"),
    ],
)
def test_a_seeds_file_that_cannot_be_used_is_refused_before_anything_runs(
    line: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "regressions").mkdir()
    (tmp_path / "regressions" / "bad.json").write_text('{"plan": {"seed": 7}}')
    file = tmp_path / "seeds.txt"
    file.write_text(f"# what failed\n{line}\n")
    assert why in refused("simulation", f"--count 1 --seeds-file {file}", capsys)


def test_a_seeds_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"seeds\.txt cannot be read"):
        kept.read(tmp_path / "seeds.txt")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shape": "ring"}, "shape 'ring' is none of one, three, five, regions"),
        ({"faults": ("crash", "flood")}, "'flood' is no class of faults"),
        ({"nemeses": {"flood": 5}}, "'flood' is no class of faults"),
        ({"requests": -1}, "requests is -1, less than 0"),
        ({"clients": "two"}, "holds no plan: Expected `int`"),
    ],
)
def test_a_plan_that_was_changed_into_none_is_refused(
    changes: dict[str, object], why: str, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(msgspec.structs.replace(make(7), **changes).text())
    with pytest.raises(BadInput, match=why):
        case.read_plan(file)
    file.write_text(make(7).text())
    assert case.read_plan(file) == make(7)


def test_a_case_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    file.write_text(Case(plan=make(7)).text()[:-40])
    with pytest.raises(BadInput, match="holds no case: Input data was truncated"):
        case.read(file)


def test_what_was_kept_is_looked_at_before_a_search(tmp_path: Path) -> None:
    failed = Result(7, ("agreement", "two hashes"), "", "", 1, 0, {}, [])
    kept.add(tmp_path / "seeds.txt", make(7), failed, Case(plan=make(7)))
    (found,) = kept.read(tmp_path / "seeds.txt")
    assert found.read().plan == make(7)


# -- interrupts


@pytest.mark.parametrize(
    ("command", "first", "last"),
    [
        ("shell_simulation --count 200", "from seed 1 on", "seeds, 0 failed"),
        ("shell_simulation --canaries", "planted bug", "0 of 0 found"),
        ("simulation.canaries --processes 1", "planted bug", "0 of 0 found as they must be"),
        ("simulation.mutants --picks 1 --processes 1", "1 gates", "0 of 0 caught"),
        ("simulation.model --only crash --processes 1", "searches", "0 distinct states"),
    ],
)
def test_an_interrupt_ends_it_with_what_it_knows(command: str, first: str, last: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where this test is run in the background, an interrupt would be ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert first in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        told, complaints = running.communicate(timeout=60)
    assert running.returncode == arguments.INTERRUPTED, told
    assert "interrupted, with " in told and last in told
    assert complaints == ""
