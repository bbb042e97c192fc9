"""The whole benchmark, as small as it can be, on three real nodes."""

import pytest

from benchmarks import suite
from benchmarks.suite import Plan

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PLAN = Plan(rounds=1, seconds=0.3, repeat=1, read_events=2_500, restart_events=500)


def test_appends_and_reads_are_measured_and_checked() -> None:
    workload = "16 in flight, coalescing, 256 B"
    read = suite.read_name(PLAN.read_events, 256, batches=True)
    found = suite.run(PLAN, {workload, read}.__contains__)
    assert found.failures == []
    [row] = found.appends
    [run] = row.runs
    assert row.name == workload
    assert run.events_per_s > 0
    assert run.server_cpu_us > 0
    assert run.latency is not None
    assert 0 < run.latency.p50 <= run.latency.worst
    assert [row.name for row in found.reads] == [read]


def test_everything_has_a_name_of_its_own() -> None:
    names = list(suite.names(PLAN))
    assert len(set(names)) == len(names)
    assert {"SIGKILL", "SIGSTOP", "500 events"} <= set(names)
