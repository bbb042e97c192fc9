"""What may leave when: the table in docs/vsr.md, checked against every state it speaks of."""

from itertools import product

import pytest

from tests.vsr.harness import Group
from veritydb.types.ids import Op, View
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status
from veritydb.vsr.state import GATES

ALWAYS = {
    *(m.Ping, m.Pong, m.RequestStartView, m.RequestHeaders, m.RequestFrames, m.Replaced),
    *(m.RequestSnapshot, m.SnapshotOffer, m.RequestSnapshotPart, m.SnapshotPart),
    *(m.RequestHistory, m.HistoryPart, m.Promised),
}
VOTES = {m.StartViewChange, m.DoViewChange, m.PrepareOk}
LEADS = {m.Prepare, m.Heartbeat, m.StartView}


def test_every_message_has_a_gate() -> None:
    assert set(GATES) == set(m.WRITERS)


STATES = list(product(Status, [4, 5], [3, 4, 5], [0, 9], [False, True]))


@pytest.mark.parametrize(("status", "view", "log_view", "recovering", "leading"), STATES)
def test_gates(status: Status, view: int, log_view: int, recovering: int, leading: bool) -> None:
    """In memory the view is 5 and the log is part of it; what is durable varies."""
    state = Group(start=True).sites[0].live._s
    state.status, state.leading = status, leading
    state.view = state.log_view = View(5)
    state.view_durable, state.log_view_durable = View(view), View(min(view, log_view))
    state.recovering_durable = Op(recovering)
    may = {kind for kind, gate in GATES.items() if gate(state)}
    assert may >= ALWAYS
    if view < 5:
        assert may == ALWAYS
    if status in (Status.RECOVERING_HEAD, Status.JOINING, Status.HALTED) or recovering:
        assert not may & VOTES
    if status != Status.NORMAL or log_view < 5:
        assert not may & {m.PrepareOk, *LEADS}
    if leading:
        assert m.PrepareOk not in may
    else:
        assert not may & LEADS
    if status != Status.VIEW_CHANGE:
        assert m.DoViewChange not in may
    if status == Status.NORMAL and view == log_view == 5 and not recovering:
        assert may == ALWAYS | {m.Headers, m.Frames, m.StartViewChange} | (
            LEADS if leading else {m.PrepareOk}
        )
