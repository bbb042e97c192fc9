"""Children: spoken to, paused, and ended whatever happens."""

import os
import signal
from pathlib import Path

import pytest

from benchmarks.processes import Child, ChildFailed, Family, Talker

pytestmark = pytest.mark.cluster

ECHO = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
STUBBORN = (
    "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\nfor line in sys.stdin: pass"
)
FOREVER = "import signal\nsignal.pause()"


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_talker_answers_line_by_line(tmp_path: Path) -> None:
    with Family() as family:
        talker = family.add(Talker("echo", ["-c", ECHO], tmp_path / "log"))
        talker.say(b"abc\ndef")
        assert talker.hear(30) == b"cba"
        assert talker.hear(30) == b"fed"


def test_a_talker_that_ends_says_why(tmp_path: Path) -> None:
    with Family() as family:
        talker = family.add(Talker("bad", ["-c", "raise ValueError('oh')"], tmp_path / "log"))
        with pytest.raises(ChildFailed, match=r"(?s)bad.*exit code 1.*oh"):
            talker.hear(30)


def test_a_silent_talker_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with Family() as family:
        talker = family.add(Talker("mute", ["-c", FOREVER], tmp_path / "log"))
        with pytest.raises(ChildFailed, match="silent"):
            talker.hear(0.01)


def test_leaving_a_family_ends_all_even_after_an_error(tmp_path: Path) -> None:
    pids = []

    def fail() -> None:
        with Family() as family:
            for number in range(3):
                log = tmp_path / str(number)
                pids.append(family.add(Child("child", ["-c", FOREVER], log)).pid)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert len(pids) == 3
    assert all(map(gone, pids))


def test_a_paused_child_is_ended_too(tmp_path: Path) -> None:
    with Family() as family:
        child = family.add(Child("child", ["-c", FOREVER], tmp_path / "log"))
        child.signal(signal.SIGSTOP)
    assert not child.alive


def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.processes.TERM_SECONDS", 0.05)
    with Family() as family:
        child = family.add(Talker("stubborn", ["-c", STUBBORN], tmp_path / "log"))
        assert child.hear(30) == b"up"
    assert gone(child.pid)


def test_a_killed_child_may_be_signalled_and_stopped_again(tmp_path: Path) -> None:
    child = Child("child", ["-c", FOREVER], tmp_path / "log")
    child.kill()
    assert not child.alive
    child.signal(signal.SIGTERM)
    child.stop()
    assert "exit code -9" in child.last_words()
