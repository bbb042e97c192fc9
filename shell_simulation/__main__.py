"""The command line of the shell's simulation.

    python -m shell_simulation --seed 7       one run; on failure the end of its timeline
    python -m shell_simulation --count 200    as many runs, two at a time (--processes)
    python -m shell_simulation --canaries     planted bugs of the shell: each has to be found

Exit status: 0 nothing found; 1 a check failed; 3 a run had too little activity to mean anything;
4 a canary survived; 130 interrupted before anything was found. (2 is a wrong command line.)
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from shell_simulation import canaries
from shell_simulation.plan import make
from shell_simulation.run import Result, simulate
from simulation.arguments import INTERRUPTED, Parser, one_of, whole
from simulation.arguments import processes as how_many
from simulation.report import EMPTY, FAILED, SURVIVED
from simulation.workers import Lost, share

LINES = 60


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    parser = Parser(
        prog="python -m shell_simulation", description="Simulate the server around the core."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run one seed")
    what.add_argument("--count", type=whole(1), help="run this many seeds")
    what.add_argument("--canaries", action="store_true", help="plant bugs and look for them")
    parser.add_argument("--start", type=int, default=1, help="the first seed of --count")
    parser.add_argument("--processes", type=how_many, default=2, help="how many seeds at a time")
    parser.add_argument(
        "--only",
        type=one_of("planted bug", canaries.NAMES),
        metavar="NAME",
        help="the one canary to plant",
    )
    options = parser.parse_args(arguments)
    with one_folder():
        if options.canaries:
            chosen = [options.only] if options.only else canaries.NAMES
            return hunt(chosen, options.processes)
        if options.count is not None:
            return many(range(options.start, options.start + options.count), options.processes)
        return one(options.seed)


@contextmanager
def one_folder() -> Iterator[None]:
    """Have all temporary files in one folder: a process that is killed leaves its own behind."""
    with tempfile.TemporaryDirectory(prefix="shell-sim-") as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def one(seed: int) -> int:
    """Run one seed and show what came of it."""
    try:
        for result in results([seed], 1):
            print(report(result))
            return status([result])
    except KeyboardInterrupt:
        print("interrupted")
    return INTERRUPTED


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
    simulated = ran = 0
    try:
        print(f"from seed {seeds.start} on", flush=True)
        for result in results(seeds, processes):
            ran += 1
            counts.update(result.counts)
            simulated += result.time
            if result.failure or result.empty:
                found.append(result)
                print(report(result), flush=True)
    except KeyboardInterrupt:
        print(f"interrupted, with {len(seeds) - ran} seeds to go")
    took = max(time.monotonic() - began, 1e-9)
    print("  ".join(f"{name}={value}" for name, value in sorted(counts.items())))
    failed = sum(result.failure is not None for result in found)
    print(
        f"{ran} seeds, {failed} failed, {len(found) - failed} empty; "
        f"{ran / took:.2f} seeds/s, {simulated / 1e9 / took:,.1f} simulated s/s, "
        f"{counts['client.answers'] / max(ran, 1):.0f} answers per seed"
    )
    return status(found) or (INTERRUPTED if ran < len(seeds) else 0)


def results(seeds: Iterable[int], processes: int) -> Iterator[Result]:
    """Run seeds, several at a time.

    Not even one runs in this process: an interrupt in the midst of a run would be taken for an
    error of a simulated server, or leave two threads that wait for each other.
    """
    for seed, done in share(iter(seeds), simulate, processes):
        yield died(seed, done) if isinstance(done, Lost) else done


def died(seed: int, lost: Lost) -> Result:
    """What to make of a run over which its process died."""
    return Result(
        seed=seed,
        failure=("process-died", f"exit status {lost.status}"),
        empty="",
        trace="",
        time=0,
        counts={},
        timeline=[],
    )


def hunt(chosen: Sequence[str], processes: int) -> int:
    """Plant bugs and print what found each, after how many seeds."""
    hunted = survivors = 0
    try:
        print(f"{'planted bug':<34} {'found by':<26} seeds", flush=True)
        # A planted bug stays in its process.
        for name, done in share(iter(chosen), canaries.hunt, processes, each_anew=True):
            _, caught, seeds = (name, "", 0) if isinstance(done, Lost) else done
            hunted += 1
            survivors += caught == ""
            print(f"{name:<34} {caught or 'SURVIVED':<26} {seeds}", flush=True)
    except KeyboardInterrupt:
        print(f"interrupted, with {len(chosen) - hunted} to go")
    print(f"{hunted - survivors} of {hunted} found")
    if survivors:
        return SURVIVED
    return INTERRUPTED if hunted < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
