"""The rounds of a comparison, with systems that take no time."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.appends import Workload
from benchmarks.peers import suite
from benchmarks.peers.finished import Ledger, Measurement
from benchmarks.peers.suite import Plan
from benchmarks.peers.system import Access, Measure, Running
from benchmarks.peers.works import Work, works
from benchmarks.processes import ChildFailed, Family

SECONDS = 2.0
WORKS = [work for work in works(10) if work.key in ("single-1", "batch-100x8")]
VERSIONS = {"first": "1", "second": "1"}


class Still(Running):
    """Appends in one way and cannot do anything else."""

    def __init__(self, directory: Path, fails_at: str) -> None:
        """Fail at one workload."""
        super().__init__(directory)
        self._fails_at = fails_at

    def pids(self) -> list[int]:
        """None."""
        return []

    def append_ways(self, workload: Workload) -> Mapping[str, Measure]:
        """The only way."""
        if self._fails_at in workload.name:
            raise ChildFailed("it is stuck")
        return {"way": lambda seconds: Measurement(value=seconds)}

    def writer(self) -> Access:
        """Nobody."""
        raise AssertionError("nothing is ever written here")

    def readers(self) -> Mapping[str, Access]:
        """Nobody."""
        return {}

    def mix_ways(self, work: Work, stream: str) -> Mapping[str, Measure]:
        """None."""
        return {}

    def followers(self) -> Mapping[str, Access]:
        """Nobody."""
        return {}


class Stillness:
    """A system that is started at once; it counts how often."""

    version = "1"
    durable = True

    def __init__(self, name: str, fails_at: str = "nothing") -> None:
        """Fail at one workload."""
        self.name = self.title = name
        self.fails_at = fails_at
        self.directories: list[Path] = []

    def missing(self) -> list[str]:
        """Nothing."""
        return []

    def start(self, directory: Path, family: Family) -> Still:
        """Start nothing."""
        self.directories.append(directory)
        return Still(directory, self.fails_at)


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "SETTLE_SECONDS", 0.0)


def plan(directory: Path, *, rounds: int = 3, minutes: float = 1.0) -> Plan:
    return Plan(rounds=rounds, seconds=SECONDS, minutes=minutes, directory=directory)


def test_every_system_does_all_work_in_every_round_and_leaves_nothing(tmp_path: Path) -> None:
    every = [Stillness("first"), Stillness("second")]
    ledger = Ledger(tmp_path / "ledger", resume=False)
    assert suite.run(plan(tmp_path), every, VERSIONS, WORKS, ledger) == []
    done = {(one.round, one.system, one.work) for one in ledger.entries}
    assert len(done) == len(ledger.entries) == 3 * 2 * len(WORKS)
    assert [one.system for one in ledger.entries[::2]] == [
        *("first", "second"),
        *("second", "first"),
        *("first", "second"),
    ]
    assert all(one.ways == {"way": Measurement(value=SECONDS)} for one in ledger.entries)
    assert not any(directory.exists() for one in every for directory in one.directories)


def test_what_fails_is_said_and_the_next_system_goes_on(tmp_path: Path) -> None:
    every = [Stillness("first", fails_at="batches"), Stillness("second")]
    ledger = Ledger(tmp_path / "ledger", resume=False)
    failures = suite.run(plan(tmp_path, rounds=1), every, VERSIONS, WORKS, ledger)
    assert failures == ["round 1 of 1, first 1: it is stuck"]
    assert [one.system for one in ledger.entries] == ["first", "second", "second"]


def test_only_what_is_missing_is_measured_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", resume=False)
    broken = [Stillness("first", fails_at="batches"), Stillness("second")]
    suite.run(plan(tmp_path, rounds=1), broken, VERSIONS, WORKS, ledger)
    mended = [Stillness("first"), Stillness("second")]
    again = Ledger(tmp_path / "ledger", resume=True)
    assert suite.run(plan(tmp_path, rounds=1), mended, VERSIONS, WORKS, again) == []
    assert len(again.entries) == 2 * len(WORKS)
    assert [len(one.directories) for one in mended] == [1, 0]


def test_a_run_ends_with_its_minutes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", resume=False)
    every = [Stillness("first"), Stillness("second")]
    [failure] = suite.run(plan(tmp_path, minutes=0.0), every, VERSIONS, WORKS, ledger)
    assert "from round 1 of 3, first 1 on" in failure
    assert "RESUME=1" in failure
    assert ledger.entries == []
