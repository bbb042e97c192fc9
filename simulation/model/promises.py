"""What must be so of one replica and of each message, whatever the others do."""

from typing import NamedTuple

from simulation.model.broken import Broken
from simulation.model.images import Image
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status
from veritydb.vsr.state import State

AS_NORMAL = m.Prepare | m.Heartbeat | m.StartView | m.PrepareOk
"""They say: I have taken up this view's log."""


class Facts(NamedTuple):
    """What the invariants of the group ask about one replica, and what a trace shows.

    `floor` is the view that a crash cannot take back. `kept` are the hashes of the log that a start
    would find; None if rot has taken some of it, so that what is there must not be counted on.
    `story` is (view, hashes of its log) while that is known to be a part of the view's log.
    """

    replica: int
    view: int
    log_view: int
    status: Status
    leading: bool
    proposing: bool
    voting: bool
    commit: int
    head: int
    floor: int
    kept: tuple[bytes, ...] | None
    story: tuple[int, tuple[bytes, ...]] | None


def facts_of(s: State, image: Image, promises: bool) -> Facts:
    """Take the facts from a replica between two steps. Raises Broken."""
    if promises:
        check_memory(s, image)
    hashes = tuple(s.log.headers[op].hash for op in range(1, s.log.head + 1))
    return Facts(
        replica=s.index,
        view=s.view,
        log_view=s.log_view,
        status=s.status,
        leading=s.leading,
        proposing=s.is_primary,
        voting=s.votes[s.index],
        commit=s.commit,
        head=s.log.head,
        floor=image.state.view,
        kept=tuple(header.hash for header in image.headers) if image.whole else None,
        story=(s.view, hashes) if s.following and s.log_view == s.view else None,
    )


def check_memory(s: State, image: Image) -> None:
    """What a replica believes of itself is true, and its parts fit each other. Raises Broken."""
    durable = image.state
    if not s.log_view <= s.view or (s.status == Status.NORMAL and s.log_view != s.view):
        raise Broken("views", f"{s.index} is {s.status.name} in view {s.view} of {s.log_view}")
    if (s.view_durable, s.log_view_durable) != (durable.view, durable.log_view):
        raise Broken(
            "durable view",
            f"{s.index} takes view {s.view_durable} of {s.log_view_durable} for durable, on its "
            f"disk is {durable.view} of {durable.log_view}",
        )
    if not s.commit <= s.log.durable <= s.log.head or s.commit > s.commit_max:
        raise Broken("order", f"{s.index}: {s.commit}, {s.log.durable}, {s.log.head}")
    kept: dict[int, bytes] = {header.op: header.hash for header in image.headers}
    for op in range(1, s.log.durable + 1):
        if kept.get(op) != s.log.headers[op].hash:
            raise Broken("durable log", f"{s.index} takes op {op} for durable")
    for op in range(2, s.log.head + 1):
        if s.log.headers[op].previous != s.log.headers[op - 1].hash:
            raise Broken("chain", f"{s.index}: op {op} does not follow the one before")


def check_promise(sender: int, image: Image, message: m.Message) -> None:
    """A message says nothing that a crash right now would take back. Raises Broken."""
    state, name = image.state, type(message).__name__
    if isinstance(message, AS_NORMAL) and not state.view == state.log_view == message.view:
        raise Broken(
            "view promised",
            f"{sender} sends {name} of view {message.view}; on its disk is view {state.view} of "
            f"log view {state.log_view}",
        )
    if isinstance(message, m.StartViewChange | m.DoViewChange) and state.view != message.view:
        raise Broken(
            "view promised",
            f"{sender} sends {name} of view {message.view}; on its disk is view {state.view}",
        )
    if isinstance(message, m.PrepareOk):
        _check_ack(sender, image, message)
    if isinstance(message, m.DoViewChange):
        _check_story(sender, image, message)


def _check_ack(sender: int, image: Image, message: m.PrepareOk) -> None:
    """Whoever acknowledges has all of it, and nothing that it may have forgotten."""
    if image.state.recovering:
        raise Broken("acknowledged", f"{sender} acknowledges before it has recovered")
    if message.op and message.op not in {
        header.op for header in image.headers if header.hash == message.hash
    }:
        raise Broken(
            "acknowledged", f"{sender} acknowledges op {message.op}, which a crash would take"
        )


def _check_story(sender: int, image: Image, message: m.DoViewChange) -> None:
    """A DoViewChange says what is written down; what it calls present can be read after a crash."""
    state, faulty = image.state, image.recovered.faulty
    if (message.log_view, message.headers) != (state.log_view, state.headers):
        raise Broken("story", f"{sender} tells another log than it has written down")
    kept = {header.op: header.hash for header in image.headers}
    for at, header in enumerate(message.headers):
        here = kept.get(header.op) == header.hash
        if message.present >> at & 1 and (not here or header.op in faulty):
            raise Broken("present", f"{sender} calls op {header.op} present, which it is not")
        if message.nacks >> at & 1 and here and header.op in faulty:
            raise Broken("nack", f"{sender} calls op {header.op} absent, which has only rotted")
