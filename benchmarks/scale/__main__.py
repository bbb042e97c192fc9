"""`python -m benchmarks.scale`: measure what is missing, and write all of it down."""

import argparse
import sys
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from benchmarks.conditions import conditions
from benchmarks.processes import TERMINATED, ChildFailed, end_on_sigterm
from benchmarks.scale import report, results, suite
from benchmarks.scale.results import Flapping, FullLoad, Results, Row
from benchmarks.scale.suite import SMALL, Plan, Workload
from nemesis.nodes import Stuck
from veritydb.types.errors import VerityError

HERE = Path(__file__).parent.parent
WHOLE = HERE / "results" / "scale.json"
DOCS = HERE.parent / "docs" / "performance.md"


def options(arguments: list[str]) -> tuple[argparse.Namespace, Plan]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="Measure faults in a row, a long full load, and growth. What "
        f"{WHOLE.relative_to(HERE.parent)} already has with the same parameters is not measured "
        "again. A full run takes an hour and a half, and 15 GB of disk.",
    )
    parser.add_argument("--only", action="append", metavar="PATTERN", help="may be repeated")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--small", action="store_true", help="little of everything; printed only")
    parser.add_argument("--list", action="store_true", help="say what can be measured, and end")
    for name, default in msgspec.structs.asdict(Plan()).items():
        if default is not None:
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=type(default), help=f"(default {default:,})")
    parser.add_argument("--directory", type=Path, help="for the nodes' data; its disk is measured")
    parser.add_argument("--note", default="", help="what else was going on; kept with the figures")
    parser.add_argument("--out", type=Path, help=f"instead of {WHOLE.relative_to(HERE.parent)}")
    given = parser.parse_args(arguments)
    told = {
        name: value
        for name in Plan.__struct_fields__
        if (value := getattr(given, name)) is not None
    }
    return given, msgspec.structs.replace(SMALL if given.small else Plan(), **told)


def measure(one: Workload, plan: Plan, note: str, found: Results) -> None:
    """Run one workload, and put what comes of it in its place."""
    say(one.name)
    before = conditions(plan.directory or Path("/tmp"), 1, 0.0, note)
    try:
        finding = one.run(say)
    except (ChildFailed, Stuck, VerityError) as error:
        say(f"  could not be measured: {error}")
        found.failures[one.name] = str(error)
        return
    found.failures.pop(one.name, None)
    found.rows[one.name] = Row(conditions=before, parameters=one.parameters, found=finding)


def harmed(found: Results) -> bool:
    """Whether anything was lost or duplicated, or a view left without a reason."""
    for row in found.rows.values():
        if isinstance(row.found, Flapping | FullLoad) and row.found.view_changes:
            return True
        runs = getattr(row.found, "runs", [row.found])
        if any(getattr(run, "lost", 0) or getattr(run, "duplicated", 0) for run in runs):
            return True
    return bool(found.failures)


def main(arguments: list[str]) -> int:
    """Measure. The exit code is 0 if all could be measured and nothing came to harm."""
    given, plan = options(arguments)
    chosen = [
        one
        for one in suite.workloads(plan)
        if given.only is None or any(fnmatch(one.name, pattern) for pattern in given.only)
    ]
    if given.list or not chosen:
        print("\n".join(one.name for one in chosen or suite.workloads(plan)))
        return 0 if given.list else 2
    end_on_sigterm()
    out: Path | None = given.out or (None if given.small else WHOLE)
    found = results.load(out) if out is not None else Results()
    try:
        for one in chosen:
            row = found.rows.get(one.name)
            if given.again or row is None or row.parameters != one.parameters:
                measure(one, plan, given.note, found)
                if out is not None:
                    results.save(out, found)
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept", file=sys.stderr)
        return TERMINATED
    print(report.page(found))
    if out == WHOLE:
        report.update(DOCS, found)
    return 1 if harmed(found) else 0


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
