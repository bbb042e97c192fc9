"""Tables for people, and their place in a page of the documentation."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.appends import Appended
from benchmarks.figures import Spread, spread
from benchmarks.results import AppendRow, Results

BEGIN = "<!-- measured: begin (written by `make bench`) -->"
END = "<!-- measured: end -->"
GOOD_DIGITS = 3
R = TypeVar("R")


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        digits = max(len(str(int(abs(value)))) - GOOD_DIGITS, 0)
        return f"{round(value, -digits):,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def ranged(value: Spread) -> str:
    """A median with what it lies between."""
    if value.low == value.high:
        return number(value.median)
    return f"{number(value.median)} ({number(value.low)}–{number(value.high)})"


def over(runs: Sequence[R], figure: Callable[[R], float | None], *, bounds: bool = False) -> str:
    """One figure of all rounds: its median, with or without its bounds."""
    values = [value for run in runs if (value := figure(run)) is not None]
    if not values:
        return "–"
    found = spread(values)
    return ranged(found) if bounds else number(found.median)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown; all columns but the first hold figures."""
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


APPEND_HEADS = (
    "appends",
    "events/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "servers' CPU µs/event",
    "clients' CPU µs/event",
    "disk flushes/event",
    "bytes written/event and node",
    "of the disk",
    "RSS of a node, MiB",
    "others' cores",
)


def milliseconds(quantile: str) -> Callable[[Appended], float | None]:
    """How to look up one quantile of a measurement."""

    def look_up(run: Appended) -> float | None:
        return None if run.latency is None else getattr(run.latency, quantile)

    return look_up


def append_row(row: AppendRow) -> list[str]:
    """One line of the table of appends."""
    runs = row.runs
    return [
        row.name,
        over(runs, lambda run: run.events_per_s, bounds=True),
        over(runs, milliseconds("p50"), bounds=True),
        over(runs, milliseconds("p99")),
        over(runs, milliseconds("p999")),
        over(runs, lambda run: run.server_cpu_us),
        over(runs, lambda run: run.client_cpu_us),
        over(runs, lambda run: run.flushes),
        over(runs, lambda run: run.written),
        over(runs, lambda run: run.disk_written),
        over(runs, lambda run: run.node_rss_mib),
        over(runs, lambda run: run.others_cores),
    ]


def tables(results: Results) -> list[str]:
    """The lines of all tables there are figures for."""
    lines: list[str] = []
    if results.appends:
        lines += [*table(APPEND_HEADS, map(append_row, results.appends)), ""]
    if results.reads:
        heads = ("catch-up read", "events/s", "servers' CPU µs/event", "client's CPU µs/event")
        rows = [
            [
                row.name,
                over(row.runs, lambda run: run.events_per_s, bounds=True),
                over(row.runs, lambda run: run.server_cpu_us),
                over(row.runs, lambda run: run.client_cpu_us),
            ]
            for row in results.reads
        ]
        lines += [*table(heads, rows), ""]
    if results.outages:
        lines += [*outage_table(results), ""]
    if results.restarts:
        lines += [*restart_table(results), ""]
    if results.failures:
        lines += ["Not measured:", "", *(f"- {failure}" for failure in results.failures), ""]
    return lines


def outage_table(results: Results) -> list[str]:
    """What faults of the primary cost."""
    heads = (
        "fault of the primary",
        "seconds without an acknowledgement",
        "until it had caught up again, s",
        "acknowledged",
        "unknown",
        "lost",
        "duplicated",
        "times",
    )
    rows = [
        [
            row.name,
            over(row.runs, lambda run: run.silent_s, bounds=True),
            over(row.runs, lambda run: run.returned_s, bounds=True),
            str(sum(run.acknowledged for run in row.runs)),
            str(sum(run.unknown for run in row.runs)),
            str(sum(run.lost for run in row.runs)),
            str(sum(run.duplicated for run in row.runs)),
            str(len(row.runs)),
        ]
        for row in results.outages
    ]
    return table(heads, rows)


def restart_table(results: Results) -> list[str]:
    """What starting after SIGKILL takes."""
    heads = (
        "start after SIGKILL",
        "a backup ready again, s",
        "its CPU, s",
        "all three, until an append is acknowledged, s",
        "lost",
    )
    rows = [
        [
            row.name,
            over(row.runs, lambda run: run.node_s, bounds=True),
            over(row.runs, lambda run: run.node_cpu_s),
            over(row.runs, lambda run: run.cluster_s, bounds=True),
            str(sum(run.lost for run in row.runs)),
        ]
        for row in results.restarts
    ]
    return table(heads, rows)


def describe(results: Results) -> list[str]:
    """The conditions, in words."""
    now = results.conditions
    packages = ", ".join(f"{name} {version}" for name, version in now.packages.items())
    changed = " with uncommitted changes" if now.changed else ""
    return [
        f"{now.at}, commit {now.commit or 'unknown'}{changed}. {now.cores} cores "
        f"({now.processor}), {now.memory_gib:.0f} GiB, {now.filesystem}, Linux {now.kernel}, "
        f"Python {now.python}, {packages}. {now.rounds} rounds of {now.seconds:g} s each after "
        f"1 s of warming up; medians, in parentheses the least and the most. "
        f"Load before: {now.load_before:.1f}.",
        "",
        *([now.note, ""] if now.note else []),
    ]


def page(results: Results) -> str:
    """All of it in Markdown."""
    return "\n".join([*describe(results), *tables(results)]).rstrip() + "\n"


def put_into(text: str, measured: str, begin: str = BEGIN, end: str = END) -> str:
    """Replace what stands between the markers of a page. Raises ValueError if they are missing."""
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page has no place for figures: {begin} ... {end}")
    return f"{head}{begin}\n\n{measured.strip()}\n\n{end}{tail}"


def update(path: Path, results: Results) -> None:
    """Write the figures into a page."""
    path.write_text(put_into(path.read_text(encoding="utf-8"), page(results)), encoding="utf-8")
