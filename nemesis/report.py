"""What a run shows in the end."""

from rich.console import Console
from rich.table import Table

from nemesis import checks
from nemesis.memory import MIB, Flatness
from nemesis.run import Result


def show(console: Console, result: Result, seed: int) -> None:
    """Print the tables, and what does not hold."""
    console.print(faults(result))
    console.print(outcome(result, seed))
    for problem in result.problems:
        console.print(f"PROBLEM {problem}", markup=False, soft_wrap=True)
    for what in result.lacking:
        console.print(f"TOO LITTLE: {what}", markup=False, soft_wrap=True)


def faults(result: Result) -> Table:
    """What was done, and what it caused together with what came with it."""
    table = Table(title="faults, each with what came with it", title_justify="left")
    table.add_column("kind")
    for name in ("count", "leader changes", "longest without service, s", "longest recovery, s"):
        table.add_column(name, justify="right")
    for kind, one in result.accounts.items():
        table.add_row(
            kind,
            str(one.count),
            str(one.leader_changes),
            f"{one.silence:.2f}",
            f"{one.recovery:.2f}",
        )
    total = sum(one.count for one in result.accounts.values())
    fired = sum(one.count > 0 for one in result.accounts.values())
    table.add_section()
    table.add_row(f"{fired} kinds", str(total), "", f"{result.silence:.2f}", "")
    return table


def outcome(result: Result, seed: int) -> Table:
    """The account."""
    sums = checks.totals(result.verdicts.values())
    judged = result.judgement
    table = Table(show_header=False, title="what came of it", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("events acknowledged", f"{sums['acknowledged']:,}")
    table.add_row("events read back from each node", f"{sums['read']:,}")
    table.add_row("events given up by retention", f"{sums['given up']:,}")
    table.add_row("lost", str(sums["lost"]))
    table.add_row("duplicated", str(sums["duplicated"]))
    table.add_row("events/s", f"{sums['acknowledged'] / result.seconds:,.0f}")
    for name, count in sorted(result.errors.items()):
        table.add_row(f"answers: {name}", str(count))
    table.add_section()
    table.add_row("recorded operations, all replayed", f"{judged.operations:,}")
    table.add_row("events acknowledged to them", f"{judged.acknowledged:,}")
    table.add_row("operations that were never answered", f"{judged.unknown:,}")
    table.add_row("operations searched for another order", f"{judged.searched:,}")
    table.add_row("streams, and searches given up", f"{judged.streams}, {judged.given_up}")
    table.add_section()
    for name, flat in result.memory.items():
        table.add_row(f"{name}: MiB in second and last quarter (per minute)", memory(flat))
    flats = [flat.flat for flat in result.memory.values() if flat is not None]
    table.add_row("memory flat", "too short to tell" if None in flats else yes(all(flats)))
    table.add_row("everything holds", yes(not result.problems))
    table.add_row("enough was done", yes(not result.lacking))
    table.add_row("the same faults again", f"--seed {seed}")
    return table


def memory(flat: Flatness | None) -> str:
    """One node's memory over time."""
    if flat is None:
        return "too few samples"
    return f"{flat.second / MIB:.1f}, {flat.last / MIB:.1f} ({flat.per_minute / MIB:+.2f})"


def yes(fact: bool) -> str:
    """A fact in a word."""
    return "yes" if fact else "NO"
