"""What clients are told: every lie is seen."""

import pytest

from simulation.checkers.base import Answer, Log, Watch
from simulation.checkers.clients import ExactlyOnce, RealTime, Replies, Validity
from simulation.world import Failure
from tests.simulation.checkers.story import (
    Story,
    answer,
    append,
    appends,
    checked,
    outcome,
    request,
)
from veritydb.types.outcome import Code, Outcome


@pytest.mark.parametrize("batch", [bytes(16), b"b" * 16])
def test_a_request_applied_twice_is_seen(batch: bytes) -> None:
    log: Log = {}
    story = Story()
    session = 0 if any(batch) else 3
    for op in (1, 2):
        story.add(append(1, session, batch), outcome(op, base=op - 1))
    with pytest.raises(Failure, match="again in op 2"):
        story.tell(Watch(log, [ExactlyOnce()]))


def test_an_acknowledged_payload_that_is_nowhere_is_missed() -> None:
    log: Log = {}
    watch = Watch(log, [ExactlyOnce()])
    appends(2).tell(watch)
    watch.answered(answer(append(1), outcome(1)))
    watch.ended()
    watch.answered(Answer(request(append(9), number=9), (1, 0), outcome(2), 0))
    with pytest.raises(Failure, match="acknowledged"):
        watch.ended()


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (1, outcome(7)),
        (1, outcome(1, entry=3)),
        (1, outcome(1, base=4)),
        (1, outcome(2, base=1)),
    ],
)
def test_an_answer_that_is_not_the_logs_is_seen(number: int, result: Outcome) -> None:
    watch = checked(Replies)
    appends(2).tell(watch)
    watch.answered(answer(append(1), outcome(1)))
    watch.answered(answer(append(1), outcome(1, Code.DUPLICATE)))
    with pytest.raises(Failure):
        watch.answered(answer(append(number), result))


def test_an_answer_from_the_past_is_seen() -> None:
    checker = RealTime()
    checker.answered(answer(append(1), outcome(5), floor=4))
    with pytest.raises(Failure):
        checker.answered(answer(append(1), outcome(5), floor=5))


def test_what_nobody_asked_for_is_seen() -> None:
    watch = Watch({}, [Validity()])
    watch.invoked(request(append(1)))
    appends(1).tell(watch)
    with pytest.raises(Failure, match="nobody asked"):
        appends(2).tell(Watch({}, watch.checkers))


def test_what_was_denied_and_is_there_is_seen() -> None:
    watch = Watch({}, [Validity()])
    for number in (1, 2):
        watch.invoked(request(append(number)))
    watch.denied(request(append(2)))
    appends(1).tell(watch)
    with pytest.raises(Failure, match="is in the log"):
        watch.denied(request(append(1)))
    with pytest.raises(Failure, match="was denied"):
        appends(2).tell(Watch({}, watch.checkers))
