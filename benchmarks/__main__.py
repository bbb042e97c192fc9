"""`python -m benchmarks`: measure, print, and write the figures down."""

import argparse
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from benchmarks import report, results, suite
from benchmarks.processes import TERMINATED, ChildFailed, end_on_sigterm
from benchmarks.suite import Plan

HERE = Path(__file__).parent
WHOLE = HERE / "results" / "own.json"
DOCS = HERE.parent / "docs" / "performance.md"
QUICK = Plan(rounds=1, seconds=1.0, repeat=1, read_events=20_000, restart_events=20_000)


def options(arguments: list[str]) -> tuple[argparse.Namespace, Plan]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure a cluster of three nodes on this machine. A whole run writes "
        f"{WHOLE.relative_to(HERE.parent)} and {DOCS.relative_to(HERE.parent)}; with --only or "
        "--quick the figures are printed, and written to --out if that is given.",
    )
    plan = Plan()
    parser.add_argument("--rounds", type=int, help=f"fresh clusters (default {plan.rounds})")
    parser.add_argument("--seconds", type=float, help=f"per workload (default {plan.seconds:g})")
    parser.add_argument("--repeat", type=int, help=f"of each fault (default {plan.repeat})")
    parser.add_argument("--read-events", type=int, help=f"(default {plan.read_events:,})")
    parser.add_argument("--restart-events", type=int, help=f"(default {plan.restart_events:,})")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PATTERN",
        help="measure only what this matches, such as 'batches*256 B'; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--list", action="store_true", help="say what can be measured, and end")
    parser.add_argument("--directory", type=Path, help="for the nodes' data; its disk is measured")
    parser.add_argument("--note", default="", help="what else was going on; said with the figures")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    given = parser.parse_args(arguments)
    base = QUICK if given.quick else plan
    chosen = Plan(
        rounds=given.rounds or base.rounds,
        seconds=given.seconds or base.seconds,
        repeat=given.repeat or base.repeat,
        read_events=given.read_events or base.read_events,
        restart_events=given.restart_events or base.restart_events,
        directory=given.directory,
        note=given.note,
    )
    return given, chosen


def chooser(patterns: list[str] | None) -> Callable[[str], bool]:
    """What `--only` asks for."""
    if not patterns:
        return lambda name: True
    return lambda name: any(fnmatch(name, pattern) for pattern in patterns)


def main(arguments: list[str]) -> int:
    """Measure. The exit code is 0 if everything could be measured and nothing was lost."""
    given, plan = options(arguments)
    wanted = chooser(given.only)
    if given.list:
        print("\n".join(filter(wanted, suite.names(plan))))
        return 0
    if not any(map(wanted, suite.names(plan))):
        print("nothing is called like that; --list says what there is", file=sys.stderr)
        return 2
    end_on_sigterm()
    try:
        found = suite.run(plan, wanted)
    except KeyboardInterrupt:
        print("interrupted; what was started has been stopped", file=sys.stderr)
        return TERMINATED
    except ChildFailed as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 1
    print(report.page(found))
    whole = given.only is None and not given.quick
    if given.out is not None:
        given.out.write_bytes(results.to_json(found))
    elif whole:
        WHOLE.parent.mkdir(exist_ok=True)
        WHOLE.write_bytes(results.to_json(found))
        report.update(DOCS, found)
    harmed = sum(run.lost + run.duplicated for row in found.outages for run in row.runs)
    harmed += sum(run.lost for row in found.restarts for run in row.runs)
    return 1 if harmed or found.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
