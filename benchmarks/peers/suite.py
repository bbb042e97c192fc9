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
from benchmarks.peers.finished import Finished, Ledger
from benchmarks.peers.jetstream import JetStream
from benchmarks.peers.postgresql import PostgreSQL
from benchmarks.peers.system import Running, System
from benchmarks.peers.tools import Tools
from benchmarks.peers.verity import VerityDB
from benchmarks.peers.works import Work
from benchmarks.processes import ChildFailed, Family
from benchmarks.report import number as number_of

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
            left = [
                work
                for work in works
                if not ledger.has(number, system.name, version, work.name, plan.seconds)
            ]
            if not left:
                continue
            say(f"round {number + 1} of {plan.rounds}: {system.title} {version}")
            try:
                with started(system, plan.directory) as running:
                    for work in left:
                        if time.monotonic() >= deadline:
                            failures.append(
                                f"the rest, from round {number + 1} of {system.title} on: "
                                f"{plan.minutes:g} minutes were over; RESUME=1 goes on"
                            )
                            return failures
                        ways = running.ways(work).items()
                        entry = Finished(
                            at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                            round=number,
                            system=system.name,
                            version=version,
                            work=work.name,
                            seconds=plan.seconds,
                            ways={name: measure(plan.seconds) for name, measure in ways},
                        )
                        ledger.add(entry)
                        tell(entry)
            except (ChildFailed, OSError, subprocess.SubprocessError) as error:
                # What was measured before is still true, and the next system starts afresh.
                failures.append(f"round {number + 1}, {system.title}: {error}")
                say(failures[-1])
    return failures


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


def tell(entry: Finished) -> None:
    """Say what has just been measured."""
    for way, once in entry.ways.items():
        p50 = f", p50 {once.latency.p50:.2f} ms" if once.latency else ""
        errors = f", errors: {once.errors}" if once.errors else ""
        say(f"  {entry.work}, {way}: {number_of(once.value)}{p50}{errors}")


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
