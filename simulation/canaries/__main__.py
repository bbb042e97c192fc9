"""`python -m simulation.canaries`: plant every bug, and print which checker found it how soon.

Exit status: 0 all found, each by a checker that it names; 4 one survived, or another found it.
"""

import argparse
import sys
from pathlib import Path

from simulation import canaries
from simulation.canaries import hunt
from simulation.canaries.pitfalls import page
from simulation.report import SURVIVED


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m simulation.canaries")
    parser.add_argument("--only", nargs="*", default=[], help="the names of those to plant")
    parser.add_argument("--processes", type=int, default=2, help="how many at a time")
    parser.add_argument("--starts", type=int, default=hunt.STARTS_MAX, help="at most so many")
    parser.add_argument("--write", type=Path, help="write the tables of docs/canaries.md")
    options = parser.parse_args(arguments)
    chosen = [name for name in canaries.NAMES if not options.only or name in options.only]
    results = []
    print(hunt.HEAD)
    for found in hunt.hunts(chosen, options.processes, options.starts):
        results.append(found)
        print(hunt.row(found), flush=True)
    print(hunt.summary(results))
    if options.write:
        options.write.write_text(page(results))
    return SURVIVED if any(hunt.problem(found) for found in results) or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
