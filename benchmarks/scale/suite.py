"""All that is measured at scale, by name, each with what it was told to do."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import outages
from benchmarks.scale import endurance, faults, sizes
from benchmarks.scale.results import Finding
from benchmarks.scale.sizes import Part

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything. `directory` holds the data; None: where temporary files go."""

    times: int = 20
    drops: int = 10
    flap_seconds: float = 60.0
    minutes: float = 30.0
    events: int = 10_000_000
    streams: int = 1_000_000
    snapshot_entries: int = 200_000
    transfer_ops: int = 20_000
    directory: Path | None = None


SMALL = Plan(
    times=2,
    drops=2,
    flap_seconds=10.0,
    minutes=0.75,
    events=100_000,
    streams=10_000,
    snapshot_entries=10_000,
    transfer_ops=500,
)


class Workload(msgspec.Struct, frozen=True):
    """What one is called, what tells its runs apart, and how it is run."""

    name: str
    parameters: dict[str, float]
    run: Callable[[Say], Finding]


def workloads(plan: Plan) -> list[Workload]:
    """All of them, in the order of the report."""
    where = plan.directory
    return [
        Workload(
            "SIGKILL of the primary",
            {"times": plan.times},
            lambda say: faults.in_a_row(outages.KILLED, plan.times, where, say),
        ),
        Workload(
            "SIGSTOP of the primary",
            {"times": plan.times},
            lambda say: faults.in_a_row(outages.STOPPED, plan.times, where, say),
        ),
        Workload(
            "dropped packets of the primary",
            {"times": plan.drops},
            lambda say: faults.dropped(plan.drops, where, say),
        ),
        Workload(
            "flapping between the primary and a backup",
            {"seconds": plan.flap_seconds},
            lambda _: faults.flapping(True, plan.flap_seconds, where),
        ),
        Workload(
            "flapping between the backups",
            {"seconds": plan.flap_seconds},
            lambda _: faults.flapping(False, plan.flap_seconds, where),
        ),
        full_load(plan),
        *growth(plan),
    ]


def full_load(plan: Plan) -> Workload:
    """The long one."""
    told = endurance.Plan(
        seconds=plan.minutes * 60, streams=plan.streams, transfer_ops=plan.transfer_ops
    )
    settings = (
        f"[server]\nsnapshot_entries = {plan.snapshot_entries}\n"
        f"transfer_ops = {plan.transfer_ops}\n"
    )
    return Workload(
        "full load",
        {"minutes": plan.minutes, "streams": plan.streams, "transfer_ops": plan.transfer_ops},
        lambda say: endurance.measure(told, settings, plan.directory, say),
    )


def growth(plan: Plan) -> list[Workload]:
    """Few streams with much in each, more with the mix that a start is judged by, and many."""
    tenth, half = plan.events // 10, plan.events // 2
    shapes = [
        (plan.streams // 1_000, [Part(tenth, 1_000, 4, 2), Part(plan.events - tenth, 1_000, 4, 2)]),
        (plan.streams // 10, [Part(half, 1, 16, 2), Part(half, 100, 8, 2)]),
        (plan.streams, [Part(plan.streams, 1, 64, 2), Part(plan.streams, 100, 8, 2)]),
    ]
    return [
        Workload(
            f"{streams:,} streams",
            {"streams": streams, "events": sum(part.events for part in parts)},
            lambda _, streams=streams, parts=parts: sizes.measure(  # type: ignore[misc]
                streams, parts, plan.directory
            ),
        )
        for streams, parts in shapes
    ]
