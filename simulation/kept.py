"""The seeds that failed once, in a text file, for every search to run first."""

from hashlib import blake2b
from pathlib import Path

import msgspec

from simulation import case
from simulation.arguments import BadInput
from simulation.case import Case
from simulation.plan import Plan
from simulation.run import Result

FILE = Path(__file__).with_name("seeds.txt")
CASES = "regressions"
"""The folder beside the file for runs that are to outlive what their seed means."""
NO_CASE = "-"


class Kept(msgspec.Struct, frozen=True):
    """One line: a seed, what its plan was then, what it failed with, and the run on file."""

    seed: int
    plan: str
    failure: str
    case: Path | None

    def read(self) -> Case:
        """The run on file."""
        assert self.case is not None
        return case.read(self.case)


def digest(plan: Plan) -> str:
    """Tells whether a seed still stands for the plan that it stood for."""
    return blake2b(plan.text().encode(), digest_size=4).hexdigest()


def read(path: Path) -> list[Kept]:
    """The lines of the file, without comments; none if there is no file. Raises BadInput.

    The runs on file are read once here, so that a search does not end over them in its midst.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                seed, plan, name, *failure = words
                at = None if name == NO_CASE else path.parent / CASES / name
                kept = Kept(int(seed), plan, " ".join(failure), at)
            except ValueError as error:
                raise BadInput(f"{path} line {number}: not a seed, a digest and a file") from error
            if kept.case is not None:
                kept.read()
            found.append(kept)
    return found


def add(path: Path, plan: Plan, result: Result, drawn: Case | None) -> None:
    """Keep a seed that failed, with its run if there is a tape of it."""
    name = NO_CASE
    if drawn is not None and result.failure is not None:
        name = f"{result.failure[0]}-{plan.seed}.json"
        (path.parent / CASES).mkdir(exist_ok=True)
        (path.parent / CASES / name).write_text(drawn.text())
    with path.open("a") as file:
        file.write(f"{plan.seed} {digest(plan)} {name} {result.key}\n")
