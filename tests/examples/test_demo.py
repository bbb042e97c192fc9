"""The demo itself: what a newcomer sees first."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.clinic_day import EVENTS

PROJECT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "examples.demo"]

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_nothing_is_lost_when_the_primary_is_killed(tmp_path: Path) -> None:
    result = subprocess.run(
        DEMO,
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    cells = [
        [cell.strip() for cell in line.strip("│ ").split("│")]
        for line in result.stdout.splitlines()
        if "│" in line
    ]
    table = {row[0]: row[1] for row in cells if len(row) == 2}
    assert table["events acknowledged"] == f"{EVENTS:,}"
    for node in ("node-1", "node-2", "node-3"):
        assert table[f"read back from {node}"] == f"{EVENTS:,}"
    assert table["lost"] == table["duplicated"] == "0"
    assert "killed node-" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_it_cleans_up_when_it_is_interrupted(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        DEMO,
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "publishing" in line:
            break
    [base] = tmp_path.iterdir()
    pids = [int(file.read_text().split()[0]) for file in base.glob("data/*/node.pid")]
    assert len(pids) == 3
    demo.send_signal(signal.SIGTERM)
    demo.stdout.read()
    demo.stdout.close()
    assert demo.wait() == 130
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert list(tmp_path.iterdir()) == []
