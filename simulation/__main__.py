"""The simulator's command line.

    python -m simulation --seed 7         one run; on failure its plan and the end of its timeline
    python -m simulation --count 2000     as many runs, two at a time (--processes)
    python -m simulation --plan FILE      one run of a printed plan, changed by hand or not
    python -m simulation --canaries       planted bugs: each has to be found

Exit status: 0 nothing found; 1 a checker failed; 3 a run had too little activity to mean anything;
4 a canary survived. (2 is a wrong command line.)
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from pathlib import Path

from simulation import canaries, coverage
from simulation.plan import make, parse
from simulation.run import Result, simulate

FAILED, EMPTY, SURVIVED = 1, 3, 4
LINES = 60


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Simulate a cluster.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run one seed")
    what.add_argument("--count", type=int, help="run this many seeds")
    what.add_argument("--plan", type=Path, help="run a plan from a file")
    what.add_argument("--canaries", action="store_true", help="plant bugs and look for them")
    parser.add_argument("--start", type=int, default=1, help="the first seed of --count")
    parser.add_argument("--processes", type=int, default=2, help="how many seeds at a time")
    parser.add_argument("--only", default="", help="the one canary to plant")
    options = parser.parse_args(arguments)
    if options.canaries:
        return _canaries(options.only, options.processes)
    if options.count is not None:
        return _many(range(options.start, options.start + options.count), options.processes)
    plan = parse(options.plan.read_text()) if options.plan else make(options.seed)
    result = simulate(plan.seed, plan)
    if not result.failure:
        print(plan.text())
    print(report(result))
    return status([result])


def status(results: Iterable[Result]) -> int:
    """The exit status for some results."""
    worst = 0
    for result in results:
        if result.failure:
            return FAILED
        if result.empty:
            worst = EMPTY
    return worst


def report(result: Result) -> str:
    """What to say of one run."""
    head = (
        f"seed {result.seed}: {result.events} events in {result.time / 1e9:.1f} simulated seconds, "
        f"trace {result.trace}"
    )
    counts = "  ".join(f"{name}={value}" for name, value in result.counts.items())
    if result.empty:
        return f"{head}\n{counts}\nEMPTY: {result.empty}\nrepeat with: make sim SEED={result.seed}"
    if result.failure is None:
        return f"{head}\n{counts}\npassed"
    checker, what = result.failure
    return "\n".join(
        (
            make(result.seed).text(),
            *result.timeline[-LINES:],
            head,
            counts,
            f"FAILED {checker}: {what}",
            f"repeat with: make sim SEED={result.seed}",
        )
    )


def _many(seeds: range, processes: int) -> int:
    """Run a range of seeds; tell of each that is not well, and at the end how it went."""
    began = time.monotonic()
    found: list[Result] = []
    events = simulated = answers = 0
    checkers: dict[str, list[int]] = {}
    missed = coverage.known()
    marks = len(missed)
    for result in _results(seeds, processes):
        events += result.events
        simulated += result.time
        missed -= result.marks
        answers += result.counts.get("client.answers", 0)
        if result.failure or result.empty:
            found.append(result)
            kind = result.failure[0] if result.failure else "empty"
            checkers.setdefault(kind, []).append(result.seed)
            text = result.failure[1] if result.failure else result.empty
            print(f"seed {result.seed} {kind}: {text.strip().splitlines()[-1]}", flush=True)
    took = max(time.monotonic() - began, 1e-9)
    failed = [result for result in found if result.failure]
    if failed:
        print(report(min(failed, key=lambda result: len(result.timeline) or result.events)))
    for kind, bad in sorted(checkers.items()):
        print(f"{kind}: {len(bad)} seeds, such as {sorted(bad)[:8]}")
    print(f"{marks - len(missed)} of {marks} marks reached; never: {', '.join(sorted(missed))}")
    print(
        f"{len(seeds)} seeds, {len(failed)} failed, {len(found) - len(failed)} empty; "
        f"{len(seeds) / took:.1f} seeds/s, {events / took:,.0f} events/s, "
        f"{simulated / 1e9 / took:,.0f} simulated s/s, {answers / len(seeds):.0f} answers per seed"
    )
    return status(found)


def _results(seeds: range, processes: int) -> Iterator[Result]:
    if processes <= 1 or len(seeds) < 2:
        yield from map(simulate, seeds)
        return
    with Pool(processes) as pool:
        yield from pool.imap_unordered(simulate, seeds, chunksize=4)


def _canaries(only: str, processes: int) -> int:
    """Plant every bug and print which checker found it, after how many seeds."""
    survivors = 0
    chosen = [name for name in canaries.NAMES if only in ("", name)]
    print(f"{'planted bug':<34} {'found by':<26} seeds")
    # A planted bug stays in its process.
    with Pool(processes, maxtasksperchild=1) as pool:
        for name, caught, seeds in pool.imap(canaries.hunt, chosen):
            survivors += caught == ""
            print(f"{name:<34} {caught or 'SURVIVED':<26} {seeds}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} found")
    return SURVIVED if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
