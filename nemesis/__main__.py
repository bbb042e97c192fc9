"""`make nemesis`: publish for minutes while random nodes are killed, and account for every event.

    python -m nemesis --minutes 10 --every 5 --faults kill,stop,flip,wipe,blackout,standstill

Exit code 0 only if no acknowledged event was lost or doubled, all nodes hold the same, `verify`
passes on each, and none has grown. The data of a run that failed is kept.
"""

import argparse
import secrets
import shutil
import signal
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nemesis import checks
from nemesis.faults import KINDS
from nemesis.memory import MIB
from nemesis.nodes import Stuck
from nemesis.run import Plan, Result, run
from veritydb.errors import VerityError

console = Console(highlight=False)


def parse(arguments: list[str] | None = None) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m nemesis", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=positive, default=10.0, help="how long; default 10")
    parser.add_argument(
        "--every", type=positive, default=5.0, help="seconds from one fault to the next; default 5"
    )
    parser.add_argument(
        "--faults",
        type=kinds,
        default=["kill"],
        help=f"some of {','.join(KINDS)}, one named twice comes twice as often; default kill",
    )
    parser.add_argument("--seed", type=int, default=None, help="repeats a choice of faults")
    given = parser.parse_args(arguments)
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    return Plan(given.minutes, given.every, given.faults, seed)


def positive(text: str) -> float:
    """A number above zero."""
    number = float(text)
    if not 0 < number < 1_000_000:
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def kinds(text: str) -> list[str]:
    """Kinds of faults, separated by commas."""
    found = text.split(",")
    if wrong := [one for one in found if one not in KINDS]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(KINDS)}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, show the result, return the exit code."""
    plan = parse(arguments)
    # The nodes must not outlive this process, however it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="veritydb-nemesis-"))
    console.print(
        f"{plan.minutes:g} minutes, every {plan.every:g} s one of {', '.join(plan.faults)};"
        f" --seed {plan.seed}"
    )
    try:
        result = run(folder, plan, say)
    except KeyboardInterrupt:
        console.print("interrupted")
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    except (Stuck, VerityError) as error:
        console.print(f"[bold red]failed:[/] {error}", soft_wrap=True)
        console.print(f"the data is in {folder}")
        return 1
    show(result)
    if result.problems:
        console.print(f"the data is in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def say(text: str) -> None:
    """Print one line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def show(result: Result) -> None:
    """Print the result."""
    sums = checks.totals(result.verdicts.values())
    table = Table(show_header=False, title="what came of it", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for kind, count in result.faults.items():
        table.add_row(f"faults: {kind}", str(count))
    table.add_row("events acknowledged", f"{sums['acknowledged']:,}")
    table.add_row("events read back from each node", f"{sums['read']:,}")
    table.add_row("events given up by retention", f"{sums['given up']:,}")
    table.add_row("lost", str(sums["lost"]))
    table.add_row("duplicated", str(sums["duplicated"]))
    table.add_row("events/s", f"{sums['acknowledged'] / result.seconds:,.0f}")
    table.add_row("longest time in which no publisher was served, s", f"{result.silence:.2f}")
    for name, count in sorted(result.errors.items()):
        table.add_row(f"answers: {name}", str(count))
    for name, flat in result.memory.items():
        said = "too few samples"
        if flat is not None:
            said = f"{flat.second / MIB:.1f}, {flat.last / MIB:.1f} ({flat.per_minute / MIB:+.2f})"
        table.add_row(f"{name}: MiB in second and last quarter (per minute)", said)
    judged = [flat.flat for flat in result.memory.values() if flat is not None]
    table.add_row("memory flat", "too short to tell" if None in judged else yes(all(judged)))
    table.add_row("everything holds", yes(not result.problems))
    console.print(table)
    for problem in result.problems:
        say(f"PROBLEM {problem}")


def yes(fact: bool) -> str:
    """A fact in a word."""
    return "yes" if fact else "NO"


if __name__ == "__main__":
    raise SystemExit(main())
