"""`make nemesis`: clients at work for minutes while faults of every kind go on around the nodes.

    python -m nemesis --minutes 10 --every 4 --faults kill,island,clock

Exit status: 0 if no acknowledged event was lost or doubled, the recorded history is linearizable,
all nodes hold the same, `verify` passes on each, none has grown and none printed what clients sent;
1 if not; 3 if too little was done to mean anything; 4 if a planted lie was believed, or a planted
bug was not noticed. The data of a run that failed is kept.
"""

import argparse
import secrets
import shutil
import signal
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from nemesis.disks import NoMounts, go_private
from nemesis.nodes import Stuck
from nemesis.plants import PLANTS
from nemesis.report import show
from nemesis.rounds import KINDS, NEED_SMALL_DISKS
from nemesis.run import Plan, Result, run
from simulation.arguments import INTERRUPTED, Parser, one_of, positive
from simulation.canaries import NAMES as CANARIES
from veritydb.errors import VerityError

HOLDS, FAILED, LACKING, MISSED = 0, 1, 3, 4
console = Console(highlight=False)


def parse(arguments: list[str] | None = None) -> Plan:
    """Read the command line."""
    parser = Parser(prog="python -m nemesis", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=positive, default=10.0, help="how long; default 10")
    parser.add_argument(
        "--every", type=positive, default=4.0, help="seconds from one round to the next; default 4"
    )
    parser.add_argument(
        "--faults",
        type=kinds,
        default=(),
        help=f"some of {','.join(KINDS)}; default all that are possible on this machine",
    )
    parser.add_argument("--seed", type=int, default=None, help="repeats a choice of faults")
    parser.add_argument(
        "--plant", choices=[one for one in PLANTS if one], default="", help="a lie to be found"
    )
    parser.add_argument(
        "--canary",
        type=one_of("planted bug", CANARIES),
        help="a bug to be found",
        metavar="NAME",
    )
    given = parser.parse_args(arguments)
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    return Plan(given.minutes, given.every, given.faults, seed, given.plant, given.canary or "")


def kinds(text: str) -> tuple[str, ...]:
    """Kinds of faults, separated by commas."""
    found = tuple(dict.fromkeys(text.split(",")))
    if wrong := [one for one in found if one not in KINDS]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(KINDS)}")
    return found


def possible(plan: Plan) -> Plan:
    """The plan with the kinds that this machine allows. Raises NoMounts if one was asked for."""
    asked = plan.faults or tuple(KINDS)
    if any(kind in NEED_SMALL_DISKS for kind in asked):
        try:
            go_private()
        except NoMounts as error:
            if plan.faults:
                raise
            say(f"no {' and no '.join(NEED_SMALL_DISKS)}: {error}")
            asked = tuple(kind for kind in asked if kind not in NEED_SMALL_DISKS)
    return msgspec.structs.replace(plan, faults=asked)


def main(arguments: list[str] | None = None) -> int:
    """Run, show the result, return the exit code."""
    plan = parse(arguments)
    # What was started is then ended in order; if this process is killed, the system kills it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="veritydb-nemesis-"))
    try:
        plan = possible(plan)
        say(
            f"{plan.minutes:g} minutes, every {plan.every:g} s up to three of"
            f" {', '.join(plan.faults)}; --seed {plan.seed}"
        )
        result = run(folder, plan, say)
    except KeyboardInterrupt:
        console.print("interrupted")
        shutil.rmtree(folder, ignore_errors=True)
        return INTERRUPTED
    except (Stuck, VerityError, NoMounts) as error:
        console.print(f"[bold red]failed:[/] {error}", soft_wrap=True)
        console.print(f"the data is in {folder}")
        return HOLDS if plan.canary else FAILED
    show(console, result, plan.seed)
    if result.problems and not (plan.plant or plan.canary):
        console.print(f"the data is in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict(plan, result)


def verdict(plan: Plan, result: Result) -> int:
    """The exit status."""
    if planted := plan.plant or plan.canary:
        say(f"{planted!r} was planted, and {'found' if result.problems else 'NOT FOUND'}")
        return HOLDS if result.problems else MISSED
    if result.problems:
        return FAILED
    return LACKING if result.lacking else HOLDS


def say(text: str) -> None:
    """Print one line as it is."""
    console.print(text, markup=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
