"""The command line of the shell's simulation.

    python -m shell_simulation --seed 7       one run; on failure the end of its timeline
    python -m shell_simulation --count 200    as many runs, two at a time (--processes)
    python -m shell_simulation --canaries     planted bugs of the shell: each has to be found

Exit status: 0 nothing found; 1 a check failed; 3 a run had too little activity to mean anything;
4 a canary survived. (2 is a wrong command line.)
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool

from shell_simulation import canaries
from shell_simulation.plan import make
from shell_simulation.run import Result, simulate

FAILED, EMPTY, SURVIVED = 1, 3, 4
LINES = 60


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m shell_simulation", description="Simulate the server around the core."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run one seed")
    what.add_argument("--count", type=int, help="run this many seeds")
    what.add_argument("--canaries", action="store_true", help="plant bugs and look for them")
    parser.add_argument("--start", type=int, default=1, help="the first seed of --count")
    parser.add_argument("--processes", type=int, default=2, help="how many seeds at a time")
    parser.add_argument("--only", default="", help="the one canary to plant")
    options = parser.parse_args(arguments)
    if options.canaries:
        return hunt(options.only, options.processes)
    if options.count is not None:
        return many(range(options.start, options.start + options.count), options.processes)
    result = simulate(options.seed)
    print(report(result))
    return status([result])


def status(results: list[Result]) -> int:
    """The exit status for some results."""
    if any(result.failure for result in results):
        return FAILED
    return EMPTY if any(result.empty for result in results) else 0


def report(result: Result) -> str:
    """What to say of one run."""
    counts = "  ".join(f"{name}={value}" for name, value in result.counts.items())
    lines = [
        make(result.seed).text(),
        *result.timeline[-LINES:],
        f"seed {result.seed}: {result.time / 1e9:.1f} simulated seconds, trace {result.trace}",
        counts,
    ]
    if result.failure is not None:
        lines.append(f"FAILED {result.failure[0]}: {result.failure[1]}")
    elif result.empty:
        lines.append(f"EMPTY: {result.empty}")
    else:
        lines.append("passed")
    return "\n".join([*lines, f"repeat with: make shell-sim SEED={result.seed}"])


def many(seeds: range, processes: int) -> int:
    """Run a range of seeds; tell of each that is not well, and at the end how it went."""
    began = time.monotonic()
    found: list[Result] = []
    counts: Counter[str] = Counter()
    simulated = 0
    for result in results(seeds, processes):
        counts.update(result.counts)
        simulated += result.time
        if result.failure or result.empty:
            found.append(result)
            print(report(result), flush=True)
    took = max(time.monotonic() - began, 1e-9)
    print("  ".join(f"{name}={value}" for name, value in sorted(counts.items())))
    failed = sum(result.failure is not None for result in found)
    print(
        f"{len(seeds)} seeds, {failed} failed, {len(found) - failed} empty; "
        f"{len(seeds) / took:.2f} seeds/s, {simulated / 1e9 / took:,.1f} simulated s/s, "
        f"{counts['client.answers'] / len(seeds):.0f} answers per seed"
    )
    return status(found)


def results(seeds: range, processes: int) -> Iterator[Result]:
    """Run seeds, several at a time."""
    if processes <= 1 or len(seeds) < 2:
        yield from map(simulate, seeds)
        return
    with Pool(processes) as pool:
        yield from pool.imap_unordered(simulate, seeds)


def hunt(only: str, processes: int) -> int:
    """Plant every bug and print what found it, after how many seeds."""
    survivors = 0
    chosen = [name for name in canaries.NAMES if only in ("", name)]
    print(f"{'planted bug':<34} {'found by':<26} seeds")
    # A planted bug stays in its process.
    with Pool(processes, maxtasksperchild=1) as pool:
        for name, caught, seeds in pool.imap_unordered(canaries.hunt, chosen):
            survivors += caught == ""
            print(f"{name:<34} {caught or 'SURVIVED':<26} {seeds}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} found")
    return SURVIVED if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
