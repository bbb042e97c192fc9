"""What /proc says about this very process."""

import os
from pathlib import Path

from benchmarks import accounting
from benchmarks.accounting import Window, read_disk_counters

DISKSTATS = [
    "   7       0 loop0 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    " 254       0 vda 142409 27905 5048122 55252 10545 41450 2000 5201 0 8024 61216 1 3 9 7 390 13",
    "   8       1 sda1 10 0 20 0 30 0 40 0 0 0 0",
]


def test_the_line_of_the_right_disk_is_read() -> None:
    assert read_disk_counters(DISKSTATS, 254, 0) == (2000 * 512, 390)


def test_an_old_kernel_counts_no_flushes_and_a_memory_disk_nothing() -> None:
    assert read_disk_counters(DISKSTATS, 8, 1) == (40 * 512, None)
    assert read_disk_counters(DISKSTATS, 0, 42) == (None, None)


def test_a_process_that_is_not_there_has_used_nothing() -> None:
    nobody = 2**22 + 1
    assert accounting.cpu_seconds(nobody) == 0
    assert accounting.resident_bytes(nobody) is None
    assert accounting.written_by(nobody) is None


def test_this_process_holds_memory() -> None:
    resident = accounting.resident_bytes(os.getpid())
    peak = accounting.resident_peak_bytes(os.getpid())
    assert resident is not None
    assert peak is not None
    assert 1 << 20 < resident <= peak


def test_a_window_sees_work(tmp_path: Path) -> None:
    window = Window([os.getpid()], tmp_path)
    while accounting.cpu_seconds(os.getpid()) < window._began.cpu + 0.02:
        sum(range(10_000))
    cost = window.cost()
    assert 0 < cost.cpu_s <= cost.seconds * 64
    assert cost.seconds > 0
