"""Messages: what they promise before it is true is seen."""

import pytest
from msgspec.structs import replace

from simulation.checkers.base import SentFact, Start, Watch
from simulation.checkers.log import Agreement
from simulation.checkers.messages import AcksDurable, Promises, SameStory, ViewsDurable
from simulation.world import Failure
from tests.simulation.checkers.story import appends, checked, sent


@pytest.mark.parametrize(
    ("fact", "durable"),
    [
        (sent("StartViewChange"), (2, 2)),
        (sent("PrepareOk"), (3, 2)),
        (sent("DoViewChange"), (3, 2)),
    ],
)
def test_a_message_of_a_view_that_may_be_forgotten_is_seen(
    fact: SentFact, durable: tuple[int, int]
) -> None:
    ViewsDurable(lambda replica: (3, 3)).sent(fact)
    Watch({}, [ViewsDurable(lambda replica: (0, 0))]).sent(replace(fact, kind="Ping"))
    with pytest.raises(Failure):
        ViewsDurable(lambda replica: durable).sent(fact)


def test_an_acknowledgement_of_what_may_be_lost_is_seen() -> None:
    AcksDurable(lambda replica, op, digest: True).sent(sent("PrepareOk"))
    with pytest.raises(Failure):
        AcksDurable(lambda replica, op, digest: False).sent(sent("PrepareOk"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (sent("DoViewChange"), sent("DoViewChange", content=b"another")),
        (sent("DoViewChange"), sent("PrepareOk", view=2)),
        (sent("Prepare"), sent("Prepare", hash=b"other")),
    ],
)
def test_a_replica_that_tells_two_stories_is_seen(first: SentFact, second: SentFact) -> None:
    checker = SameStory()
    checker.sent(first)
    checker.sent(first)
    with pytest.raises(Failure):
        checker.sent(second)


def test_a_replacement_tells_a_story_of_its_own() -> None:
    checker = SameStory()
    checker.sent(sent("DoViewChange"))
    checker.sent(sent("PrepareOk", view=2, incarnation=1))
    checker.sent(sent("DoViewChange", content=b"another", incarnation=1))


def acks(watch: Watch, op: int, **changed: object) -> SentFact:
    """An acknowledgement of an op as it was decided, or of another where none was."""
    log = watch.log[1]
    digest = log[op - 1].header.hash if op <= len(log) else b"h"
    return sent("PrepareOk", op=op, hash=digest, **changed)


def test_what_was_acknowledged_and_given_up_is_no_promise() -> None:
    """Another op has its number now."""
    watch = checked(Agreement)
    appends(3).tell(watch)
    checker = Promises(watch.log, lambda replica, op: None)
    checker.sent(acks(watch, 2))
    checker.sent(sent("PrepareOk", op=3, hash=b"given up"))
    checker.begun((1, 0), Start(0, head=2, certain=False))
    checker.sent(acks(watch, 2, view=4))
    with pytest.raises(Failure, match="2 was promised"):
        checker.sent(acks(watch, 1, view=4))


def test_who_knows_an_op_may_acknowledge_less_while_its_frame_is_rotten() -> None:
    watch = checked(Agreement)
    appends(3).tell(watch)
    checker = Promises(watch.log, lambda replica, op: watch.log[1][op - 1].header)
    checker.sent(acks(watch, 3))
    checker.begun((1, 0), Start(0, head=3, certain=False))
    checker.sent(acks(watch, 2, view=4))
    with pytest.raises(Failure, match="3 was promised"):
        checker.sent(sent("DoViewChange", op=2, view=5))


def test_a_replacement_that_speaks_too_soon_is_seen() -> None:
    """Its predecessor acknowledged two ops that were decided, and a third that was not."""
    watch = checked(Agreement)
    appends(2).tell(watch)
    checker = Promises(watch.log, lambda replica, op: None)
    checker.sent(acks(watch, 3, incarnation=0))
    checker.sent(acks(watch, 2, incarnation=0))
    checker.sent(sent("Ping", incarnation=1))
    checker.sent(acks(watch, 2, incarnation=1))
    checker.sent(sent("PrepareOk", op=9, incarnation=0))
    for kind in ("PrepareOk", "DoViewChange"):
        with pytest.raises(Failure, match="promised"):
            checker.sent(sent(kind, op=1, incarnation=1))


def test_a_replica_whose_disk_forgot_may_not_know() -> None:
    watch = checked(Agreement)
    appends(3).tell(watch)
    checker = Promises(watch.log, lambda replica, op: None)
    checker.sent(acks(watch, 2))
    checker.sent(acks(watch, 3, incarnation=1))
    checker.forgot((1, 0))
    checker.begun((1, 0), Start(0, certain=False, incarnation=1))
    checker.sent(sent("DoViewChange", op=2, incarnation=1))
    with pytest.raises(Failure, match="2 was promised"):
        checker.sent(sent("DoViewChange", op=1, incarnation=1))


def test_a_replica_in_doubt_that_speaks_too_soon_is_seen() -> None:
    watch = checked(Agreement)
    appends(3).tell(watch)
    checker = Promises(watch.log, lambda replica, op: None)
    checker.begun((1, 0), Start(0))
    checker.sent(acks(watch, 3))
    checker.begun((1, 0), Start(0, head=2))
    checker.sent(sent("DoViewChange", op=2))
    checker.begun((1, 0), Start(0, head=2, certain=False))
    checker.sent(sent("PrepareOk", op=0))
    checker.sent(sent("DoViewChange", op=3))
    with pytest.raises(Failure, match="promised"):
        checker.sent(sent("DoViewChange", op=2))
