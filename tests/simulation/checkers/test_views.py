"""Views that follow each other: who leads, what a new primary must have, what may be cut."""

import pytest
from msgspec.structs import replace

from simulation.checkers.base import Log, Watch
from simulation.checkers.log import Agreement
from simulation.checkers.views import Leaders, Truncation
from simulation.world import Failure
from tests.simulation.checkers.story import appends, sent
from veritydb.types.frame import Header

SIZES = {1: 3}


def decided(count: int) -> tuple[Log, list[Header]]:
    log: Log = {}
    story = appends(count)
    story.tell(Watch(log, [Agreement(log)]))
    return log, [header for header, _, _ in story.ops]


@pytest.mark.parametrize("kind", ["Prepare", "Heartbeat", "StartView"])
def test_a_view_is_led_by_its_primary_only(kind: str) -> None:
    checker = Leaders({}, SIZES)
    checker.sent(sent(kind, view=3))
    with pytest.raises(Failure, match="in view 4 of 1"):
        checker.sent(sent(kind, view=4))


def test_an_acknowledgement_goes_to_the_primary() -> None:
    checker = Leaders({}, SIZES)
    checker.sent(sent("PrepareOk", view=4, to=1))
    with pytest.raises(Failure, match="acknowledges to 2"):
        checker.sent(sent("PrepareOk", view=4, to=2))


def test_a_new_primary_has_all_that_was_decided() -> None:
    log, headers = decided(3)
    whole = sent("StartView", view=3, op=3, hash=headers[2].hash, commit=3)
    Leaders(log, SIZES).sent(whole)
    for wrong in (
        replace(whole, op=2, hash=headers[1].hash, commit=2),
        replace(whole, hash=b"another"),
        replace(whole, commit=4),
    ):
        with pytest.raises(Failure, match="view 3"):
            Leaders(log, SIZES).sent(wrong)


def test_a_primary_of_the_past_owes_nothing_of_later_views() -> None:
    log, headers = decided(3)
    checker = Leaders(log, SIZES)
    checker.sent(sent("StartView", view=6, op=3, hash=headers[2].hash))
    checker.sent(sent("StartView", view=3, op=1, hash=headers[0].hash))


@pytest.mark.parametrize(("holder", "fails"), [(1, True), (2, False)])
def test_what_a_quorum_acknowledged_is_not_cut(holder: int, fails: bool) -> None:
    """Op 1 is acknowledged by its view's primary (1), who holds it or not, and by a backup."""
    _, headers = decided(2)
    known = {header.hash: header for header in headers}
    checker = Truncation(SIZES, known.get, lambda replica, header: replica[1] == holder)
    checker.sent(sent("PrepareOk", view=4, op=2, hash=headers[1].hash))
    checker.erased((1, 2), [])
    if not fails:
        checker.erased((1, 2), headers[:1])
        return
    with pytest.raises(Failure, match=r"gives up op 1, which \[0, 1\] hold"):
        checker.erased((1, 2), headers[:1])
