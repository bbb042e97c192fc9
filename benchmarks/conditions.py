"""Under what conditions figures were measured: without them they say nothing."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

import veritydb

PACKAGES = ("pycapnp", "trio", "msgspec", "immutables", "crc32c")
GIB = 1 << 30


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, the software, how long each thing was measured, and what else was going on."""

    at: str
    commit: str
    changed: bool
    cores: int
    processor: str
    memory_gib: float
    kernel: str
    python: str
    packages: dict[str, str]
    filesystem: str
    disk_free_gib: float
    load_before: float
    rounds: int
    seconds: float
    note: str


def conditions(directory: Path, rounds: int, seconds: float, note: str = "") -> Conditions:
    """How things are now, with the data in `directory`; `note` says what else was going on."""
    return Conditions(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=git("rev-parse", "--short", "HEAD"),
        changed=bool(git("status", "--porcelain", "--", "veritydb", "schemas")),
        cores=len(os.sched_getaffinity(0)),
        processor=processor(),
        memory_gib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB,
        kernel=platform.release(),
        python=platform.python_version(),
        packages={
            "veritydb": veritydb.__version__,
            **{name: metadata.version(name) for name in PACKAGES},
        },
        filesystem=filesystem(directory),
        disk_free_gib=shutil.disk_usage(directory).free / GIB,
        load_before=os.getloadavg()[0],
        rounds=rounds,
        seconds=seconds,
        note=note,
    )


def git(*arguments: str) -> str:
    """What git says about the code; empty outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def processor() -> str:
    """What the processors are called."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def filesystem(directory: Path) -> str:
    """The file system that a directory is on, and its device."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    path = directory.resolve()
    holding = [mount for mount in mounts if path.is_relative_to(mount[1])]
    # The longest mount point that holds the directory is the one it is on.
    device, _, kind, *_ = max(holding, key=lambda mount: len(mount[1]))
    return f"{kind} on {device}"
