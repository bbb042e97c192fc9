"""What a step leaves for its second half, so that nobody waits for it who need not."""

import pytest

from tests.node.test_node import append, create
from tests.node.three import Three
from veritydb.node import effects as fx
from veritydb.node.events import Event
from veritydb.node.node import Node
from veritydb.vsr.events import FramesWritten
from veritydb.vsr.messages import PrepareOk

Halves = tuple[Event, list[fx.Effect], list[fx.Effect]]


def test_a_backup_votes_before_it_applies_what_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Three()
    stream = group.ask(create()).stream
    backup = next(each for each in group.members if each is not group.primary()).node
    seen: list[Halves] = []

    def step(node: Node, event: Event) -> list[fx.Effect]:
        first = node.begin(event)
        second = node.finish() if node.unfinished else []
        if node is backup:
            seen.append((event, first, second))
        return first + second

    monkeypatch.setattr(Node, "step", step)
    for number in range(10):
        group.ask(append(stream, b"%d" % number))
    told = 0
    for event, first, second in seen:
        kinds = {type(effect) for effect in first}
        votes = [e for e in first if isinstance(e, fx.Send) and isinstance(e.message, PrepareOk)]
        assert not {fx.WriteFrames, fx.AppendOutcomes} <= kinds, "the primary waits for the frame"
        if isinstance(event, FramesWritten) and second:
            assert votes and fx.AppendOutcomes not in kinds
            assert any(isinstance(effect, fx.AppendOutcomes) for effect in second)
            told += 1
    assert told > 0
    assert backup.applied >= group.primary().node.applied - 1
