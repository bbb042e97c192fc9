"""The client processes of a measurement, told what to do from here."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from benchmarks.processes import ChildFailed, Family, Talker
from benchmarks.tasks import Answer, Failed, Ready, read_answer

SPARE_SECONDS = 60.0
A = TypeVar("A")


class Measured(Protocol):
    """What clients work on: a cluster of ours, or of somebody else."""

    @property
    def url(self) -> str:
        """How clients reach it."""

    @property
    def pids(self) -> list[int]:
        """The processes of its nodes."""

    @property
    def directory(self) -> Path:
        """Where its data are, whose disk is watched."""


class Client:
    """One client process."""

    def __init__(self, talker: Talker) -> None:
        """Use a process that understands tasks."""
        self._talker = talker

    def begin(self, task: msgspec.Struct) -> None:
        """Hand it a task, and do not wait."""
        self._talker.say(msgspec.json.encode(task))

    def go_on(self, text: str = "") -> None:
        """Say what a task that is ready waits for."""
        self._talker.say(text.encode())

    def wait_ready(self) -> None:
        """Wait until the task can begin."""
        self.result(Ready, SPARE_SECONDS)

    def result(self, kind: type[A], timeout: float) -> A:
        """Wait for an answer of that kind. Raises ChildFailed if it is none."""
        answer: Answer = read_answer(self._talker.hear(timeout))
        if isinstance(answer, Failed):
            raise ChildFailed(f"a client failed: {answer.why}")
        assert isinstance(answer, kind), answer
        return answer

    def do(self, task: msgspec.Struct, kind: type[A], timeout: float) -> A:
        """Have a task done that needs no more words."""
        self.begin(task)
        return self.result(kind, timeout)


Start = Callable[[str, Path], Talker]


def own(name: str, log: Path) -> Talker:
    """Start a process that uses our SDK."""
    return Talker(name, ["-m", "benchmarks.load"], log)


class Clients:
    """Starts client processes when they are first needed, and keeps them."""

    def __init__(
        self, family: Family, directory: Path, start: Start = own, kind: str = "client"
    ) -> None:
        """Start none yet; what they complain of goes to files in the directory."""
        self._family = family
        self._directory = directory
        self._start = start
        self._kind = kind
        self._started: list[Client] = []

    def take(self, count: int) -> list[Client]:
        """The first so many clients."""
        while len(self._started) < count:
            name = f"{self._kind}-{len(self._started) + 1}"
            log = self._directory / f"{name}.log"
            talker = self._family.add(self._start(name, log))
            self._started.append(Client(talker))
        return self._started[:count]
