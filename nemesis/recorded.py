"""The processes whose clients record the history: started, stopped, and read."""

import subprocess
from pathlib import Path

from nemesis import leash
from nemesis.clients import Note
from nemesis.history import read
from nemesis.nodes import Stuck
from nemesis.taint import found_in

FACES = ("sync", "async", "reader", "sync")
PATIENCE_SECONDS = 60.0
SAID = 1_000


class Recorded:
    """Client processes. Leaving it kills those that still run."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Recorded":
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        for process in self._processes.values():
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def start(self, url: str, region: str, seed: int) -> None:
        """Start them all."""
        for number, face in enumerate(FACES, start=1):
            name = f"client-{number}"
            arguments = (face, url, region, str(number), str(seed), str(self._history(name)))
            with self._printed(name).open("wb") as printed:
                self._processes[name] = leash.start(
                    "nemesis.clients",
                    *arguments,
                    stdin=subprocess.PIPE,
                    stdout=printed,
                    stderr=printed,
                    start_new_session=True,
                )

    def check(self) -> None:
        """Raise Stuck if one of them has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise Stuck(f"{name} ended with {process.returncode}: {self._said(name)}")

    def _said(self, name: str) -> str:
        return self._printed(name).read_text(errors="replace")[-SAID:]

    def stop(self) -> list[str]:
        """Let each end what it is at; return what went wrong with them."""
        problems = []
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for name, process in self._processes.items():
            try:
                code = process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                problems.append(f"{name} did not stop")
                continue
            if code:
                problems.append(f"{name} ended with {code}")
        for name in self._processes:
            problems += found_in(self._printed(name).read_bytes(), name)
        return problems

    def notes(self) -> list[Note]:
        """What they recorded."""
        return read(self._history(name) for name in self._processes)

    def _history(self, name: str) -> Path:
        return self._folder / f"{name}.history"

    def _printed(self, name: str) -> Path:
        return self._folder / f"{name}.printed"
