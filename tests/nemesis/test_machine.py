"""A machine that ails is told so by a file, and a healthy one is like any other."""

import time
from pathlib import Path

import pytest

from nemesis.machine import AilingMachine, Ailments
from veritydb.storage.disk import DiskError

HOUR_NS = 3600 * 10**9


def test_what_one_process_writes_the_other_sees(tmp_path: Path) -> None:
    ours, theirs = Ailments(tmp_path / "a"), Ailments(tmp_path / "a")
    assert (theirs.clock_ns, theirs.slow_ns, theirs.broken) == (0, 0, False)
    ours.clock_ns, ours.slow_ns, ours.broken = -HOUR_NS, 5, True
    assert (theirs.clock_ns, theirs.slow_ns, theirs.broken) == (-HOUR_NS, 5, True)


def test_the_clock_is_as_far_off_as_it_is_told(tmp_path: Path) -> None:
    ailments = Ailments(tmp_path / "a")
    machine = AilingMachine(ailments)
    before = time.time_ns()
    assert before <= machine.wall_ns() <= time.time_ns()
    ailments.clock_ns = HOUR_NS
    assert before + HOUR_NS <= machine.wall_ns() <= time.time_ns() + HOUR_NS


def test_a_broken_disk_fails_at_the_sync_and_a_slow_one_does_not(tmp_path: Path) -> None:
    ailments = Ailments(tmp_path / "a")
    disk = AilingMachine(ailments).disk(tmp_path / "disk")
    disk.allocate("file", 10)
    ailments.slow_ns = 1_000
    disk.write("file", 0, [b"data"])
    disk.sync("file")
    ailments.broken = True
    with pytest.raises(DiskError, match="EIO"):
        disk.sync("file")
    assert disk.read("file", 0, 4) == b"data"
    disk.close()
