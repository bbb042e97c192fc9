"""The simulator's command line.

    python -m simulation --seed 7            one run; on failure the end of its timeline
    python -m simulation --seed 7 --trace    with its whole timeline; --trace g1r2,op64 for a part
    python -m simulation --count 2000        as many runs, two at a time (--processes)
    python -m simulation --minutes 20        runs for so long, from a seed that the clock chooses
    python -m simulation --plan FILE         one run of a printed plan, changed by hand or not
    python -m simulation --replay FILE       one run exactly as it was recorded (--record FILE)
    python -m simulation --shrink-seed 7     the least that still fails the same way (--shrink FILE)

Exit status: 0 nothing found; 1 a checker failed; 3 a run had too little activity to mean anything,
or nothing was run; 5 a long search missed a rare branch that it has to reach; 130 one run was
interrupted. (2 is a wrong command line.) `python -m simulation.canaries` hunts planted bugs.
"""

import sys
import time
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from shlex import quote

from simulation import canaries, case, kept, search, shrink
from simulation.arguments import (
    INTERRUPTED,
    BadInput,
    Parser,
    new_file,
    one_of,
    positive,
    processes,
    whole,
    words,
)
from simulation.case import Case
from simulation.plan import make
from simulation.report import by_file, by_seed, repeat, report, status, verdict
from simulation.world import TIMELINE_LINES


def parser() -> Parser:
    """What may be asked."""
    made = Parser(prog="python -m simulation", description="Simulate a cluster.")
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run one seed")
    what.add_argument("--count", type=whole(0), help="run this many seeds")
    what.add_argument("--minutes", type=positive, help="run seeds for so long")
    what.add_argument("--plan", type=Path, help="run a plan from a file")
    what.add_argument("--replay", type=Path, help="run what --record wrote")
    what.add_argument("--shrink-seed", type=int, help="make a failing seed's run small")
    what.add_argument("--shrink", type=Path, help="the same, for what --record wrote")
    made.add_argument("--start", type=int, help="the first seed of a search")
    made.add_argument(
        "--seeds-file",
        type=new_file,
        default=kept.FILE,
        help="where a search finds what failed before, and keeps what fails",
    )
    made.add_argument("--processes", type=processes, default=2, help="how many seeds at a time")
    made.add_argument(
        "--runs", type=whole(1), default=shrink.RUNS, help="how many runs to shrink with"
    )
    made.add_argument("--seconds", type=whole(1), default=300, help="and for how long at most")
    made.add_argument(
        "--plant",
        type=one_of("planted bug", canaries.NAMES),
        metavar="NAME",
        help="plant this bug first, to see what it does",
    )
    made.add_argument(
        "--record", type=new_file, help="write the run's plan and all its draws to a file"
    )
    made.add_argument(
        "--trace",
        type=words,
        nargs="?",
        const=[],
        metavar="WORDS",
        help="show the timeline: all of it, or what has to do with g1, g1r2, node0, client3, op64",
    )
    return made


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    asked = parser()
    options = asked.parse_args(arguments)
    try:
        return carry_out(options)
    except BadInput as error:
        asked.error(str(error))
    except KeyboardInterrupt:
        print("interrupted")
        return INTERRUPTED


def carry_out(options: Namespace) -> int:
    """Do what was read from the command line. Raises BadInput."""
    planted = options.plant or ""
    if planted:
        plant(planted)
    if options.count is not None or options.minutes is not None:
        limits = search.Limits(options.count, options.minutes, options.processes)
        first = first_seed(options.start, options.minutes)
        return search.search(first, limits, options.seeds_file, planted)
    if options.shrink or options.shrink_seed is not None:
        start = Case(plan=make(options.shrink_seed)) if options.shrink is None else None
        chosen = start or case.read(options.shrink)
        return less(chosen, options)
    if options.replay:
        chosen, again = case.read(options.replay), by_file(options.replay, planted)
    elif options.plan:
        chosen = Case(plan=case.read_plan(options.plan))
        again = repeat(f"--plan {quote(str(options.plan))}", planted)
    else:
        chosen, again = Case(plan=make(options.seed)), by_seed(options.seed, planted)
    return one(chosen, again, options.trace, options.record)


def less(start: Case, options: Namespace) -> int:
    """Shrink a case, show the whole timeline of what is left of it, and write it to a file.

    Who interrupts it has the smallest so far. Raises BadInput.
    """
    path = options.record or Path(f"shrunk-{start.plan.seed}.json")
    try:
        new_file(str(path))
    except ArgumentTypeError as error:
        raise BadInput(str(error)) from error
    end = time.monotonic() + options.seconds
    shrinker = shrink.Shrinker(start, options.runs, lambda: time.monotonic() > end)
    first = shrinker.result
    if first.failure is None:
        print(verdict(first, "nothing to shrink"))
        return status([first])
    was = shrinker.weight.size, len(first.timeline)
    try:
        shrinker.shrink()
    except KeyboardInterrupt:
        print("interrupted")
    small = shrinker.best_so_far()
    path.write_text(small.case.text())
    print(
        report(
            small.result,
            small.case.plan,
            by_file(path, options.plant or ""),
            [],
            sys.stdout.isatty(),
        )
    )
    faults = [piece for piece in small.case.tape if piece and not shrink.is_client(piece)]
    print(f"faults left: {', '.join(faults) or 'none'}")
    print(
        f"after {small.runs} runs: {len(small.result.timeline)} of {was[1]} lines, "
        f"{small.result.events} of {first.events} events"
    )
    return status([small.result])


def plant(name: str) -> None:
    """Change the code of this process, and of those that it starts, as a canary does."""
    canaries.find(name).plant()


def first_seed(start: int | None, minutes: float | None) -> int:
    """The one asked for; else always the same, but for searches by time each time another."""
    if start is not None:
        return start
    return 1 if minutes is None else int(time.time()) * 1_000


def one(chosen: Case, again: str, wanted: list[str] | None, record: Path | None) -> int:
    """Run one case and show what came of it; `wanted` as in `report`."""
    result, drawn = case.run(chosen, TIMELINE_LINES if wanted is None else None)
    print(report(result, chosen.plan, again, wanted, sys.stdout.isatty()))
    if record is not None:
        record.write_text(drawn.text())
        print(f"recorded: {record}")
    if chosen.trace and chosen.trace != result.trace:
        print(f"Not the run that was recorded (trace {chosen.trace}): the code has changed since.")
    return status([result])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
