"""Hunting planted bugs: how many seeds of the standard mix it takes, from several starts."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from statistics import median_low
from traceback import format_exc
from typing import NamedTuple

from simulation import canaries
from simulation.run import simulate
from simulation.workers import Lost, share

SEEDS_MAX = 500
STARTS_MAX = 5
STARTS_MIN = 3
SEEDS_ENOUGH = 40
"""After so many seeds altogether no more starts are tried than have to be."""
START_EVERY = 100_000


class Found(NamedTuple):
    """What became of a hunt: for each start the checker that failed first, and after how many."""

    name: str
    tripped: tuple[tuple[str, int], ...]
    trouble: str = ""

    @property
    def seeds(self) -> int:
        """The median."""
        return median_low([seeds for _, seeds in self.tripped]) if self.tripped else SEEDS_MAX

    @property
    def checkers(self) -> tuple[str, ...]:
        """Which checkers failed first, each once."""
        return tuple(dict.fromkeys(checker for checker, _ in self.tripped))


def hunt(name: str, starts: int = STARTS_MAX) -> Found:
    """Plant a bug and run seeds until it is found, from one start after the other."""
    canary = canaries.find(name)
    tripped: list[tuple[str, int]] = []
    try:
        canary.plant()
        for start in range(starts):
            found = _first(1 + start * START_EVERY)
            tripped.append(found)
            enough = sum(seeds for _, seeds in tripped) >= SEEDS_ENOUGH
            if found[0] not in canary.finders or (enough and start + 1 >= STARTS_MIN):
                break
    except Exception:
        # What it changes is not there any more: that has to be mended, not hidden.
        return Found(name, tuple(tripped), format_exc())
    return Found(name, tuple(tripped))


def _first(start: int) -> tuple[str, int]:
    for seed in range(start, start + SEEDS_MAX):
        result = simulate(seed)
        if result.failure is not None:
            return result.failure[0], seed - start + 1
    return "", SEEDS_MAX


def problem(found: Found) -> str:
    """What is wrong with the result of a hunt, or nothing."""
    finders = canaries.find(found.name).finders
    if found.trouble:
        return "could not be hunted: " + found.trouble.strip().splitlines()[-1]
    if "" in found.checkers or not found.checkers:
        return "SURVIVED"
    if not set(found.checkers) <= set(finders):
        return "found by another: must be " + " or ".join(finders)
    return ""


def hunts(names: Sequence[str], processes: int, starts: int) -> Iterator[Found]:
    """Hunt some, each in a process of its own, for a planted bug stays in its process."""
    for name, done in share(iter(names), partial(hunt, starts=starts), processes, each_anew=True):
        if isinstance(done, Lost):
            yield Found(name, (), f"its process ended with status {done.status}")
        else:
            yield done


def row(found: Found) -> str:
    """One line of the table."""
    starts = len(found.tripped)
    tripped = ", ".join(each or "nothing" for each in found.checkers)
    head = f"{found.name:<34} {tripped:<40} {found.seeds:>5} {starts:>6}"
    return f"{head}  {problem(found)}".rstrip()


HEAD = f"{'planted bug':<34} {'tripped':<40} {'seeds':>5} {'starts':>6}"


def summary(results: Iterable[Found]) -> str:
    """The last line."""
    all_of_them = list(results)
    bad = sum(1 for found in all_of_them if problem(found))
    seeds = sorted(found.seeds for found in all_of_them if not problem(found))
    middle = median_low(seeds) if seeds else 0
    most = seeds[-1] if seeds else 0
    return (
        f"{len(all_of_them) - bad} of {len(all_of_them)} found as they must be; "
        f"{middle} seeds in the median, {most} at most"
    )
