"""One replica, and its restarts: going back is seen."""

import msgspec
import pytest
from msgspec.structs import replace

from simulation.checkers.base import Standing, Start, Watch
from simulation.checkers.replicas import Forward, Kept, Remembered, Snapshots, Versions
from simulation.world import Failure
from tests.simulation.checkers.story import Story, append, appends, outcome, sent
from veritydb.types.durable import Identity, SnapshotRef, Superblock, ViewState
from veritydb.types.ids import GroupId, Op, View

R = (1, 0)
STANDING = Standing(
    life=1, normal=True, leading=True, view=3, log_view=3, commit=5, commit_max=6, op=9
)
STATE = ViewState(view=View(3), log_view=View(3), commit=Op(0), epoch=0, members=(0,), headers=())
BLOCK = Superblock(
    sequence=4,
    parent=b"p" * 32,
    identity=Identity(
        cluster=b"x" * 16, group=GroupId(1), region="", index=0, replicas=3, incarnation=0
    ),
    view_state=STATE,
    snapshot=SnapshotRef(),
)


@pytest.mark.parametrize(
    "changed",
    [
        {"log_view": 4},
        {"log_view": 2},
        {"commit": 7},
        {"commit": 10, "commit_max": 10},
        {"op": 40},
        {"view": 2, "log_view": 2},
        {"commit": 4},
        {"commit_max": 5},
    ],
)
def test_numbers_that_do_not_fit_or_go_back_are_seen(changed: dict[str, int]) -> None:
    checker = Forward()
    checker.stepped(R, STANDING)
    checker.stepped(R, replace(STANDING, commit=6, op=38))
    with pytest.raises(Failure):
        checker.stepped(R, replace(STANDING, **changed))  # type: ignore[arg-type]


def test_a_restart_may_know_less() -> None:
    checker = Forward()
    checker.stepped(R, STANDING)
    checker.stepped(R, replace(STANDING, life=2, commit=0, commit_max=0))


def test_what_was_acknowledged_and_is_gone_is_seen() -> None:
    checker = Kept()
    checker.begun(R, Start(0))
    checker.sent(sent("PrepareOk", op=5))
    checker.stepped(R, STANDING)
    checker.begun(R, Start(0, head=5, hash=b"h"))
    for wrong in (Start(0, head=4), Start(0, head=5, hash=b"another")):
        with pytest.raises(Failure, match="acknowledge"):
            checker.begun(R, wrong)
    with pytest.raises(Failure, match="ends with 4"):
        checker.stepped(R, replace(STANDING, op=4))


@pytest.mark.parametrize("how", ["cut", "forgot", "doubt", "replaced"])
def test_what_was_given_up_or_is_in_doubt_may_be_gone(how: str) -> None:
    checker = Kept()
    checker.begun(R, Start(0))
    checker.sent(sent("PrepareOk", op=5))
    if how == "cut":
        checker.cut(R, 4)
    elif how == "forgot":
        checker.forgot(R)
    start = Start(0, head=4, certain=how != "doubt", incarnation=int(how == "replaced"))
    checker.begun(R, start)


def asked_for_view_3() -> Remembered:
    checker = Remembered()
    checker.begun(R, Start(0))
    checker.asked(R, 1, STATE, None)
    return checker


def test_a_memory_that_is_not_what_was_asked_for_is_seen() -> None:
    older = msgspec.structs.replace(STATE, view=View(2), log_view=View(2))
    asked_for_view_3().remembered(R, 1, BLOCK)
    asked_for_view_3().remembered(R, 1, None)
    with pytest.raises(Failure, match="asked for view 3"):
        asked_for_view_3().remembered(R, 1, msgspec.structs.replace(BLOCK, view_state=older))


@pytest.mark.parametrize(
    "changed",
    [
        {"sequence": 3},
        {"view_state": msgspec.structs.replace(STATE, view=View(2), log_view=View(2))},
        {"view_state": msgspec.structs.replace(STATE, log_view=View(4))},
        {"snapshot": SnapshotRef(op=Op(1))},
    ],
)
def test_a_memory_that_goes_back_is_seen(changed: dict[str, object]) -> None:
    checker = Remembered()
    checker.begun(R, Start(0))
    named = msgspec.structs.replace(BLOCK, snapshot=SnapshotRef(op=Op(2)))
    checker.remembered(R, 1, named)
    checker.remembered(R, 2, msgspec.structs.replace(named, sequence=5))
    with pytest.raises(Failure):
        checker.remembered(R, 3, msgspec.structs.replace(named, **{"sequence": 6, **changed}))


def test_snapshots_of_one_op_that_differ_are_seen() -> None:
    checker = Snapshots()
    ref = SnapshotRef(op=Op(7), digest=b"d" * 32, size=90)
    checker.asked(R, 1, STATE, None)
    checker.asked(R, 2, None, ref)
    checker.asked((1, 1), 1, None, ref)
    checker.asked((2, 1), 1, None, msgspec.structs.replace(ref, digest=b"e" * 32))
    with pytest.raises(Failure, match="different snapshots of op 7"):
        checker.asked((1, 2), 1, None, msgspec.structs.replace(ref, digest=b"e" * 32))


def test_an_op_for_a_newer_program_is_seen() -> None:
    watch = Watch({}, [Versions(lambda replica: 1)])
    appends(2).tell(watch)
    story = Story()
    story.add(append(1), outcome(1), kernel=2)
    with pytest.raises(Failure, match="applies op 1 of kernel version 2"):
        story.tell(watch)
