"""Tables, and their place in a page."""

import pytest

from benchmarks import report
from benchmarks.appends import Appended, Workload, workloads
from benchmarks.conditions import Conditions
from benchmarks.figures import Latency, Spread
from benchmarks.outages import Outage, Restart
from benchmarks.reads import Read
from benchmarks.results import (
    AppendRow,
    OutageRow,
    ReadRow,
    RestartRow,
    Results,
    from_json,
    to_json,
)
from tests.benchmarks.pages import check_tables

CONDITIONS = Conditions(
    at="2026-03-02 08:00 UTC",
    commit="abc",
    changed=False,
    cores=2,
    processor="a processor",
    memory_gib=24.0,
    kernel="6.1",
    python="3.11.2",
    packages={"veritydb": "0.1.0"},
    filesystem="ext4 on a disk",
    disk_free_gib=80.0,
    load_before=0.1,
    rounds=2,
    seconds=3.0,
    note="Others were at work.",
)


def appended(events_per_s: float, *, flushes: float | None = 0.004) -> Appended:
    return Appended(
        events_per_s=events_per_s,
        latency=Latency(p50=1.0, p99=2.0, p999=3.0, worst=4.0),
        server_cpu_us=2.5,
        client_cpu_us=1.5,
        flushes=flushes,
        written=300.0,
        disk_written=330.0,
        others_cores=0.0,
        node_rss_mib=80.0,
        client_rss_mib=40.0,
        errors=[],
    )


def results() -> Results:
    workload = Workload(clients=8, batch=1000)
    runs = [appended(200_000.0), appended(300_000.0, flushes=None)]
    outage = Outage(
        silent_s=0.75,
        acknowledged=900,
        unknown=1,
        lost=0,
        duplicated=0,
        returned_s=1.5,
        errors=[],
    )
    restart = Restart(events=500, node_s=1.0, node_cpu_s=0.5, cluster_s=2.0, lost=0)
    read = Read(events_per_s=1_234_567.0, server_cpu_us=0.1, client_cpu_us=0.6)
    return Results(
        conditions=CONDITIONS,
        appends=[AppendRow(name=workload.name, workload=workload, runs=runs)],
        reads=[ReadRow(name="by events", events=10, payload_bytes=256, runs=[read])],
        outages=[OutageRow(name="SIGKILL", runs=[outage, outage])],
        restarts=[RestartRow(name="500 events", runs=[restart])],
        failures=["something went wrong"],
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0042, "0.004"),
        (0.42, "0.42"),
        (4.236, "4.24"),
        (42.36, "42.4"),
        (423.6, "424"),
        (4236.0, "4,240"),
        (967_482.0, "967,000"),
    ],
)
def test_a_number_has_as_many_digits_as_it_deserves(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_spread_without_width_is_one_number() -> None:
    assert report.ranged(Spread(5.0, 5.0, 5.0)) == "5.00"
    assert report.ranged(Spread(5.0, 4.0, 7.0)) == "5.00 (4.00–7.00)"


def test_every_kind_of_figure_is_in_the_page() -> None:
    text = report.page(results())
    assert "| batches of 1,000, 8 clients, 256 B | 250,000 (200,000–300,000) | 1.00 |" in text
    assert "| by events | 1,230,000 |" in text
    assert "| SIGKILL | 0.75 | 1.50 | 1800 | 2 | 0 | 0 | 2 |" in text
    assert "| 500 events | 1.00 |" in text
    assert "- something went wrong" in text
    assert "commit abc." in text
    assert "2 rounds of 3 s" in text
    assert "\n\nOthers were at work.\n\n" in text


def test_all_lines_of_a_table_have_as_many_cells() -> None:
    check_tables(report.page(results()))


def test_results_survive_json() -> None:
    assert from_json(to_json(results())) == results()


def test_figures_are_put_between_the_markers_and_replace_the_old_ones() -> None:
    page = f"# Speed\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n"
    once = report.put_into(page, "new\n")
    assert once == f"# Speed\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nafter\n"
    assert report.put_into(once, "new") == once


def test_a_page_without_markers_is_not_touched() -> None:
    with pytest.raises(ValueError, match="no place"):
        report.put_into("# Speed\n", "new")


def test_every_workload_has_a_name_of_its_own() -> None:
    names = [workload.name for workload in workloads()]
    assert len(set(names)) == len(names)
    assert "64 in flight, coalescing off, 256 B" in names
    assert "batches of 1,000, 8 clients, 256 B" in names
