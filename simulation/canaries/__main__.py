"""`python -m simulation.canaries`: plant every bug, and print which checker found it how soon.

Exit status: 0 all found, each by a checker that it names; 4 one survived, or another found it;
130 interrupted, and all that were hunted until then are well. (2 is a wrong command line.)
"""

import sys

from simulation import canaries
from simulation.arguments import INTERRUPTED, Parser, new_file, one_of, processes, whole
from simulation.canaries import hunt
from simulation.canaries.pitfalls import page
from simulation.report import SURVIVED


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    parser = Parser(prog="python -m simulation.canaries")
    parser.add_argument(
        "--only",
        nargs="*",
        type=one_of("planted bug", canaries.NAMES),
        default=[],
        metavar="NAME",
        help="the names of those to plant",
    )
    parser.add_argument("--processes", type=processes, default=2, help="how many at a time")
    parser.add_argument("--starts", type=whole(1), default=hunt.STARTS_MAX, help="at most so many")
    parser.add_argument("--write", type=new_file, help="write the tables of docs/canaries.md")
    options = parser.parse_args(arguments)
    chosen = [name for name in canaries.NAMES if not options.only or name in options.only]
    results: list[hunt.Found] = []
    interrupted = False
    try:
        print(hunt.HEAD, flush=True)
        for found in hunt.hunts(chosen, options.processes, options.starts):
            results.append(found)
            print(hunt.row(found), flush=True)
    except KeyboardInterrupt:
        interrupted = True
        print(f"interrupted, with {len(chosen) - len(results)} to go")
    print(hunt.summary(results))
    if options.write and not interrupted:
        results.sort(key=lambda found: chosen.index(found.name))
        options.write.write_text(page(results))
    if any(hunt.problem(found) for found in results):
        return SURVIVED
    return INTERRUPTED if interrupted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
