"""What is found at scale, a row for each workload; what is interrupted goes on behind them."""

from pathlib import Path

import msgspec

from benchmarks.conditions import Conditions
from benchmarks.outages import Outage, Restart


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """How often something held a node's loop up for how long; the worst node of a window."""

    what: str
    longest_ms: float
    counts: list[int]


class Faults(msgspec.Struct, frozen=True, kw_only=True, tag="faults"):
    """The same fault of the primary, many times in a row."""

    runs: list[Outage]


class Flapping(msgspec.Struct, frozen=True, kw_only=True, tag="flapping"):
    """Connections that are reset again and again, and nothing else."""

    seconds: float
    resets: int
    view_changes: int
    acknowledged: int
    silent_s: float
    lost: int
    duplicated: int


class FullLoad(msgspec.Struct, frozen=True, kw_only=True, tag="full_load"):
    """Both cores busy for a long time, with a snapshot and state transfers meanwhile."""

    seconds: float
    streams: int
    events: int
    events_per_s: float
    view_changes: int
    snapshots: int
    transfers: int
    silent_s: float
    refused: int
    node_rss_mib: float
    cores_used: float
    pauses: list[Pause]
    errors: list[str]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How things stood when so many events were there. Rates are of the events since the last."""

    events: int
    batch: int
    events_per_s: float
    node_rss_mib: float
    written: float | None
    disk_bytes: float
    pauses: list[Pause]


class Size(msgspec.Struct, frozen=True, kw_only=True, tag="size"):
    """A database of that many streams, and how it starts, with nothing of it in memory."""

    streams: int
    stages: list[Stage]
    restart: Restart
    started_rss_mib: float


Finding = Faults | Flapping | FullLoad | Size


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One workload, with the conditions it was measured under, and what it was told to do."""

    conditions: Conditions
    parameters: dict[str, float]
    found: Finding


class Results(msgspec.Struct, kw_only=True):
    """All there is, by name. What failed is told with its reason."""

    rows: dict[str, Row] = {}
    failures: dict[str, str] = {}


def load(path: Path) -> Results:
    """What earlier runs found."""
    if not path.exists():
        return Results()
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(path: Path, results: Results) -> None:
    """Write it as text for people and programs."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
