"""Tables of what was found at scale, and their place in the documentation."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from benchmarks.figures import spread
from benchmarks.report import number, put_into, table
from benchmarks.scale.results import (
    Faults,
    Finding,
    Flapping,
    FullLoad,
    Pause,
    Results,
    Row,
    Size,
    Stage,
)
from veritydb.server.pauses import BOUNDS_MS

BEGIN = "<!-- scale: begin (written by `make bench-scale`) -->"
END = "<!-- scale: end -->"
F = TypeVar("F", bound=Finding)

FAULT_HEADS = ("fault of the primary", "times", "s without an acknowledgement, median", "worst")
HARM_HEADS = ("acknowledged", "unknown", "lost", "duplicated")
FLAP_HEADS = ("connections reset every 200 ms", "s", "view changes", "longest silence, s")
LOAD_HEADS = ("", "minutes", "view changes", "events/s", "longest silence, s", "snapshots made")
LOAD_MORE = ("snapshots taken up", "RSS of a node, MiB", "cores used", "calls refused")
STAGE_HEADS = ("database", "events", "batches of", "events/s", "RSS of a node, MiB")
STAGE_MORE = ("bytes written/event and node", "bytes of its disk/event")
START_HEADS = ("start after SIGKILL, page cache dropped", "a backup ready again, s", "its CPU, s")
START_MORE = ("all three, until an append is acknowledged, s", "RSS then, MiB", "lost")
PAUSE_HEADS = ("holds the loop up", "what", "longest, ms")


def of_kind(results: Results, kind: type[F]) -> Iterator[tuple[str, F]]:
    """The findings of one kind, with their names."""
    for name, row in results.rows.items():
        if isinstance(row.found, kind):
            yield name, row.found


def fault_row(name: str, found: Faults) -> list[str]:
    """One fault, many times."""
    silent = spread([run.silent_s for run in found.runs])
    return [
        name,
        str(len(found.runs)),
        f"{silent.median:.2f}",
        f"{silent.high:.2f}",
        f"{sum(run.acknowledged for run in found.runs):,}",
        *(str(sum(getattr(run, harm) for run in found.runs)) for harm in HARM_HEADS[1:]),
    ]


def flapping_row(name: str, found: Flapping) -> list[str]:
    """One kind of flapping."""
    counts = (found.acknowledged, found.lost, found.duplicated)
    return [
        name,
        f"{found.seconds:.0f}",
        str(found.view_changes),
        f"{found.silent_s:.2f}",
        *map("{:,}".format, counts),
    ]


def load_row(name: str, found: FullLoad) -> list[str]:
    """A long time of full load."""
    return [
        f"{name}, {found.streams:,} streams",
        f"{found.seconds / 60:.1f}",
        str(found.view_changes),
        number(found.events_per_s),
        f"{found.silent_s:.2f}",
        str(found.snapshots),
        str(found.transfers),
        number(found.node_rss_mib),
        f"{found.cores_used:.2f}",
        str(found.refused),
    ]


def stage_row(name: str, stage: Stage) -> list[str]:
    """One stage of growth."""
    return [
        name,
        f"{stage.events:,}",
        f"{stage.batch:,}",
        number(stage.events_per_s),
        number(stage.node_rss_mib),
        "–" if stage.written is None else number(stage.written),
        number(stage.disk_bytes),
    ]


def start_row(name: str, found: Size) -> list[str]:
    """A start."""
    once = found.restart
    return [
        f"{name}, {once.events:,} events",
        f"{once.node_s:.2f}",
        f"{once.node_cpu_s:.2f}",
        f"{once.cluster_s:.2f}",
        number(found.started_rss_mib),
        str(once.lost),
    ]


def pause_rows(name: str, pauses: list[Pause]) -> Iterator[list[str]]:
    """A histogram of each thing that holds the loop up."""
    for one in pauses:
        counts = map("{:,}".format, one.counts)
        yield [name, one.what, f"{one.longest_ms:.1f}" if one.longest_ms else "–", *counts]


def tables(results: Results) -> list[str]:
    """The lines of all tables there are figures for."""
    loads = list(of_kind(results, FullLoad))
    sizes = list(of_kind(results, Size))
    bounds = [f"≤ {bound:,} ms" for bound in BOUNDS_MS] + ["longer"]
    pauses = [row for name, one in loads for row in pause_rows(name, one.pauses)]
    for name, one in sizes:
        for stage in one.stages:
            pauses += pause_rows(f"{name}, up to {stage.events:,} events", stage.pauses)
    parts: list[tuple[tuple[str, ...], list[list[str]]]] = [
        (FAULT_HEADS + HARM_HEADS, [fault_row(*one) for one in of_kind(results, Faults)]),
        (
            (*FLAP_HEADS, "acknowledged", "lost", "duplicated"),
            [flapping_row(*one) for one in of_kind(results, Flapping)],
        ),
        (LOAD_HEADS + LOAD_MORE, [load_row(*one) for one in loads]),
        (
            STAGE_HEADS + STAGE_MORE,
            [stage_row(name, stage) for name, one in sizes for stage in one.stages],
        ),
        (START_HEADS + START_MORE, [start_row(*one) for one in sizes]),
        ((*PAUSE_HEADS, *bounds), pauses),
    ]
    return [line for heads, rows in parts if rows for line in (*table(heads, rows), "")]


def conditions(name: str, row: Row) -> str:
    """Under what one row was measured."""
    now = row.conditions
    changed = " with uncommitted changes" if now.changed else ""
    return (
        f"- {name}: {now.at}, commit {now.commit or 'unknown'}{changed}, {now.cores} cores "
        f"({now.processor}), {now.filesystem}, load before {now.load_before:.1f}."
    )


def page(results: Results) -> str:
    """All of it in Markdown."""
    lines = tables(results)
    if results.failures:
        failed = (f"- {name}: {why}" for name, why in results.failures.items())
        lines += ["Not measured:", "", *failed, ""]
    lines += ["Measured:", "", *(conditions(name, row) for name, row in results.rows.items())]
    return "\n".join(lines) + "\n"


def update(path: Path, results: Results) -> None:
    """Write the tables into a page."""
    text = path.read_text(encoding="utf-8")
    path.write_text(put_into(text, page(results), BEGIN, END), encoding="utf-8")
