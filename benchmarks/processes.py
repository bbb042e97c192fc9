"""Processes that a benchmark starts and, whatever happens, ends by their pids."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, TypeVar

TERM_SECONDS = 8.0
TERMINATED = 128 + signal.SIGTERM


class ChildFailed(Exception):
    """A process ended, or fell silent, when something was expected of it."""


class Child:
    """One process of ours. What it prints is kept in a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        program: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start `PROGRAM COMMAND...` in a session of its own, where no Ctrl-C reaches it.

        `environment` is added to ours, and `user` is who runs it if we may choose.
        """
        self.name = name
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        with log.open("ab") as output:
            self._process = self._start([program, *command], output)

    def _start(self, command: list[str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
        return self._spawn(command, subprocess.DEVNULL, output, output)

    def _spawn(
        self, command: list[str], stdin: int, stdout: int | IO[bytes], stderr: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self._environment,
            start_new_session=True,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """How it ended, and the end of what it printed."""
        text = self.log.read_text(errors="replace").strip()[-2000:]
        return f"{self.name} (exit code {self._process.poll()}): {text}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs: it is our child, so its pid is nobody else's."""
        if self.alive:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def ask_to_end(self) -> None:
        """Let it end in order. One that is paused would not see the request."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it, in order if it can in time."""
        self.ask_to_end()
        try:
            self._process.wait(TERM_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


class Talker(Child):
    """A child that is told lines and answers with lines; it ends when nobody talks to it."""

    def _start(self, command: list[str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
        process = self._spawn(command, subprocess.PIPE, subprocess.PIPE, output)
        assert process.stdin is not None and process.stdout is not None
        self._in, self._out, self._rest = process.stdin, process.stdout, b""
        return process

    def say(self, line: bytes) -> None:
        """Hand it a line. Raises ChildFailed if it has ended."""
        try:
            self._in.write(line + b"\n")
            self._in.flush()
        except BrokenPipeError:
            raise ChildFailed(f"has ended: {self.last_words()}") from None

    def hear(self, timeout: float) -> bytes:
        """Wait for its next line. Raises ChildFailed if none comes in time."""
        deadline = time.monotonic() + timeout
        pieces = [self._rest]
        while b"\n" not in pieces[-1]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                raise ChildFailed(f"silent for {timeout:.0f} s: {self.last_words()}")
            piece = os.read(self._out.fileno(), 1 << 20)
            if not piece:
                # It is about to end: its exit code is worth a moment.
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
                raise ChildFailed(f"has ended: {self.last_words()}")
            pieces.append(piece)
        line, _, self._rest = b"".join(pieces).partition(b"\n")
        return line

    def stop(self) -> None:
        """End it, and the conversation."""
        super().stop()
        for pipe in (self._in, self._out):
            # What it was told last it may not have read.
            with suppress(BrokenPipeError):
                pipe.close()


Kind = TypeVar("Kind", bound=Child)


class Family:
    """All children of one measurement. Leaving it ends them, whatever has happened."""

    def __init__(self) -> None:
        """Begin without children."""
        self._children: list[Child] = []

    def add(self, child: Kind) -> Kind:
        """Take over a child."""
        self._children.append(child)
        return child

    def end(self) -> None:
        """End all. They are asked at once and then waited for one by one."""
        for child in self._children:
            child.ask_to_end()
        while self._children:
            self._children.pop().stop()

    def __enter__(self) -> "Family":
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all."""
        self.end()


def end_on_sigterm() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that children are ended."""

    def unwind(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, unwind)
