"""Planted bugs of the shell, each of a kind that real servers had: the runs have to find every one.

A canary changes the running code of this process for good, so each is hunted in a process of its
own. What finds it is the check that fails first in the standard mix of runs.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from shell_simulation.run import simulate
from veritydb.node.events import Event
from veritydb.server import refusals
from veritydb.server.connection import Call
from veritydb.server.gate import Gate
from veritydb.server.group import Group
from veritydb.server.shares import Shares
from veritydb.server.writer import Writer
from veritydb.storage.disk import DiskError
from veritydb.types.errors import EdgeCode
from veritydb.types.frame import Frame
from veritydb.vsr.events import FramesWritten

SEEDS_MAX = 200


class Canary(NamedTuple):
    """A planted bug. `finders` are the checks that may find it; `plant` puts it in place."""

    name: str
    finders: tuple[str, ...]
    plant: Callable[[], None]


def put(owner: Any, name: str, value: object) -> None:
    """Replace something that is there."""
    assert hasattr(owner, name)
    setattr(owner, name, value)


def _acknowledged_before_sync() -> None:
    """The loop hears that frames are durable before the writer has so much as begun."""
    append = Writer._append

    def appending(self: Writer, frames: list[Frame], done: list[Event]) -> None:
        if frames:
            last = frames[-1].header
            self._deliver([FramesWritten(last.op, last.hash)])
            append(self, frames, [])

    put(Writer, "_append", appending)


def _write_error_swallowed() -> None:
    """A writer that failed ends quietly, and the process goes on without it."""
    run = Writer._run

    def running(self: Writer) -> None:
        self._failed = lambda error: None
        run(self)

    put(Writer, "_run", running)


def _failed_sync_tried_again() -> None:
    """What was written is written again, and the second sync says that all is well."""
    patiently = Writer._patiently

    def trying(self: Writer, work: Callable[[], None]) -> None:
        with contextlib.suppress(DiskError):
            patiently(self, work)
            return
        patiently(self, work)

    put(Writer, "_patiently", trying)


def _writer_not_waited_for() -> None:
    """A stopping node does not wait for its writer."""

    def close(self: Writer) -> None:
        self._closed = True

    put(Writer, "close", close)


def _waiters_dropped_at_the_end() -> None:
    """Whoever still waits when the node stops is forgotten."""

    def stop(self: Group) -> None:
        self.failed = True

    put(Group, "stop", stop)


def _deadlines_ignored() -> None:
    """Nobody's time is ever up."""
    put(Group, "_expire", lambda self, token: None)


def _overload_not_bounded() -> None:
    """Everybody may have as much under way as they like."""

    @contextlib.contextmanager
    def of(self: Shares, tenant: int, size: int) -> Iterator[None]:
        yield

    put(Shares, "of", of)


def _held_for_ever() -> None:
    """A connection that was held back is never read from again."""
    put(Gate, "release", lambda self: None)


def _calls_counted_for_ever() -> None:
    """What a call took of its connection is not given back."""
    put(Call, "__exit__", lambda self, kind, error, trace: None)


def _expired_means_not_applied() -> None:
    """Whose time is up is told that nothing happened."""
    refusals.MAYBE_APPLIED.discard(EdgeCode.DEADLINE)


def _dropped_means_not_applied() -> None:
    """Whoever waited at a primary that was deposed is told that nothing happened."""
    refusals.MAYBE_APPLIED.discard(EdgeCode.DROPPED)


def _waiters_share_a_token() -> None:
    """Of two that wait at the same time one gets the other's answer."""
    wait = Group._wait

    def waiting(self: Group, timeout_ms: int) -> Any:
        self._tokens -= bool(self._waiting)
        return wait(self, timeout_ms)

    put(Group, "_wait", waiting)


CANARIES = (
    Canary(
        "acknowledged before sync",
        ("lost", "agreement", "liveness", "ended", "exactly-once"),
        _acknowledged_before_sync,
    ),
    Canary("write error swallowed", ("fail-stop", "liveness"), _write_error_swallowed),
    Canary("failed sync tried again", ("fail-stop", "lost"), _failed_sync_tried_again),
    Canary("writer not waited for", ("thread-leak", "unanswered"), _writer_not_waited_for),
    Canary("waiters dropped at the end", ("unanswered", "task-leak"), _waiters_dropped_at_the_end),
    Canary("deadlines ignored", ("unanswered",), _deadlines_ignored),
    Canary("overload not bounded", ("overload",), _overload_not_bounded),
    Canary("held for ever", ("unanswered",), _held_for_ever),
    Canary("expired means not applied", ("not-applied",), _expired_means_not_applied),
    Canary("dropped means not applied", ("not-applied",), _dropped_means_not_applied),
    Canary("calls counted for ever", ("unanswered",), _calls_counted_for_ever),
    Canary(
        "waiters share a token",
        ("unanswered", "lost", "replies", "streams", "exactly-once", "ended"),
        _waiters_share_a_token,
    ),
)
NAMES = tuple(canary.name for canary in CANARIES)


def hunt(name: str) -> tuple[str, str, int]:
    """Plant a bug and run seeds until it is found: (name, by which check, after how many)."""
    (canary,) = [each for each in CANARIES if each.name == name]
    canary.plant()
    for seed in range(1, SEEDS_MAX + 1):
        result = simulate(seed)
        if result.failure is not None and result.failure[0] in canary.finders:
            return name, result.failure[0], seed
    return name, "", SEEDS_MAX
