"""All rounds of a comparison: every system gets the same work, one after the other, in turns."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.peers.etcd import Etcd
from benchmarks.peers.finished import Finished, Ledger, Measurement
from benchmarks.peers.jetstream import JetStream
from benchmarks.peers.postgresql import PostgreSQL
from benchmarks.peers.system import Running, System
from benchmarks.peers.tools import Tools
from benchmarks.peers.verity import VerityDB
from benchmarks.peers.works import Work
from benchmarks.processes import ChildFailed, Family
from benchmarks.report import number as figure

SETTLE_SECONDS = 0.5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything. `directory` holds the data; None: where temporary files go."""

    rounds: int
    seconds: float
    minutes: float
    directory: Path | None = None


def systems(tools: Tools, driver: Path | None) -> list[System]:
    """All there are, VerityDB first."""
    return [
        VerityDB(),
        Etcd(tools, driver),
        JetStream(tools, driver, durable=True),
        JetStream(tools, driver, durable=False),
        PostgreSQL(tools),
    ]


class OutOfTimeError(Exception):
    """The minutes that a run was given are over."""


def run(
    plan: Plan,
    chosen: Sequence[System],
    versions: Mapping[str, str],
    works: Sequence[Work],
    ledger: Ledger,
) -> list[str]:
    """Measure what the ledger does not have yet; return what could not be measured, and why."""
    failures: list[str] = []
    deadline = time.monotonic() + plan.minutes * 60
    for number in range(plan.rounds):
        for system in in_turn(chosen, number):
            version = versions[system.name]
            where = f"round {number + 1} of {plan.rounds}, {system.title} {version}"
            left = [
                work
                for work in works
                if not ledger.has(number, system.name, version, work.name, plan.seconds)
            ]
            try:
                if left:
                    say(where)
                    with started(system, plan.directory) as running:
                        for work in left:
                            if time.monotonic() >= deadline:
                                raise OutOfTimeError
                            ways = measure(running, work, plan.seconds)
                            ledger.add(
                                entry(number, system.name, version, work, plan.seconds, ways)
                            )
            except OutOfTimeError:
                over = f"{plan.minutes:g} minutes were over; RESUME=1 goes on"
                return [*failures, f"from {where} on: {over}"]
            except (ChildFailed, OSError, subprocess.SubprocessError) as error:
                # What was measured before is still true, and the next system starts afresh.
                failures.append(f"{where}: {error}")
                say(failures[-1])
    return failures


def measure(running: Running, work: Work, seconds: float) -> dict[str, Measurement]:
    """Measure one workload in all ways that a system has for it, and say what came out."""
    found = {}
    for way, once in running.ways(work).items():
        found[way] = result = once(seconds)
        p50 = f", p50 {result.latency.p50:.2f} ms" if result.latency else ""
        errors = f", errors: {result.errors}" if result.errors else ""
        say(f"  {work.name}, {way}: {figure(result.value)} {work.kind.unit}{p50}{errors}")
    return found


def entry(
    number: int,
    system: str,
    version: str,
    work: Work,
    seconds: float,
    ways: dict[str, Measurement],
) -> Finished:
    """One more line of the ledger."""
    return Finished(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        round=number,
        system=system,
        version=version,
        work=work.name,
        seconds=seconds,
        ways=ways,
    )


def in_turn(chosen: Sequence[System], number: int) -> list[System]:
    """Another one begins in each round, so that no system always follows the same one."""
    first = number % len(chosen)
    return [*chosen[first:], *chosen[:first]]


@contextmanager
def started(system: System, parent: Path | None) -> Iterator[Running]:
    """A cluster that leaves nothing behind, neither processes nor files."""
    directory = Path(tempfile.mkdtemp(prefix=f"veritydb-peers-{system.name}-", dir=parent))
    try:
        with Family() as family:
            running = system.start(directory, family)
            time.sleep(SETTLE_SECONDS)
            yield running
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
