"""Many runs: those that failed before, then seed after seed until the time or the seeds are up."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from simulation import case, coverage, floors, kept
from simulation.case import Case
from simulation.kept import Kept
from simulation.plan import Plan, make
from simulation.report import EMPTY, FAILED, PASSED, UNREACHED, by_seed, report
from simulation.run import Result, simulate
from simulation.workers import Lost, share

KEEP_EACH = 2
"""Seeds of one kind of failure that one search keeps."""
TWICE_EVERY = 100
"""So often a run is made a second time, and has to take the same course."""
COVERING = 5_000
"""A search over so many seeds has to reach every mark."""
FEW = 20
"""So many unreached marks are named after a short search too."""
PROGRESS_SECONDS = 60

Job = int | Kept


class Tried(NamedTuple):
    """One run of a search."""

    plan: Plan
    result: Result
    case: Case | None
    """Of a failure, to be kept."""
    cpu: float


class Limits(NamedTuple):
    """How long to search."""

    seeds: int | None
    minutes: float | None
    processes: int


def attempt(job: Job) -> Tried:
    """Make one run. If it fails, make it again with a tape to keep."""
    began = time.process_time()
    if isinstance(job, Kept) and job.case:
        # After a change of the code it may do little; to fail again is all that is asked of it.
        result, drawn = case.run(job.read())
        return Tried(drawn.plan, result._replace(empty=""), drawn, time.process_time() - began)
    seed = job.seed if isinstance(job, Kept) else job
    plan = make(seed)
    result = simulate(seed, plan)
    drawn_again = None
    if result.failure is not None or seed % TWICE_EVERY == 0:
        again, drawn_again = case.run(Case(plan=plan))
        if again.trace != result.trace:
            what = f"the second run has trace {again.trace}, the first {result.trace}"
            result = result._replace(failure=("determinism", what), where="", empty="")
    kept_case = drawn_again if result.failure is not None else None
    return Tried(plan, result, kept_case, time.process_time() - began)


def lost(job: Job, status: int | None) -> Tried:
    """What to make of a run over which its process died."""
    plan = job.read().plan if isinstance(job, Kept) and job.case else make(seed_of(job))
    result = Result(
        seed=plan.seed,
        failure=("process-died", f"exit status {status}"),
        empty="",
        trace="",
        events=0,
        time=0,
        counts={},
        timeline=[],
    )
    return Tried(plan, result, None, 0.0)


def seed_of(job: Job) -> int:
    """The seed of a job."""
    return job.seed if isinstance(job, Kept) else job


def jobs(again: list[Kept], start: int, limits: Limits) -> Iterator[Job]:
    """What failed before, however little time there is; then new seeds."""
    yield from again
    until = None if limits.minutes is None else time.monotonic() + 60 * limits.minutes
    for seed in islice(count(start), limits.seeds):
        if until is not None and time.monotonic() >= until:
            return
        yield seed


class Summary:
    """What a search has seen."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.seeds = 0
        self.failures: dict[str, list[Tried]] = {}
        self.empty: list[Tried] = []
        self.cpu = 0.0
        self.events: list[int] = []
        self.acknowledged: list[int] = []
        self.reached: set[str] = set()
        self.drawn: Counter[str] = Counter()
        self.fired: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.idle = 0

    def add(self, tried: Tried) -> None:
        """Take a run into account."""
        plan, result = tried.plan, tried.result
        self.seeds += 1
        self.cpu += tried.cpu
        self.reached |= result.marks
        if result.failure is not None:
            self.failures.setdefault(result.key, []).append(tried)
        elif result.empty:
            self.empty.append(tried)
        elif floors.idle(plan, result.counts):
            self.idle += 1
        elif floors.counted(plan, result.counts):
            self.events.append(result.events)
            self.acknowledged.append(floors.acknowledged(result.counts))
        self.drawn.update(plan.faults)
        for fault in plan.faults:
            fired = result.counts.get(f"fault.{fault}", 0)
            self.fired[fault] += fired
            self.struck[fault] += fired > 0

    def status(self) -> int:
        """The exit status that follows."""
        if self.failures:
            return FAILED
        if self.empty or floors.tame(self.drawn, self.struck):
            return EMPTY
        return UNREACHED if self.seeds >= COVERING and self.unreached() else PASSED

    def unreached(self) -> list[str]:
        """The marks that a long search has to reach and this one did not."""
        return sorted(coverage.required() - self.reached)

    def text(self) -> str:
        """What to say at the end."""
        counted, failed = len(self.events), sum(map(len, self.failures.values()))
        rows = [
            f"{name}: {len(found)} seeds, such as {sorted(t.result.seed for t in found)[:8]}"
            for name, found in sorted(self.failures.items())
        ]
        rows.append(
            "faults fired (in how many of the runs that drew the class): "
            + "  ".join(
                f"{name} {self.fired[name]:,} ({self.struck[name]} of {self.drawn[name]})"
                for name in sorted(self.drawn)
            )
        )
        tame = floors.tame(self.drawn, self.struck)
        if tame:
            rows.append(f"EMPTY: struck in too few of the runs that drew them: {', '.join(tame)}")
        if self.idle:
            rows.append(f"{self.idle} not counted, since a class that they drew never struck")
        required = coverage.required()
        rows.append(f"marks: {len(required & self.reached)} of {len(required)} reached")
        missed = self.unreached()
        if missed and (self.seeds >= COVERING or len(missed) <= FEW):
            rows.append(f"never reached: {', '.join(missed)}")
        rows.append(
            f"{self.seeds:,} seeds, {failed} failed, {len(self.empty)} empty, {counted:,} counted; "
            f"{self.cpu:,.1f} CPU seconds, {counted * 3600 / max(self.cpu, 1e-9):,.0f} counted "
            "seeds per CPU-hour"
        )
        if counted:
            rows.append(
                f"of a counted seed: simulated events {median(self.events):,.0f} (median), "
                f"{mean(self.events):,.0f} (mean); {median(self.acknowledged):,.0f} acknowledged "
                "requests (median)"
            )
        return "\n".join(rows)


def search(start: int, limits: Limits, seeds_file: Path | None = kept.FILE, plant: str = "") -> int:
    """Search, say what was found, keep what failed; the exit status. `plant` was planted before."""
    again = kept.read(seeds_file) if seeds_file is not None else []
    summary = Summary()
    told = began = time.monotonic()
    known = {seed_of(each) for each in again}
    runs = share(jobs(again, start, limits), attempt, limits.processes)
    try:
        print(f"{len(again)} seeds that failed before, then from seed {start} on", flush=True)
        for job, done in runs:
            tried = lost(job, done.status) if isinstance(done, Lost) else done
            summary.add(tried)
            tell(tried)
            is_new = tried.result.failure is not None and seed_of(job) not in known
            same = summary.failures.get(tried.result.key, [])
            if seeds_file is not None and is_new and len(same) <= KEEP_EACH:
                kept.add(seeds_file, tried.plan, tried.result, tried.case)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                print(f"{summary.seeds:,} seeds in {(told - began) / 60:.0f} minutes", flush=True)
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        runs.close()
    if summary.failures:
        shortest = min(
            (tried for found in summary.failures.values() for tried in found),
            key=lambda tried: tried.result.events,
        )
        print(report(shortest.result, shortest.plan, by_seed(shortest.plan.seed, plant)))
    print(summary.text())
    if not summary.seeds:
        print("nothing was run", file=sys.stderr)
        return EMPTY
    return summary.status()


def tell(tried: Tried) -> None:
    """One line of a run that is not well."""
    result = tried.result
    if result.failure is not None:
        last = result.failure[1].strip().splitlines()[-1]
        print(f"seed {result.seed} {result.key}: {last}", flush=True)
    elif result.empty:
        print(f"seed {result.seed} empty: {result.empty}", flush=True)
