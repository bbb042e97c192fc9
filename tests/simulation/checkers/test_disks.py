"""Disks in the end: byte for byte what the log leads to, and nothing else."""

from collections.abc import Callable

import pytest
from crc32c import crc32c

from simulation.checkers.base import Log, Watch
from simulation.checkers.disks import Disks, Erased, segments
from simulation.checkers.log import Agreement
from simulation.disk import SimDisk
from simulation.world import Failure
from tests.simulation.checkers.story import appends

SEGMENT = f"segments/{1:020d}.log"


def decided(count: int) -> Log:
    log: Log = {}
    appends(count).tell(Watch(log, [Agreement(log)]))
    return log


def disk_of(log: Log) -> SimDisk:
    disk = SimDisk()
    image = segments(log[1])[1]
    headers = [what.header for what in log[1]]
    tails = [
        b"\1\0hJ" + header.op.to_bytes(8, "little") + header.raw + bytes(32) for header in headers
    ]
    records = b"".join(crc32c(tail).to_bytes(4, "little") + tail for tail in tails)
    contents = {
        SEGMENT: image,
        "headers": bytes(256) + records,
        "outcomes": b"".join(what.records for what in log[1]),
        "superblock": b"s",
        "segments/spare": b"",
        "snapshots/00000000000000000002.snap": b"n",
    }
    for name, data in contents.items():
        disk.allocate(name, 1 << 20)
        disk.write(name, 0, (data,))
    return disk


def judged(
    disk: SimDisk, log: Log, damaged: bool = False, holes: tuple[tuple[int, int], ...] = ()
) -> None:
    hurt = {(1, 0)} if damaged else set()
    spans = {1: Erased(list(holes[:1]), list(holes[1:]))} if holes else {}
    Disks(log, lambda: {(1, 0): disk}, lambda: hurt, lambda replica, first: spans).ended()


def test_a_disk_that_holds_the_log_passes() -> None:
    log = decided(3)
    disk = disk_of(log)
    judged(disk, log)
    # The next op may be under way.
    disk.write(SEGMENT, len(segments(log[1])[1]), ((4).to_bytes(8, "little"),))
    judged(disk, log)


def extra(disk: SimDisk, name: str) -> None:
    disk.allocate(name, 10)


FAULTS: list[tuple[str, Callable[[SimDisk], None]]] = [
    ("other at 600", lambda disk: disk.rot(SEGMENT, 600)),
    ("behind the log", lambda disk: disk.write(SEGMENT, 9_728, (b"x",))),
    ("record of op 2", lambda disk: disk.rot("headers", 600)),
    ("outcomes", lambda disk: disk.rot("outcomes", 70)),
    ("which nothing needs", lambda disk: extra(disk, "segments/new")),
    ("which nothing needs", lambda disk: extra(disk, "snapshots/new")),
    ("has no segments", lambda disk: disk.remove(SEGMENT)),
    ("3 snapshots", lambda disk: [extra(disk, f"snapshots/{n}.snap") for n in "12"].clear()),
]


@pytest.mark.parametrize(("what", "fault"), FAULTS)
def test_a_disk_that_does_not_is_seen(what: str, fault: Callable[[SimDisk], None]) -> None:
    log = decided(3)
    disk = disk_of(log)
    fault(disk)
    with pytest.raises(Failure, match=what):
        judged(disk, log)


def test_a_disk_that_was_damaged_may_lack_outcomes_but_no_op() -> None:
    log = decided(3)
    disk = disk_of(log)
    disk.rot("outcomes", 70)
    judged(disk, log, damaged=True)
    disk.rot(SEGMENT, 600)
    with pytest.raises(Failure, match="other at 600"):
        judged(disk, log, damaged=True)


def test_what_was_erased_is_zero_and_its_checksum_another() -> None:
    log = decided(3)
    disk = disk_of(log)
    disk.write(SEGMENT, 400, (bytes(20),))
    disk.rot(SEGMENT, 430)
    with pytest.raises(Failure, match="other at 4"):
        judged(disk, log)
    judged(disk, log, holes=((400, 420), (428, 432)))
    disk.rot(SEGMENT, 410)
    with pytest.raises(Failure, match="other at 410"):
        judged(disk, log, holes=((400, 420), (428, 432)))
