"""The log that replicas agree on: every fault in it is seen."""

from collections.abc import Callable

import pytest

from simulation.checkers.base import Checker, Decided, Log, Watch
from simulation.checkers.log import Agreement, Durability, HashChain, OutcomeChain, Timestamps
from simulation.world import Failure
from tests.simulation.checkers.story import Story, append, appends, checked, outcome
from veritydb.types.ids import View
from veritydb.types.outcome import Code

LOG_CHECKERS: list[Callable[[Log], Checker]] = [
    Agreement,
    HashChain,
    OutcomeChain,
    lambda log: Timestamps(log, lambda: 10**6),
]


@pytest.mark.parametrize("make", LOG_CHECKERS)
def test_a_sound_log_passes(make: Callable[[Log], Checker]) -> None:
    watch = checked(make)
    for index in range(3):
        appends(5).tell(watch, index)
    watch.ended()


def test_two_replicas_with_another_op_disagree() -> None:
    watch = checked(Agreement)
    appends(2).tell(watch)
    other = Story()
    other.add(append(1), outcome(1))
    other.add(append(9), outcome(2))
    with pytest.raises(Failure, match="another op 2"):
        other.tell(watch, 1)


def test_an_op_left_out_is_seen() -> None:
    watch = checked(Agreement)
    story = appends(3)
    del story.ops[1]
    with pytest.raises(Failure, match="applies op 3 after 1"):
        story.tell(watch)


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (HashChain, {"previous": b"?" * 32}),
        (HashChain, {"position": 512 * 77}),
        (HashChain, {"entry_base": 7}),
        (HashChain, {"view": View(0)}),
        (LOG_CHECKERS[3], {"timestamp": 1000}),
        (LOG_CHECKERS[3], {"timestamp": 10**7}),
        (OutcomeChain, {"outcomes": b"?" * 32}),
    ],
)
def test_a_header_that_lies_is_seen(
    make: Callable[[Log], Checker], changed: dict[str, object]
) -> None:
    story = appends(1)
    story.add(append(2), outcome(2, base=1), **changed)
    with pytest.raises(Failure):
        story.tell(checked(make))


def test_replicas_with_other_outcomes_are_seen() -> None:
    watch = checked(OutcomeChain)
    appends(1).tell(watch)
    other = Story()
    other.add(append(1), outcome(1, base=5))
    with pytest.raises(Failure, match="other outcomes"):
        other.tell(watch, 1)


@pytest.mark.parametrize(("disks", "enough"), [(1, False), (2, True)])
def test_an_op_has_to_be_on_a_quorum_of_disks(disks: int, enough: bool) -> None:
    log: Log = {}
    checker = Durability(log, lambda replica, header: replica[1] < disks)
    checker.groups = {1: 3}
    watch = Watch(log, [checker])
    if enough:
        appends(1).tell(watch)
    with pytest.raises(Failure, match="has lost op 1" if enough else "on 1 disks only"):
        watch.ended() if enough else appends(1).tell(watch)


def test_what_is_decided_is_handed_out_with_its_entries() -> None:
    watch = checked(Agreement)
    appends(1).tell(watch)
    (decided,) = watch.log[1]
    assert isinstance(decided, Decided)
    ((header, data, result),) = decided.entries()
    assert (header.number, data, result.code) == (1, append(1).data, Code.OK)
