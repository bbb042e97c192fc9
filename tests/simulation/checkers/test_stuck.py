"""A primary that gets no further and is not silent is seen."""

import pytest

from simulation.checkers.base import SentFact, Standing
from simulation.checkers.stuck import HEARTBEATS_MAX, STUCK_MAX, Stuck
from simulation.world import MS, Failure

ME = (1, 0)
BEAT = SentFact(ME, 1, 0, "Heartbeat", 3, 3, 0, b"", b"")


def beats(checker: Stuck, clock: list[int], number: int) -> None:
    """Let it send heartbeats."""
    for _ in range(number):
        clock[0] += 50 * MS
        checker.sent(BEAT)


def standing(commit_max: int, leading: bool = True) -> Standing:
    """A primary with ops up to 9."""
    return Standing(1, True, leading, 3, 3, commit_max, commit_max, 9)


def test_a_primary_without_a_quorum_has_to_fall_silent() -> None:
    clock = [0]
    checker = Stuck(lambda: clock[0])
    checker.stepped(ME, standing(5))
    beats(checker, clock, HEARTBEATS_MAX)
    assert clock[0] > STUCK_MAX
    with pytest.raises(Failure, match="leads without a quorum"):
        beats(checker, clock, 1)


@pytest.mark.parametrize("better", [standing(6), standing(9), standing(5, leading=False)])
def test_one_that_gets_on_or_gives_up_does_not(better: Standing) -> None:
    clock = [0]
    checker = Stuck(lambda: clock[0])
    checker.stepped(ME, standing(5))
    beats(checker, clock, HEARTBEATS_MAX)
    checker.stepped(ME, better)
    beats(checker, clock, HEARTBEATS_MAX)
