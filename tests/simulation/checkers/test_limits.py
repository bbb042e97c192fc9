"""What must stay bounded, and what must be noticed on its way."""

import pytest
from msgspec.structs import replace

from simulation.checkers.base import Load, Watch
from simulation.checkers.damage import Damage
from simulation.checkers.limits import CALM_VIEWS_MAX, REPEAT_NS, REPEATS_MAX, Asking, Calm, Queues
from simulation.world import Failure
from tests.simulation.checkers.story import sent
from veritydb.types.limits import PENDING_BYTES_MAX

R = (1, 0)
LOAD = Load(waiting=10, waiting_bytes=1000, writes=3, reads=2)


@pytest.mark.parametrize(
    "changed",
    [
        {"waiting": 10_000},
        {"waiting_bytes": PENDING_BYTES_MAX + 1},
        {"writes": 5_000},
        {"reads": 5_000},
    ],
)
def test_a_queue_that_grows_is_seen(changed: dict[str, int]) -> None:
    Queues().loaded(R, LOAD)
    with pytest.raises(Failure, match="more in its queues"):
        Queues().loaded(R, LOAD._replace(**changed))


def test_views_that_never_settle_are_seen() -> None:
    checker = Calm()
    for view in range(500):
        checker.sent(sent("StartViewChange", view=view))
    checker.healed()
    for view in range(500, 500 + CALM_VIEWS_MAX):
        checker.sent(sent("StartViewChange", view=view))
    with pytest.raises(Failure, match="in calm"):
        checker.sent(sent("StartViewChange", view=500 + CALM_VIEWS_MAX))


def test_asking_for_the_same_again_and_again_is_seen() -> None:
    clock = [0]
    checker = Watch({}, [Asking(lambda: clock[0])])
    asks = sent("RequestFrames", to=1, asked=(7, 9))
    for _ in range(3 * REPEATS_MAX):
        clock[0] += REPEAT_NS + 1
        checker.sent(asks)
    for first in range(3 * REPEATS_MAX):
        checker.sent(replace(asks, asked=(first, 90)))
        checker.sent(sent("Heartbeat"))
    for _ in range(REPEATS_MAX):
        checker.sent(asks)
    with pytest.raises(Failure, match="RequestFrames"):
        checker.sent(asks)


def test_damage_that_is_not_noticed_is_seen() -> None:
    with pytest.raises(Failure, match="damaged bytes for a Prepare"):
        Damage().misread(R, "Prepare")
