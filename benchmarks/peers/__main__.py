"""`python -m benchmarks.peers`: measure VerityDB beside its peers and write the comparison down."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.peers import compare, suite, tables, tools
from benchmarks.peers.finished import Ledger
from benchmarks.peers.suite import Plan
from benchmarks.peers.works import CORE, Work, chosen, works
from benchmarks.processes import TERMINATED, end_on_sigterm

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / "benchmarks" / "results"
DOCS = PROJECT / "docs"
READ_EVENTS = 1_000_000
# Fewer say too little to be published.
ROUNDS = 5


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Measure VerityDB and its peers in turns. Nothing is installed; what is needed "
        f"and missing is said. Programs are looked for in ${tools.ENVIRONMENT}, on PATH and where "
        "Debian puts them.",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"(default {ROUNDS})")
    parser.add_argument("--seconds", type=float, default=2.0, help="per workload (default 2)")
    parser.add_argument("--minutes", type=float, default=60.0, help="at most (default 60)")
    parser.add_argument("--peers", default="", help="etcd,jetstream,postgresql (default: all here)")
    parser.add_argument("--workloads", default=CORE, help=f"keys or patterns (default {CORE})")
    parser.add_argument("--read-events", type=int, default=READ_EVENTS)
    parser.add_argument("--resume", action="store_true", help="keep what is already measured")
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    parser.add_argument("--directory", type=Path, help="for the data; its disk is measured")
    parser.add_argument("--note", default="", help="what else was going on; said with the figures")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory for the figures")
    parser.add_argument("--docs", type=Path, help=f"where {ROUNDS} rounds or more are published")
    return parser.parse_args(arguments)


def split(text: str) -> list[str]:
    """A list with commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def is_asked_for(name: str, peers: Sequence[str]) -> bool:
    """Whether a system takes part: a peer's name stands for its unsafe variant, too."""
    return name == compare.OURS or any(name == one or name == f"{one}-unsafe" for one in peers)


def explain(missing: dict[str, list[str]]) -> str:
    """What is needed, and which packages have it."""
    lines = [f"{name} needs {', '.join(what)}" for name, what in missing.items()]
    needed = dict.fromkeys(one for what in missing.values() for one in what)
    lines += [f"  {one}: {tools.GET[one]}" for one in needed]
    return "\n".join([*lines, f"Nothing was installed. ${tools.ENVIRONMENT} may name a directory."])


def main(arguments: list[str]) -> int:
    """Compare. The exit code is 0 if all that was asked for could be measured."""
    given = options(arguments)
    there = tools.look()
    patterns = split(given.workloads)
    wanted = chosen(list(works(given.read_events)), patterns)
    peers = split(given.peers)
    every = suite.systems(there, None)
    asked = [one for one in every if not peers or is_asked_for(one.name, peers)]
    missing = {one.name: what for one in asked if (what := one.missing())}
    if missing:
        print(explain(missing), file=sys.stderr)
    if given.list:
        print("\n".join(f"{work.key}: {work.name}" for work in wanted))
        return 0
    unknown = [one for one in peers if one not in {system.name for system in every}]
    if unknown or not wanted or len(missing) == len(asked) - 1:
        what = unknown or ([] if wanted else patterns) or list(missing)
        print(f"nothing to measure: {', '.join(what)}", file=sys.stderr)
        return 2
    end_on_sigterm()
    names = {one.name for one in asked if one.name not in missing}
    left_out = [f"{name}: needs {', '.join(what)}" for name, what in missing.items()]
    try:
        return measure(given, there, names, wanted, left_out)
    except KeyboardInterrupt:
        print("interrupted; what was started has been stopped; RESUME=1 goes on", file=sys.stderr)
        return TERMINATED
    except subprocess.CalledProcessError as error:
        print(f"the client of etcd and JetStream cannot be compiled: {error}", file=sys.stderr)
        return 2


def measure(
    given: argparse.Namespace,
    there: tools.Tools,
    names: set[str],
    wanted: list[Work],
    left_out: list[str],
) -> int:
    """Run all rounds and write what they gave."""
    plan = Plan(
        rounds=given.rounds,
        seconds=given.seconds,
        minutes=given.minutes,
        directory=given.directory,
    )
    place = given.directory or Path(tempfile.gettempdir())
    before = conditions(place, given.rounds, given.seconds, given.note)
    ledger = Ledger(given.out / "peers.jsonl", resume=given.resume)
    with tempfile.TemporaryDirectory(prefix="veritydb-peers-driver-") as directory:
        driver = tools.build_driver(there, Path(directory)) if there.go else None
        systems = [one for one in suite.systems(there, driver) if one.name in names]
        versions = {one.name: one.version for one in systems}
        failures = suite.run(plan, systems, versions, wanted, ledger)
    known: dict[str, tuple[str, bool]] = {one.name: (one.title, one.durable) for one in systems}
    found = compare.Comparison(
        conditions=before,
        workloads=compare.rows(ledger.found(plan.rounds, versions, plan.seconds), wanted, known),
        not_measured=left_out + failures,
    )
    (given.out / "peers.json").write_bytes(compare.to_json(found))
    print(tables.page(found))
    if given.docs is not None and given.rounds >= ROUNDS:
        tables.publish(found, given.docs)
    return 1 if found.not_measured else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
