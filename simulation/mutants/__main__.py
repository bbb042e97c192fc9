"""Take gates of the protocol away and see whether the simulator notices.

    python -m simulation.mutants --picks 20 --seed 7      twenty, drawn by chance
    python -m simulation.mutants --main                   all conditions, and durability gates
    python -m simulation.mutants --every                  their parts and edges, too (many hours)
    python -m simulation.mutants --only normal.py         those whose name holds this

Exit status: 0 at most a tenth survived, 4 more did, 3 no gate has such a name, 130 interrupted.
(2 is a wrong command line.)
"""

import sys
import time
from collections.abc import Sequence

from simulation.arguments import INTERRUPTED, Parser, processes, whole
from simulation.mutants.hunt import Verdict, draw, everything, hunt, main_ones
from simulation.report import EMPTY, SURVIVED

SEEDS = 2_000


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says and return the exit status."""
    parser = Parser(prog="python -m simulation.mutants", description=__doc__)
    parser.add_argument("--picks", type=whole(1), default=20, help="how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--main", action="store_true", help="take all that are drawn from")
    parser.add_argument("--every", action="store_true", help="take parts and edges as well")
    parser.add_argument("--only", default="", help="those whose name holds this text")
    parser.add_argument("--seeds", type=whole(1), default=SEEDS, help="of the standard mix, each")
    parser.add_argument(
        "--runs", type=whole(0), default=0, help="give one up after so many that matter"
    )
    parser.add_argument("--processes", type=processes, default=2, help="at a time")
    options = parser.parse_args(arguments)
    if options.every or options.main or options.only:
        every = everything() if options.every else main_ones()
        chosen = [each for each in every if options.only in each.name]
    else:
        chosen = draw(options.picks, options.seed)
    if not chosen:
        print(f"no gate has {options.only!r} in its name", file=sys.stderr)
        return EMPTY
    began = time.monotonic()
    found: list[Verdict] = []
    interrupted = False
    try:
        print(f"{len(chosen)} gates, up to {options.seeds:,} seeds each", flush=True)
        for verdict in hunt(chosen, options.seeds, options.processes, options.runs):
            found.append(verdict)
            print(line(verdict), flush=True)
    except KeyboardInterrupt:
        interrupted = True
        print(f"interrupted, with {len(chosen) - len(found)} still being hunted")
    survivors = [verdict for verdict in found if not verdict.caught]
    took = time.monotonic() - began
    print(f"{len(found) - len(survivors)} of {len(found)} caught in {took:.0f} s")
    if interrupted:
        return INTERRUPTED
    return SURVIVED if len(survivors) * 10 > len(found) else 0


def line(verdict: Verdict) -> str:
    """One row of the table."""
    site = verdict.site
    gate = f"{site.file}:{site.line} {site.function} | {site.kind} | {site.text}"
    fate = f"{verdict.caught} at seed {verdict.seeds}" if verdict.caught else "SURVIVED"
    return f"{fate} ({verdict.runs} runs) | {gate} | {site.whole} | {verdict.why[:160]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
