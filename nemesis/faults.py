"""What is done to the nodes while they are published to."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from nemesis.nodes import POLL_SECONDS, Nodes, Stuck
from veritydb.cli import processes
from veritydb.cli.supervisor import MARKER
from veritydb.server.datadir import LOCK
from veritydb.server.failures import EXIT_DATA_DIR, EXIT_DISK

KINDS = ("kill", "stop", "flip", "wipe", "blackout", "standstill")
STOP_SECONDS = (1.0, 4.0)
# Some of it longer than a publisher waits for an answer.
STANDSTILL_SECONDS = (1.0, 15.0)
# Nothing to be repaired: who holds the directory, who runs, and what was printed.
NOT_DATA = {LOCK, MARKER, processes.PID_FILE, processes.LOG_FILE}
REFUSALS = (EXIT_DATA_DIR, EXIT_DISK)

Say = Callable[[str], None]


class Faults:
    """Does one fault after the other, by dice that follow a seed."""

    def __init__(self, nodes: Nodes, kinds: list[str], every: float, dice: random.Random) -> None:
        """See the module."""
        self.done: dict[str, int] = {}
        self.problems: list[str] = []
        self._nodes = nodes
        self._kinds = kinds
        self._every = every
        self._dice = dice
        self._ways: dict[str, Callable[[str, Say], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "flip": self._flip,
            "wipe": self._wipe,
            "blackout": self._blackout,
            "standstill": self._standstill,
        }
        assert set(self._ways) == set(KINDS)

    def one(self, say: Say) -> None:
        """Do one fault to one node."""
        kind = self._dice.choice(self._kinds)
        victim = self._dice.choice(self._nodes.names)
        self._bury(say)
        self._ways[kind](victim, say)
        self.done[kind] = self.done.get(kind, 0) + 1

    def _bury(self, say: Say) -> None:
        """A node that ended although nobody ended it is a bug; bring it back all the same."""
        for name in self._nodes.names:
            if not self._nodes.runs(name):
                code = self._nodes.ended(name)
                problem = f"{name} ended by itself with {code}: {self._nodes.last(name)}"
                self.problems.append(problem)
                say(problem)
                self._nodes.start(name)

    def _kill(self, victim: str, say: Say) -> None:
        self._nodes.kill(victim)
        pause = self._dice.uniform(0.0, self._every / 2)
        say(f"killed {victim}; back after {pause:.1f} s")
        time.sleep(pause)
        self._nodes.start(victim)

    def _stop(self, victim: str, say: Say) -> None:
        pause = self._dice.uniform(*STOP_SECONDS)
        say(f"froze {victim} for {pause:.1f} s")
        self._nodes.signal(victim, signal.SIGSTOP)
        time.sleep(pause)
        self._nodes.signal(victim, signal.SIGCONT)

    def _flip(self, victim: str, say: Say) -> None:
        # Only what a majority still holds can be repaired.
        self._nodes.ready()
        self._nodes.kill(victim)
        file, at = flip(self._nodes.data(victim), self._dice)
        say(f"flipped a bit of byte {at} of {victim}'s {file}")
        self._nodes.start(victim)
        code = self._comes_back(victim)
        if code is None:
            return
        said = self._nodes.last(victim).rpartition(" | ")[2]
        say(f"{victim} refuses to start ({code}): {said}")
        if code not in REFUSALS:
            self.problems.append(f"after {file} byte {at}, {victim} ended with {code}")
        self._nodes.empty(victim)
        self._nodes.replace(victim)
        self._nodes.start(victim)
        self._nodes.ready()

    def _comes_back(self, victim: str) -> int | None:
        """Wait until a node is ready (None) or has refused to start (its exit code)."""
        try:
            self._nodes.ready(victim)
        except Stuck:
            if self._nodes.runs(victim):
                raise
            return self._nodes.ended(victim)
        return None

    def _wipe(self, victim: str, say: Say) -> None:
        self._nodes.ready()
        self._nodes.kill(victim)
        self._nodes.empty(victim)
        self._nodes.start(victim)
        code = self._nodes.ended(victim)
        if code != EXIT_DATA_DIR:
            self.problems.append(f"{victim} with an emptied disk ended with {code}")
        # What it printed made the directory anew.
        self._nodes.empty(victim)
        given = self._nodes.replace(victim)
        say(f"emptied {victim}: it is refused, and replaced as {given}")
        self._nodes.start(victim)
        self._nodes.ready()

    def _blackout(self, victim: str, say: Say) -> None:
        """Kill all at once; the one that is named comes back last."""
        say(f"killed all; {victim} comes back last")
        for name in self._nodes.names:
            self._nodes.signal(name, signal.SIGKILL)
        for name in self._nodes.names:
            self._nodes.ended(name)
        for name in sorted(self._nodes.names, key=lambda name: name == victim):
            self._nodes.start(name)
            time.sleep(self._dice.uniform(0.0, self._every / 4))

    def _standstill(self, victim: str, say: Say) -> None:
        """Freeze all but one: nothing can be agreed on until they go on."""
        pause = self._dice.uniform(*STANDSTILL_SECONDS)
        say(f"froze all but {victim} for {pause:.1f} s")
        others = [name for name in self._nodes.names if name != victim]
        for name in others:
            self._nodes.signal(name, signal.SIGSTOP)
        time.sleep(pause)
        for name in others:
            self._nodes.signal(name, signal.SIGCONT)

    def recover(self) -> None:
        """Bring everything back."""
        self._bury(lambda _: None)
        while not all(self._nodes.runs(name) for name in self._nodes.names):
            time.sleep(POLL_SECONDS)


def flip(directory: Path, dice: random.Random) -> tuple[str, int]:
    """Flip one bit of one file of a stopped node; return the file and the byte.

    Only where there is something: a preallocated file is mostly zeros that nobody has written.
    """
    files = sorted(
        path for path in directory.rglob("*") if path.is_file() and path.name not in NOT_DATA
    )
    while True:
        path = dice.choice(files)
        size = path.stat().st_size
        if not size:
            continue
        with path.open("r+b") as file:
            at = dice.randrange(size)
            file.seek(at)
            [byte] = file.read(1)
            if not byte:
                continue
            file.seek(at)
            file.write(bytes([byte ^ (1 << dice.randrange(8))]))
        return str(path.relative_to(directory)), at
