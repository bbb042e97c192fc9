"""What is compared with what, and what the comparison says."""

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from msgspec.structs import replace

from benchmarks.conditions import Conditions
from benchmarks.figures import Latency
from benchmarks.peers import charts, compare, tables
from benchmarks.peers.compare import Comparison, Row
from benchmarks.peers.failover import Failover
from benchmarks.peers.finished import Finished, Ledger, Measurement, of_failover
from benchmarks.peers.suite import in_turn, systems
from benchmarks.peers.tasks import Mix, Tail, read_own_task
from benchmarks.peers.tools import Tools
from benchmarks.peers.works import Kind, Work, chosen, works
from benchmarks.tasks import CatchUp, to_line
from tests.benchmarks.pages import check_tables

KNOWN = {
    "veritydb": ("VerityDB", True),
    "etcd": ("etcd", True),
    "jetstream": ("JetStream, sync always", True),
    "jetstream-unsafe": ("JetStream, default (unsafe)", False),
}
MIX = Mix(
    url="x",
    lanes=("a", "b"),
    stream="s",
    events=100,
    page=10,
    payload_bytes=8,
    warm_s=1.0,
    seconds=2.0,
)
TAIL = Tail(url="x", stream="s", pause_s=0.01, payload_bytes=8, warm_s=1.0, seconds=2.0)
APPENDS = Work(key="appends", name="appends")
NEVER = Work(key="never", name="never measured")
SILENCE = Work(key="silence", name="appends", kind=Kind.FAILOVER)
NOTHING = Tools(
    own=None, etcd=None, nats=None, nats_version=(), postgresql=None, go=None, clients=False
)


def measured(rate: float, *, errors: tuple[str, ...] = ()) -> Measurement:
    return Measurement(
        value=rate,
        latency=Latency(p50=1.0, p99=2.5, p999=40.0, worst=50.0),
        server_cpu_us=3.0,
        client_cpu_us=1.0,
        syncs=0.25,
        written=512.0,
        memory_mib=100.0,
        others_cores=0.0,
        errors=list(errors),
    )


def finished(number: int, system: str, **rates: float) -> Finished:
    return Finished(
        at="2026-03-02 08:00 UTC",
        round=number,
        system=system,
        version="1.0",
        work="appends",
        seconds=2.0,
        ways={way: measured(rate) for way, rate in rates.items()},
    )


def entries() -> list[Finished]:
    rounds = []
    for number, part in enumerate((0.9, 1.0, 1.1)):
        rounds += [
            finished(number, "veritydb", joined=300 * part, alone=100 * part),
            finished(number, "etcd", go=100 * part),
            finished(number, "jetstream", window=150 * part, atomic=120 * part),
            finished(number, "jetstream-unsafe", window=600 * part),
        ]
    return rounds


def comparison() -> Comparison:
    return Comparison(
        conditions=Conditions(
            at="2026-03-02 08:00 UTC",
            commit="abc",
            changed=False,
            cores=2,
            processor="a processor",
            memory_gib=24.0,
            kernel="6.1",
            python="3.11.2",
            packages={},
            filesystem="ext4 on a disk",
            disk_free_gib=80.0,
            load_before=0.1,
            rounds=3,
            seconds=2.0,
            note="Nobody else was at work.",
        ),
        workloads=compare.rows(entries(), [APPENDS], KNOWN),
        not_measured=["postgresql: needs postgres"],
    )


def only_row() -> Row:
    [row] = compare.rows(entries(), [APPENDS, NEVER], KNOWN)
    return row


def test_a_system_counts_with_its_best_way_and_the_median_of_its_rounds() -> None:
    ours = only_row().systems["veritydb"]
    assert ours.way == "joined"
    assert (ours.min, ours.median, ours.max) == pytest.approx((270, 300, 330))
    assert ours.syncs == 0.25
    assert set(ours.ways) == {"joined", "alone"}
    assert only_row().systems["jetstream"].way == "window"


def test_ratios_are_to_the_best_durable_peer_and_to_the_best_of_all() -> None:
    row = only_row()
    assert (row.best_durable, row.ratio_to_best_durable) == ("jetstream", 2.0)
    assert (row.best, row.ratio_to_best) == ("jetstream-unsafe", 0.5)


def test_without_a_peer_there_is_no_ratio() -> None:
    [row] = compare.rows([finished(0, "veritydb", way=5.0)], [APPENDS], KNOWN)
    assert row.ratio_to_best_durable is None
    assert row.best is None


def test_where_less_is_better_the_best_has_least() -> None:
    both = [finished(0, "veritydb", a=0.5, b=0.4), finished(0, "etcd", go=2.0)]
    nobody = finished(0, "jetstream")
    [row] = compare.rows([*both, nobody], [SILENCE], KNOWN)
    assert row.systems["veritydb"].way == "b"
    assert row.ratio_to_best == 5.0
    assert row.unit == "s"
    assert set(row.systems) == {"veritydb", "etcd"}


def test_errors_are_said_once() -> None:
    found = compare.summed_up([measured(1.0, errors=("late",)), measured(1.0, errors=("late",))])
    assert found.errors == ["late"]


def test_the_table_has_every_system_and_ways_of_all() -> None:
    page = tables.page(comparison())
    assert (
        "| appends, events/s | 300 (270–330) | 100 (90.0–110) | 150 (135–165) | 600 (540–660) |"
        in page
    )
    assert "| 2.00× | 0.50× |" in page
    assert "| JetStream, sync always: atomic | 120 (108–132) | 1.00 | 2.50 | 40.0 |" in page
    assert "- postgresql: needs postgres" in page
    assert "Nobody else was at work." in page


def test_all_lines_of_a_table_have_as_many_cells() -> None:
    check_tables(tables.page(comparison()))


def test_json_has_what_programs_look_for() -> None:
    text = compare.to_json(comparison()).decode()
    for name in ("workload", "systems", "median", "min", "max", "syncs", "ratio_to_best"):
        assert f'"{name}":' in text


def test_charts_are_well_formed_and_name_every_system() -> None:
    for text in charts.draw([only_row(), only_row()]).values():
        words = [element.text for element in ElementTree.fromstring(text).iter()]
        assert {title for title, _ in KNOWN.values()} <= set(words)
        assert sum(word in ("appends", "appends, events/s") for word in words) == 2


def test_figures_are_published_between_the_markers(tmp_path: Path) -> None:
    (tmp_path / tables.PAGE).write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    tables.publish(comparison(), tmp_path)
    text = (tmp_path / tables.PAGE).read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for name in charts.ABOUT:
        assert f"({tables.CHARTS}/{name})" in text
        assert (tmp_path / tables.CHARTS / name).exists()


def test_a_run_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger"
    begun = Ledger(path, resume=True)
    begun.add(finished(0, "etcd", go=100.0))
    begun.add(finished(0, "veritydb", way=300.0))
    whole = path.read_bytes()
    # Interrupted within the second line.
    path.write_bytes(whole[:-20])
    again = Ledger(path, resume=True)
    assert again.has(0, "etcd", "1.0", "appends", 2.0)
    assert not again.has(0, "veritydb", "1.0", "appends", 2.0)
    again.add(finished(0, "veritydb", way=300.0))
    assert path.read_bytes() == whole


def test_another_version_round_or_time_is_measured_anew(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", resume=False)
    ledger.add(finished(0, "etcd", go=100.0))
    assert not ledger.has(0, "etcd", "1.1", "appends", 2.0)
    assert not ledger.has(1, "etcd", "1.0", "appends", 2.0)
    assert not ledger.has(0, "etcd", "1.0", "appends", 3.0)
    assert ledger.found(1, {"etcd": "1.0"}, 2.0) == ledger.entries
    assert ledger.found(0, {"etcd": "1.0"}, 2.0) == []
    assert ledger.found(1, {"etcd": "1.1"}, 2.0) == []
    assert ledger.found(1, {"etcd": "1.0"}, 3.0) == []
    assert Ledger(tmp_path / "ledger", resume=False).entries == []


def test_each_round_begins_with_another_system() -> None:
    every = systems(NOTHING, None)
    orders = [[system.name for system in in_turn(every, number)] for number in range(len(every))]
    assert {order[0] for order in orders} == {system.name for system in every}
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_workloads_have_keys_and_names_of_their_own() -> None:
    every = list(works(1_000_000))
    assert len({work.key for work in every}) == len({work.name for work in every}) == len(every)
    assert [work.key for work in chosen(every, ["core"])] == [
        "single-1",
        "single-64",
        "single-256",
        "batch-100x8",
        "batch-1000x8",
        "catch-up",
    ]
    assert [work.key for work in chosen(every, ["batch-*x1", "clients-8"])] == [
        "clients-8",
        "batch-100x1",
        "batch-1000x1",
    ]
    assert chosen(every, []) == []


def test_what_is_acknowledged_and_lost_is_an_error() -> None:
    seen = Failover(silent_s=0.4, acknowledged=10, unknown=1, lost=2, load_per_s=5.0)
    assert of_failover(seen).errors == ["2 of 10 acknowledged events were lost"]
    assert of_failover(replace(seen, lost=0)).errors == []
    assert of_failover(seen).value == 0.4


@pytest.mark.parametrize("task", [MIX, TAIL])
def test_a_task_is_one_line_and_comes_back(task: Mix | Tail) -> None:
    line = msgspec.json.encode(task)
    assert b"\n" not in line
    assert read_own_task(line) == task


def test_other_tasks_are_not_taken_for_these() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_own_task(to_line(CatchUp(url="x", stream="s", batches=True)))
