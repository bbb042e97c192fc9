"""The kernel's durable bytes, and what a fixed log leads to, never change under this version."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.golden.kernel_script import COMMANDS, append_many, run
from veritydb.kernel.snapshot import chunks, digest, load
from veritydb.types.entry import Kind
from veritydb.types.outcome import Code, encode
from veritydb.wire import log

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]


def golden(name: str, lines: list[bytes]) -> None:
    """Compare with the file, a line of hex for each; write it if asked to and it is not there."""
    path = FOLDER / f"{name}.hex"
    if os.environ.get("VERITYDB_GOLDEN") == "write" and not path.exists():
        path.write_text("".join(line.hex() + "\n" for line in lines))
    assert [bytes.fromhex(line) for line in path.read_text().splitlines()] == lines


def test_outcomes_and_their_chain() -> None:
    _, outcomes, head = run()
    golden("kernel_outcomes", [*map(encode, outcomes), head])


def test_the_script_meets_most_codes() -> None:
    _, outcomes, _ = run()
    met = Counter(outcome.code for outcome in outcomes)
    assert met[Code.OK] > 40
    assert len(met) >= 16, sorted(set(Code) - set(met))


def test_snapshot() -> None:
    state, _, _ = run()
    golden("kernel_snapshot", [*chunks(state), digest(state)])
    lines = [bytes.fromhex(x) for x in (FOLDER / "kernel_snapshot.hex").read_text().splitlines()]
    assert load(lines[:-1]) == state


def test_commands() -> None:
    bodies = [log.encode(command) for command in COMMANDS]
    golden("log_commands", bodies)
    assert [log.decode(Kind.COMMAND, body) for body in bodies] == COMMANDS


def test_append_to_several_streams() -> None:
    _, body = append_many([(1, 13, 2), (2, 12, 1), (3, 36, 0)])
    golden("append_many", [body])


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_same_in_every_process(seed: str) -> None:
    state, _, head = run()
    result = subprocess.run(
        [sys.executable, "-m", "tests.golden.kernel_script"],
        cwd=PROJECT,
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[:2] == [head.hex(), digest(state).hex()]
