"""What a measured window cost: processor time, memory, and what reached the disk, from /proc."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
# Fields of /proc/PID/stat after the name, which may itself hold blanks and parentheses.
PARENT_FIELD = 1
# User and system time, of the process and of its children that have ended.
TIME_FIELDS = slice(11, 15)
# Fields of a line of /proc/diskstats.
SECTORS_WRITTEN_FIELD = 9
FLUSHES_FIELD = 18
SECTOR = 512


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a window cost. Disk figures are None where the system does not tell them.

    `written` is what the given processes caused to be written, the `disk_` figures are the whole
    disk's: others' work is in them, as is what the file system writes about itself.
    `busy_s` is processor time of the whole machine.
    """

    seconds: float
    cpu_s: float
    busy_s: float
    written: int | None = None
    disk_written: int | None = None
    disk_flushes: int | None = None


class Window:
    """Begins where it is made; `cost` says what has been used since."""

    def __init__(self, pids: Sequence[int], directory: Path) -> None:
        """Watch some processes with all that they start, and the disk under a directory."""
        self._pids = tuple(pids)
        self._disk = os.stat(directory).st_dev
        self._began = self._sample()

    def cost(self) -> Cost:
        """What has been used since the window began."""
        before, after = self._began, self._sample()
        return Cost(
            seconds=after.at - before.at,
            cpu_s=after.cpu - before.cpu,
            busy_s=after.busy - before.busy,
            written=_difference(after.written, before.written),
            disk_written=_difference(after.disk_written, before.disk_written),
            disk_flushes=_difference(after.disk_flushes, before.disk_flushes),
        )

    def _sample(self) -> "_Sample":
        pids = with_descendants(self._pids)
        disk = disk_counters(self._disk)
        written = [written_by(pid) for pid in pids]
        return _Sample(
            at=time.monotonic(),
            cpu=sum(map(cpu_seconds, pids)),
            busy=machine_busy_seconds(),
            written=None if None in written else sum(filter(None, written)),
            disk_written=disk[0],
            disk_flushes=disk[1],
        )


class _Sample(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    cpu: float
    busy: float
    written: int | None
    disk_written: int | None
    disk_flushes: int | None


def _difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its children that have ended have used; 0 if it is gone."""
    return sum(map(int, _stat(pid)[TIME_FIELDS])) / TICKS_PER_SECOND


def _stat(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def with_descendants(pids: Sequence[int]) -> list[int]:
    """Processes, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[PARENT_FIELD]), []).append(int(entry.name))
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def machine_busy_seconds() -> float:
    """Processor time the whole machine has used, without idling, waiting and what was stolen."""
    user, nice, system, _idle, _waiting, irq, softirq, *_ = map(
        int, (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND


def written_by(pid: int) -> int | None:
    """Bytes a process caused to be written to a disk."""
    return _field(PROC / str(pid) / "io", "write_bytes:")


def resident_bytes(pid: int) -> int | None:
    """Memory a process holds now."""
    kib = _field(PROC / str(pid) / "status", "VmRSS:")
    return None if kib is None else kib * 1024


def proportional_bytes(pid: int) -> int | None:
    """Memory a process holds now, with its share of what it has in common with others."""
    kib = _field(PROC / str(pid) / "smaps_rollup", "Pss:")
    return None if kib is None else kib * 1024


def resident_peak_bytes(pid: int) -> int | None:
    """The most memory a process has ever held."""
    kib = _field(PROC / str(pid) / "status", "VmHWM:")
    return None if kib is None else kib * 1024


def _field(file: Path, name: str) -> int | None:
    try:
        for line in file.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return None


def disk_counters(device: int) -> tuple[int | None, int | None]:
    """Bytes written to a disk, and the flushes it was asked for."""
    try:
        lines = (PROC / "diskstats").read_text().splitlines()
    except OSError:
        return None, None
    return read_disk_counters(lines, os.major(device), os.minor(device))


def read_disk_counters(
    lines: Sequence[str], major: int, minor: int
) -> tuple[int | None, int | None]:
    """The same from the lines of /proc/diskstats. Kernels before 5.5 do not count flushes."""
    for line in lines:
        fields = line.split()
        if fields[:2] == [str(major), str(minor)]:
            flushes = int(fields[FLUSHES_FIELD]) if len(fields) > FLUSHES_FIELD else None
            return int(fields[SECTORS_WRITTEN_FIELD]) * SECTOR, flushes
    return None, None
