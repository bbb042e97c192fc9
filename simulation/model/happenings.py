"""What can happen to one replica, and how the model makes it happen.

Time stands still. A timer is chosen instead of waited for: any may go off at any moment, before or
after any message, which is more than real clocks could do.
"""

from collections.abc import Callable
from typing import NamedTuple

from simulation.model.images import REPLICAS, Write
from simulation.model.memory import NEVER, NOW
from veritydb.types import entry
from veritydb.types.limits import MS_NS
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr.clock import Clock, Sample
from veritydb.vsr.config import Config
from veritydb.vsr.state import State

BODY_BYTES = 600
"""More than a sector, so that a frame can be torn."""


class Event(NamedTuple):
    """Something that can happen to a site.

    `number` says more: which message is delivered; how many appends the writer ends at once; which
    read is answered (twice its place, plus one if it read only now); which request is proposed; in
    which image a start finds the disk after a crash; how many ops were acknowledged before a read.
    """

    kind: str
    number: int = 0


class Dice:
    """Nothing is left to chance; only each life has a nonce of its own."""

    def __init__(self, life: int) -> None:
        """Take the number of the life."""
        self._life = life

    def randrange(self, stop: int) -> int:
        """Return the same always."""
        return self._life if stop == 1 << 63 else 0


def proposal(number: int) -> ev.Proposal:
    """A request that differs from all others."""
    header = entry.EntryHeader(kind=entry.Kind.COMMAND)
    made = entry.with_body(header, bytes([number]) * BODY_BYTES)
    return ev.Proposal(made.data, made.leaf)


def agreed_clock(config: Config) -> Clock:
    """A clock that all others agree with."""
    clock = Clock(config)
    clock.tick(NOW, NOW)
    for peer in range(REPLICAS):
        if peer != config.index:
            clock.samples[peer] = Sample(0, MS_NS, NOW)
    clock._refresh()
    assert clock.synchronised
    return clock


def ended(write: Write) -> ev.Event:
    """What the writer says when a write has ended."""
    if isinstance(write, fx.WriteFrames):
        return ev.FramesWritten(write.frames[-1].header.op, write.frames[-1].header.hash)
    if isinstance(write, fx.CutLog):
        return ev.LogCut(write.after)
    if isinstance(write, fx.WriteViewState):
        return ev.ViewStateWritten(write.number)
    return ev.FrameRepaired(write.frame.header.op, write.frame.header.hash)


def _suspect(s: State) -> None:
    s.suspect_after = 0


def _overdue(s: State) -> None:
    s.change_due = NOW


def _abdicate(s: State) -> None:
    s.answered = [NOW - s.config.abdicate] * s.replicas


def _heartbeat(s: State) -> None:
    s.heartbeat_due = NOW


def _tell_again(s: State) -> None:
    s.dvc_due = NOW


def _vote_again(s: State) -> None:
    s.vote_due = NOW


def _ask_again(s: State) -> None:
    s.repair_due = 0
    if s.fetch_due == NEVER:
        s.fetch_due = NOW
    if s.installing is not None:
        s.installing.request_due = 0


TIMERS: dict[str, Callable[[State], None]] = {
    "suspect": _suspect,
    "overdue": _overdue,
    "abdicate": _abdicate,
    "heartbeat": _heartbeat,
    "vote again": _vote_again,
    "tell again": _tell_again,
    "ask again": _ask_again,
}
"""What lets a timer go off at the next tick."""
