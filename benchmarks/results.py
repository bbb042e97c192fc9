"""All figures of a run, as they are written to JSON."""

import msgspec

from benchmarks.appends import Appended, Workload
from benchmarks.conditions import Conditions
from benchmarks.outages import Outage, Restart
from benchmarks.reads import Read


class AppendRow(msgspec.Struct, frozen=True, kw_only=True):
    """A workload, with one measurement per round."""

    name: str
    workload: Workload
    runs: list[Appended]


class ReadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A way of reading, with one measurement per round."""

    name: str
    events: int
    payload_bytes: int
    runs: list[Read]


class OutageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, with one measurement per repetition."""

    name: str
    runs: list[Outage]


class RestartRow(msgspec.Struct, frozen=True, kw_only=True):
    """A start with so many events in the log, with one measurement per repetition."""

    name: str
    runs: list[Restart]


class Results(msgspec.Struct, kw_only=True):
    """A run. A workload that failed is in `failures` with its reason, and not in its table."""

    conditions: Conditions
    appends: list[AppendRow] = []
    reads: list[ReadRow] = []
    outages: list[OutageRow] = []
    restarts: list[RestartRow] = []
    failures: list[str] = []


def to_json(results: Results) -> bytes:
    """As text for people and programs; latencies of single calls are not kept."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"


def from_json(text: bytes) -> Results:
    """Read it again."""
    return msgspec.json.decode(text, type=Results)
