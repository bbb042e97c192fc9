"""Processes that outlive the command that started them: known by pid file, stopped only if ours.

A pid alone proves nothing, because the system gives it to somebody else one day. The file therefore
also holds when the process was started, in ticks since boot, and which boot that was.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

PID_FILE = "node.pid"
LOG_FILE = "node.log"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_SECONDS = 0.02
# Fields of /proc/PID/stat after the name, which may itself hold blanks and parentheses.
STATE_FIELD = 0
THREADS_FIELD = 17
START_FIELD = 19


class Process(msgspec.Struct, frozen=True):
    """A process as a pid file names it."""

    pid: int
    started: int
    boot: str


def start(command: Sequence[str], directory: Path) -> Process:
    """Start `veritydb COMMAND...` in the background; its output goes to the directory's log.

    It gets a session of its own, so that a Ctrl-C at the terminal reaches only whoever started it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOG_FILE).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "veritydb.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Whoever goes on running has to collect it, or it would stay as a zombie.
    CHILDREN[child.pid] = child
    ticks = start_ticks(child.pid)
    process = Process(child.pid, ticks if ticks is not None else 0, boot())
    write(directory, process)
    return process


CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def write(directory: Path, process: Process) -> None:
    """Write the pid file whole or not at all."""
    text = f"{process.pid}\n{process.started}\n{process.boot}\n"
    fresh = directory / f"{PID_FILE}.new"
    fresh.write_text(text)
    fresh.replace(directory / PID_FILE)


def find(directory: Path) -> Process | None:
    """The running process of a directory's pid file; None if there is none, or another's."""
    try:
        pid, started, boot_id = (directory / PID_FILE).read_text().split()
        process = Process(int(pid), int(started), boot_id)
    except (OSError, ValueError):
        return None
    return process if is_running(process) else None


def is_running(process: Process) -> bool:
    """Whether it still runs: the same process, not merely one with its pid."""
    if (child := CHILDREN.get(process.pid)) is not None and child.poll() is not None:
        return False
    return process.boot == boot() and start_ticks(process.pid) == process.started


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to a process that is still the one we know; False if it is gone."""
    if not is_running(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def stop(processes: Sequence[Process], *, grace: float) -> list[Process]:
    """End all of them; return those that had to be killed because they took longer than `grace`."""
    waiting = [process for process in processes if send(process, signal.SIGTERM)]
    killed = wait(waiting, time.monotonic() + grace)
    for process in killed:
        send(process, signal.SIGKILL)
    wait(killed, time.monotonic() + grace)
    return killed


def wait(processes: Sequence[Process], deadline: float) -> list[Process]:
    """Wait until all have ended; return those that have not by the deadline."""
    left = list(processes)
    while left := [process for process in left if is_running(process)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    return left


def exit_code(process: Process) -> int | None:
    """How a process that we started ended; None while it runs or if somebody else started it."""
    child = CHILDREN.get(process.pid)
    return None if child is None else child.poll()


def boot() -> str:
    """Which boot of the machine this is."""
    return BOOT_ID.read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None if there is none, or its corpse."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    # The first thread may be dead while others still end, and with them locks and open files.
    corpse = fields[STATE_FIELD] in "ZX" and int(fields[THREADS_FIELD]) <= 1
    return None if corpse else int(fields[START_FIELD])


def tail(directory: Path, lines: int = 5) -> list[str]:
    """The last lines of a directory's log."""
    try:
        with (directory / LOG_FILE).open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16_384))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
