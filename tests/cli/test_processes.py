"""Pid files: whose process it is, and never somebody else's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from veritydb.cli import processes
from veritydb.cli.processes import PID_FILE, Process

# Says when it is ready, so that no test has to guess.
SLEEPER = "import signal; {before}; print('ready', flush=True); signal.pause()"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def sleeper(before: str = "0") -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", SLEEPER.format(before=before)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def known(child: subprocess.Popen[bytes]) -> Process:
    ticks = processes.start_ticks(child.pid)
    assert ticks is not None
    return Process(child.pid, ticks, processes.boot())


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with sleeper() as running:
        yield running
        running.kill()


def test_a_process_is_found_by_its_file(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    assert processes.find(tmp_path) is None
    processes.write(tmp_path, known(child))
    assert processes.find(tmp_path) == known(child)
    child.kill()
    child.wait()
    assert processes.find(tmp_path) is None


def test_a_pid_that_is_somebody_elses_now_is_not_ours(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    mine = known(child)
    for other in (
        Process(mine.pid, mine.started - 1, mine.boot),
        Process(mine.pid, mine.started, "another-boot"),
    ):
        processes.write(tmp_path, other)
        assert processes.find(tmp_path) is None
        assert not processes.send(other, signal.SIGKILL)
        assert processes.stop([other], grace=5.0) == []
    assert child.poll() is None


@pytest.mark.parametrize("text", ["", "17", "x y z", "1\n2\n"])
def test_a_file_that_says_nothing_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / PID_FILE).write_text(text)
    assert processes.find(tmp_path) is None


def test_a_corpse_does_not_run(child: subprocess.Popen[bytes]) -> None:
    process = known(child)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_running(process)


def test_a_process_runs_until_its_last_thread_ends() -> None:
    read, write = os.pipe()
    # The first thread ends (system call 60) while another waits for this end of the pipe.
    source = (
        "import ctypes, os, threading;"
        f"threading.Thread(target=lambda: os.read({read}, 1)).start();"
        "ctypes.CDLL(None).syscall(60, 0)"
    )
    with subprocess.Popen([sys.executable, "-c", source], pass_fds=[read]) as child:
        process = known(child)
        stat = Path(f"/proc/{child.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        assert processes.is_running(process)
        os.write(write, b"x")
        assert processes.wait([process], time.monotonic() + 60.0) == []
    os.close(read)
    os.close(write)


def test_stopping_asks_first(child: subprocess.Popen[bytes]) -> None:
    assert processes.stop([known(child)], grace=30.0) == []
    assert child.wait() == -signal.SIGTERM


def test_who_does_not_listen_is_killed() -> None:
    with sleeper(STUBBORN) as child:
        process = known(child)
        assert processes.stop([process], grace=0.05) == [process]
        assert child.wait() == -signal.SIGKILL


def test_a_started_process_writes_to_its_log(tmp_path: Path) -> None:
    directory = tmp_path / "node"
    process = processes.start(["--version"], directory)
    assert processes.wait([process], time.monotonic() + 60.0) == []
    assert processes.exit_code(process) == 0
    assert processes.tail(directory)[-1].startswith("veritydb ")
    assert processes.find(directory) is None
    assert processes.tail(tmp_path / "nowhere") == []
