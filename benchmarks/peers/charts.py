"""Charts of the comparison, as SVG: a panel for each workload, a line in it for each system."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.peers.compare import Row, SystemRow
from benchmarks.report import number

THROUGHPUT = "peers-throughput.svg"
LATENCY = "peers-latency.svg"
ABOUT = {
    THROUGHPUT: "Medians, with the least and the most of the rounds",
    LATENCY: "Milliseconds of a call: p50 (the figure), p99 and p99.9",
}
COLOURS = {
    "veritydb": "#0b6e4f",
    "etcd": "#3f6fb5",
    "jetstream": "#b5653f",
    "jetstream-unsafe": "#d9b8a6",
    "postgresql": "#6b5b95",
}
OTHER = "#777777"
COLUMNS = 2
WIDTH = 480
LABEL = 170
VALUE = 80
LINE = 20
HEAD = 34
GAP = 16
PLOT = WIDTH - LABEL - VALUE
STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}"
    ".axis{stroke:#ccc;stroke-width:1}.range{stroke:#222;stroke-width:1.5}"
)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Some words."""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def throughput_panel(systems: Mapping[str, SystemRow]) -> list[str]:
    """A bar for each system, and a line from the least to the most."""
    most = max(row.max for row in systems.values()) or 1.0
    drawn = [line(LABEL, 0, LABEL, LINE * len(systems), "axis")]
    for place, (name, row) in enumerate(systems.items()):
        middle = place * LINE + LINE / 2
        long, low, high = (PLOT * value / most for value in (row.median, row.min, row.max))
        drawn += [
            text(LABEL - 6, middle + 4, row.title, anchor="end"),
            f'<rect x="{LABEL}" y="{middle - 7:.1f}" width="{long:.1f}" height="14" '
            f'fill="{COLOURS.get(name, OTHER)}"/>',
            line(LABEL + low, middle, LABEL + high, middle, "range"),
            text(LABEL + max(long, high) + 6, middle + 4, number(row.median)),
        ]
    return drawn


def latency_panel(systems: Mapping[str, SystemRow]) -> list[str]:
    """Three marks for each system, on a scale of powers of ten."""
    known = {
        name: (row.title, (latency.p50, latency.p99, latency.p999))
        for name, row in systems.items()
        if (latency := row.best.latency_ms) is not None
    }
    every = [max(value, 0.001) for _, values in known.values() for value in values]
    first = math.floor(math.log10(min(every)))
    last = max(math.ceil(math.log10(max(every))), first + 1)

    def place(value: float) -> float:
        return LABEL + PLOT * (math.log10(max(value, 0.001)) - first) / (last - first)

    height = LINE * len(known)
    drawn = []
    for power in range(first, last + 1):
        x = place(10.0**power)
        drawn += [
            line(x, 0, x, height, "axis"),
            text(x, height + 12, f"{10.0**power:g}", anchor="middle"),
        ]
    for index, (name, (title, values)) in enumerate(known.items()):
        y = index * LINE + LINE / 2
        colour = COLOURS.get(name, OTHER)
        drawn += [
            text(LABEL - 6, y + 4, title, anchor="end"),
            line(place(values[0]), y, place(values[-1]), y, "range"),
        ]
        drawn += [
            f'<circle cx="{place(value):.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'
            for value, size in zip(values, (6, 4, 3), strict=True)
        ]
        drawn.append(text(place(values[-1]) + 8, y + 4, number(values[0])))
    return drawn


def sheet(panels: Sequence[tuple[str, int, list[str]]], about: str) -> str:
    """Panels with their titles and numbers of lines, side by side."""
    lines = max((count for _, count, _ in panels), default=0)
    height = HEAD + LINE * (lines + 1) + GAP
    rows = -(-len(panels) // COLUMNS)
    wide, high = COLUMNS * (WIDTH + GAP), HEAD + rows * height
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        text(GAP, HEAD / 2 + 4, about),
    ]
    for index, (title, _, marks) in enumerate(panels):
        x = GAP + (index % COLUMNS) * (WIDTH + GAP)
        y = HEAD + (index // COLUMNS) * height
        drawn.append(f'<g transform="translate({x} {y})">')
        drawn.append(text(0, HEAD / 2, title, "title"))
        drawn += [f'<g transform="translate(0 {HEAD})">', *marks, "</g></g>"]
    return "\n".join([*drawn, "</svg>"]) + "\n"


def heading(row: Row) -> str:
    """What a bar means."""
    less = "" if row.unit.endswith("/s") else " (less is better)"
    return f"{row.workload}, {row.unit}{less}"


def draw(rows: Sequence[Row]) -> dict[str, str]:
    """All charts, by the names of their files."""
    timed = [row for row in rows if any(one.best.latency_ms for one in row.systems.values())]
    rates = [(heading(row), len(row.systems), throughput_panel(row.systems)) for row in rows]
    waits = [(row.workload, len(row.systems), latency_panel(row.systems)) for row in timed]
    return {
        THROUGHPUT: sheet(rates, ABOUT[THROUGHPUT]),
        LATENCY: sheet(waits, ABOUT[LATENCY]),
    }
