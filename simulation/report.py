"""What is said of runs, and the exit statuses that go with it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from simulation import timeline
from simulation.plan import Plan
from simulation.run import Result

PASSED, FAILED, EMPTY, SURVIVED, UNREACHED = 0, 1, 3, 4, 5
LINES = 60


def status(results: Iterable[Result]) -> int:
    """The exit status for some results."""
    worst = PASSED
    for result in results:
        if result.failure:
            return FAILED
        if result.empty:
            worst = EMPTY
    return worst


def report(
    result: Result,
    plan: Plan,
    again: str,
    wanted: Sequence[str] | None = None,
    colour: bool = False,
) -> str:
    """What to say of one run: its plan, its timeline as far as there is one, what came of it.

    `again` says how to repeat it. `wanted` are the words that choose lines of the timeline, none
    for all; without it the last lines are shown.
    """
    if wanted is None:
        lines = result.timeline[-LINES:]
    else:
        lines = list(timeline.chosen(result.timeline, wanted))
    parts = [plan.text()]
    if lines:
        parts += timeline.text(lines, colour)
    parts.append(
        f"seed {result.seed}: {result.events} events in {result.time / 1e9:.1f} simulated seconds, "
        f"trace {result.trace}"
    )
    parts.append("  ".join(f"{name}={value}" for name, value in result.counts.items()))
    parts.append(verdict(result, again))
    return "\n".join(parts)


def verdict(result: Result, again: str) -> str:
    """What came of a run."""
    if result.failure is not None:
        checker, what = result.failure
        return f"FAILED {checker}: {what}\n{again}"
    return f"EMPTY: {result.empty}\n{again}" if result.empty else "passed"


def by_seed(seed: int, plant: str = "") -> str:
    """How to see a seed's run again, with what was planted, and less of it."""
    if plant:
        return f"{repeat(f'--seed {seed}', plant)} (--trace; less: --shrink-seed {seed})"
    return (
        f"repeat with: make sim SEED={seed}      its timeline: make sim SEED={seed} TRACE=1      "
        f"less of it: make sim SHRINK={seed}"
    )


def by_file(path: Path | str, plant: str = "") -> str:
    """How to see a run again that is on file."""
    return repeat(f"--trace --replay {quote(str(path))}", plant)


def repeat(what: str, plant: str) -> str:
    """The command that does something again, with what was planted."""
    planted = f" --plant {quote(plant)}" if plant else ""
    return f"repeat with: python -m simulation {what}{planted}"
