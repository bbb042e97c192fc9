"""The comparison for people: tables, charts, and their place in the documentation."""

from pathlib import Path

from benchmarks import report
from benchmarks.figures import Spread
from benchmarks.peers import charts
from benchmarks.peers.compare import Comparison, Row, SystemRow, Way
from benchmarks.report import number, ranged

BEGIN = "<!-- peers: begin (written by `make bench-peers`) -->"
END = "<!-- peers: end -->"
PAGE = "performance.md"
CHARTS = "charts"
NOTHING = "–"


def optional(value: float | None) -> str:
    """A figure, if there is one."""
    return NOTHING if value is None else number(value)


def cell(row: SystemRow | None) -> str:
    """What a system reached."""
    return NOTHING if row is None else ranged(Spread(row.median, row.min, row.max))


def times(value: float | None) -> str:
    """A ratio."""
    return NOTHING if value is None else f"{value:.2f}×"


def titles(comparison: Comparison) -> dict[str, str]:
    """The systems that were measured at all."""
    return {name: row.title for one in comparison.workloads for name, row in one.systems.items()}


def rates(comparison: Comparison) -> list[str]:
    """Every workload and what each system reached."""
    columns = titles(comparison)
    heads = ["", *columns.values(), "× the best durable peer", "× the best peer"]
    lines = [
        [
            f"{row.workload}, {row.unit}",
            *(cell(row.systems.get(name)) for name in columns),
            times(row.ratio_to_best_durable),
            times(row.ratio_to_best),
        ]
        for row in comparison.workloads
    ]
    return report.table(heads, lines)


DETAILS = (
    "system: client",
    "{unit}",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "servers' CPU µs/event",
    "clients' CPU µs/event",
    "syncs/event",
    "bytes to disk/event and node",
    "memory of three nodes, MiB",
    "others' cores",
)


def detail(name: str, way: Way) -> list[str]:
    """One line of a workload's own table."""
    latency = way.latency_ms
    return [
        name,
        ranged(Spread(way.median, way.min, way.max)),
        *(
            [NOTHING] * 3
            if latency is None
            else map(number, (latency.p50, latency.p99, latency.p999))
        ),
        optional(way.server_cpu_us),
        optional(way.client_cpu_us),
        optional(way.syncs),
        optional(way.written),
        optional(way.memory_mib),
        optional(way.others_cores),
    ]


def details(row: Row) -> list[str]:
    """All systems in all of their ways at one workload."""
    lines = [
        detail(f"{system.title}: {name}", way)
        for system in row.systems.values()
        for name, way in system.ways.items()
    ]
    heads = [head.format(unit=row.unit) for head in DETAILS]
    return [f"{row.workload}:", "", *report.table(heads, lines), ""]


def versions(comparison: Comparison) -> str:
    """What exactly was measured."""
    found: dict[str, str] = {}
    for row in comparison.workloads:
        for system in row.systems.values():
            found.setdefault(system.title, system.version)
    return ", ".join(f"{title}: {version}" for title, version in found.items())


def page(comparison: Comparison) -> str:
    """All of it in Markdown."""
    now = comparison.conditions
    lines = [
        f"{now.at}. {now.cores} cores ({now.processor}), {now.memory_gib:.0f} GiB, "
        f"{now.filesystem}, Linux {now.kernel}, Python {now.python}. {versions(comparison)}. "
        f"{now.rounds} rounds of {now.seconds:g} s each after 1 s of warming up; medians, in "
        f"parentheses the least and the most. Load before: {now.load_before:.1f}.",
        "",
        *([now.note, ""] if now.note else []),
        *rates(comparison),
        "",
    ]
    for row in comparison.workloads:
        lines += details(row)
    errors = [
        f"- {system.title}, {name}, {row.workload}: {error}"
        for row in comparison.workloads
        for system in row.systems.values()
        for name, way in system.ways.items()
        for error in way.errors
    ]
    if errors:
        lines += ["Errors on the way:", "", *errors, ""]
    if comparison.not_measured:
        lines += ["Not measured:", "", *(f"- {one}" for one in comparison.not_measured), ""]
    return "\n".join(lines).rstrip() + "\n"


def publish(comparison: Comparison, docs: Path) -> None:
    """Write tables and charts into the documentation."""
    (docs / CHARTS).mkdir(exist_ok=True)
    drawn = charts.draw(comparison.workloads)
    for name, text in drawn.items():
        (docs / CHARTS / name).write_text(text, encoding="utf-8")
    links = "\n\n".join(f"![{about}]({CHARTS}/{name})" for name, about in charts.ABOUT.items())
    path = docs / PAGE
    text = path.read_text(encoding="utf-8")
    measured = f"{links}\n\n{page(comparison)}"
    path.write_text(report.put_into(text, measured, BEGIN, END), encoding="utf-8")
