"""What is measured at scale: its rows are kept, its tables can be read, and its parts work."""

from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.conditions import conditions
from benchmarks.outages import Outage, Restart
from benchmarks.scale import endurance, pauses, report, results, suite
from benchmarks.scale.__main__ import harmed
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
from benchmarks.scale.suite import SMALL, Plan
from benchmarks.spread import turns
from benchmarks.tasks import Spread
from veritydb.client.values import NodeStatus, Pauses
from veritydb.server.pauses import BOUNDS_MS
from veritydb.server.pauses import Pauses as Histograms

DOCS = Path(__file__).parents[2] / "docs" / "performance.md"
PAUSE = Pause(what="turn", longest_ms=4.5, counts=[9, 2, 1, *[0] * 8])


def outage(silent_s: float, lost: int = 0) -> Outage:
    return Outage(
        silent_s=silent_s,
        acknowledged=1_000,
        unknown=0,
        lost=lost,
        duplicated=0,
        returned_s=0.5,
        errors=[],
    )


def flapping(view_changes: int) -> Flapping:
    return Flapping(
        seconds=60.0,
        resets=300,
        view_changes=view_changes,
        acknowledged=9_000,
        silent_s=0.1,
        lost=0,
        duplicated=0,
    )


FULL = FullLoad(
    seconds=1_800.0,
    streams=1_000_000,
    events=10_000_000,
    events_per_s=5_555.0,
    view_changes=0,
    snapshots=90,
    transfers=2,
    silent_s=0.4,
    refused=0,
    node_rss_mib=850.0,
    cores_used=1.98,
    pauses=[PAUSE],
    errors=[],
)
STAGE = Stage(
    events=1_000_000,
    batch=1_000,
    events_per_s=300_000.0,
    node_rss_mib=90.0,
    written=290.0,
    disk_bytes=295.0,
    pauses=[PAUSE],
)
SIZE = Size(
    streams=1_000,
    stages=[STAGE],
    restart=Restart(events=1_000_000, node_s=0.9, node_cpu_s=0.5, cluster_s=1.5, lost=0),
    started_rss_mib=80.0,
)


def kept(**found: Finding) -> Results:
    now = conditions(Path("/"), 1, 0.0)
    rows = {
        name.replace("_", " "): Row(conditions=now, parameters={"times": 20}, found=one)
        for name, one in found.items()
    }
    return Results(rows=rows)


def test_what_was_measured_is_there_in_the_next_run(tmp_path: Path) -> None:
    all_kinds = kept(
        kill=Faults(runs=[outage(0.25)]), flapping=flapping(0), full_load=FULL, few_streams=SIZE
    )
    file = tmp_path / "results" / "scale.json"
    assert results.load(file) == Results()
    results.save(file, all_kinds)
    assert results.load(file) == all_kinds


def test_tables_say_the_median_the_worst_and_the_sums() -> None:
    text = report.page(
        kept(kill=Faults(runs=[outage(one) for one in (0.2, 0.3, 0.9)]), full_load=FULL, few=SIZE)
    )
    assert "| kill | 3 | 0.30 | 0.90 | 3,000 | 0 | 0 | 0 |" in text
    assert "| full load, 1,000,000 streams | 30.0 | 0 |" in text
    assert "| few | 1,000,000 | 1,000 | 300,000 | 90.0 | 290 | 295 |" in text
    assert "| few, 1,000,000 events | 0.90 | 0.50 | 1.50 | 80.0 | 0 |" in text
    assert "| full load | turn | 4.5 | 9 | 2 | 1 | 0" in text
    for head, row in pairwise(text.splitlines()):
        if head.startswith("|") and row.startswith("|"):
            assert head.count("|") == row.count("|")


def test_the_page_has_a_place_for_them() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1


@pytest.mark.parametrize(
    ("found", "bad"),
    [
        (Faults(runs=[outage(0.2), outage(0.2, lost=1)]), True),
        (Faults(runs=[outage(0.2)]), False),
        (flapping(1), True),
        (FULL, False),
    ],
)
def test_harm_is_what_must_never_happen(found: Finding, bad: bool) -> None:
    assert harmed(kept(one=found)) == bad


def status(pid: int, longest_us: int, counts: tuple[int, ...]) -> NodeStatus:
    told = Pauses(what="turn", longest_us=longest_us, counts=counts)
    return NodeStatus(address="a", reachable=True, pid=pid, pauses=(told,))


def test_pauses_are_those_of_the_window() -> None:
    before = pauses.told([status(1, 7_000, (5, 1)), status(2, 9_000, (5, 1))])
    after = pauses.told([status(1, 7_000, (8, 1)), status(3, 8_000, (2, 2))])
    assert pauses.since(before, after) == [Pause(what="turn", longest_ms=8.0, counts=[5, 2])]
    assert pauses.since(before, before) == [Pause(what="turn", longest_ms=0.0, counts=[0, 0])]


@pytest.mark.parametrize(("events", "batch"), [(7, 1), (3, 1), (60, 10), (20, 10)])
def test_events_go_round_the_streams(events: int, batch: int) -> None:
    task = Spread(
        url="", stream="s", streams=5, events=events, batch=batch, lanes=1, payload_bytes=256
    )
    calls = list(turns(task))
    assert sum(calls for _, calls in calls) * batch == events
    assert len({name for name, _ in calls}) <= 5


def test_everything_has_a_name_of_its_own() -> None:
    for plan in (Plan(), SMALL):
        names = [one.name for one in suite.workloads(plan)]
        assert len(set(names)) == len(names)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_little_full_load_brings_two_replicas_up_to_date(tmp_path: Path) -> None:
    plan = endurance.Plan(seconds=1.0, streams=20, transfer_ops=100, lanes=4)
    found = endurance.measure(
        plan, "[server]\nsnapshot_entries = 200\ntransfer_ops = 100\n", tmp_path, print
    )
    assert found.transfers >= 2
    assert found.events > 0
    assert {one.what for one in found.pauses} == set(vars(Histograms()))
    assert all(len(one.counts) == len(BOUNDS_MS) + 1 for one in found.pauses)
