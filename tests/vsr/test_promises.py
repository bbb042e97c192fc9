"""A disk that takes back what it called durable, and the primary that remembers what it said."""

import msgspec
import pytest

from tests.marks import reaches
from tests.vsr.harness import Group, Site
from veritydb.types.frame import Frame, seal
from veritydb.types.ids import Op, View
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status


def others(group: Group, site: Site) -> list[Site]:
    return [other for other in group.sites if other is not site]


def lose_log(site: Site, after: int) -> None:
    """The disk forgets the ops behind `after`, and that there ever were any."""
    for op in [op for op in site.disk.frames if op > after]:
        del site.disk.frames[op]


def two_of_three(words: int) -> tuple[Group, Site, Site, Site]:
    """A group in which one backup acknowledged ops that the other one has never seen."""
    group = Group()
    group.propose("known to all")
    primary = group.primary()
    liar, behind = others(group, primary)
    group.cut_links = {(primary.index, behind.index), (liar.index, behind.index)}
    for number in range(words):
        group.propose(f"w{number}")
    assert primary.live.commit == words + 1
    group.cut_links = set()
    return group, primary, liar, behind


def test_a_replica_that_forgot_what_it_promised_is_told_and_stops() -> None:
    """Otherwise it and the one that was behind would be a quorum that gives the ops up."""
    group, primary, liar, behind = two_of_three(3)
    group.filter = lambda source, to, message: (
        source != primary.index
        or (to == liar.index and isinstance(message, m.Heartbeat | m.Promised))
    )
    liar.crash()
    lose_log(liar, after=1)
    liar.start()
    group.run(100)
    assert liar.halted is not None and liar.halted.kind == fx.HaltKind.LOST_DISK
    assert "op 4" in liar.halted.reason
    group.filter = lambda _from, _to, _message: True
    group.propose("after")
    group.run(100)
    assert group.words(behind.index) == ["known to all", "w0", "w1", "w2", "after"]


def with_old_record(op: int) -> tuple[Group, Site, Site]:
    """A group, a backup that is down, and the other one.

    The first one's disk has forgotten all from `op` on, and names for it one that was given up.
    """
    group = Group()
    for number in range(5):
        group.propose(f"w{number}")
    liar, other = others(group, group.primary())
    liar.crash()
    before = liar.disk.frames[op - 1].header
    frame = liar.disk.frames[op]
    lose_log(liar, after=op - 1)
    old = msgspec.structs.replace(frame.header, timestamp=before.timestamp + 1, view=View(0))
    liar.disk.frames[op] = Frame(seal(old), frame.body)
    liar.disk.rotten.add(op)
    # Its log is known to be committed as far as this.
    liar.disk.state = msgspec.structs.replace(liar.disk.state, commit=Op(op))
    return group, liar, other


def test_a_record_that_came_back_in_place_of_what_was_acknowledged_stops_its_replica() -> None:
    """Its frame can be had from nobody. Who has a voice and knows that its disk lies uses none."""
    group, liar, _ = with_old_record(3)
    # Nobody remembers what it promised.
    group.filter = lambda _from, _to, message: not isinstance(message, m.Promised)
    liar.start()
    group.run(2_000)
    assert liar.halted is not None and liar.halted.kind == fx.HaltKind.LOST_DISK
    assert "op 3 stands here" in liar.halted.reason
    group.propose("after")


def test_a_record_that_came_back_is_cut_off_by_a_replica_that_recovers_anyway() -> None:
    """It has no voice until it has again all that it may have acknowledged, so it may."""
    group, liar, _ = with_old_record(3)
    liar.disk.head_certain = False
    with reaches("vsr.record_of_another_log"):
        liar.start()
        group.run(2_000)
    assert liar.halted is None and liar.live.status is Status.NORMAL
    group.propose("after")
    group.run(100)
    assert group.words(liar.index) == [*(f"w{number}" for number in range(5)), "after"]


@pytest.mark.parametrize("normal", [False, True])
def test_only_the_primary_of_the_view_can_say_that_a_record_came_back(normal: bool) -> None:
    """Another backup may be the one whose disk lies."""
    group, liar, other = with_old_record(3)
    group.filter = lambda source, to, message: (
        not (
            isinstance(message, m.Promised)
            or (isinstance(message, m.Frames) and to == liar.index and source != other.index)
        )
    )
    liar.start()
    right = other.disk.frames[3]
    answer = m.Frames(**other.live._s.common, certain=Op(3), normal=normal, frames=(right,))
    liar.step(ev.Received(answer))
    group.run(2_000)
    assert liar.halted is None and liar.live.commit == 2


@pytest.mark.parametrize(("log_view", "op"), [(0, 4), (1, 3)])
def test_a_vote_that_denies_a_promise_does_not_count(log_view: int, op: int) -> None:
    """Be it about the view that it had taken up, or about the log."""
    group, primary, liar, _ = two_of_three(3)
    state = primary.live._s
    assert state.view == 1 and state.promised[liar.index] == (1, 4)
    common = {**liar.live._s.common, "view": View(4)}
    headers = tuple(primary.disk.frames[at].header for at in range(1, op + 1))
    vote = m.DoViewChange(
        **common, log_view=View(log_view), commit=Op(1), headers=headers, present=0, nacks=0
    )
    group.sent.clear()
    primary.step(ev.Received(vote))
    assert state.view == 1 and not state.dvcs
    ((_, to, told),) = group.sent
    assert to == liar.index and isinstance(told, m.Promised)
    assert (told.in_view, told.op, told.whose) == (1, 4, 0)


def test_a_log_that_was_cut_by_a_view_change_keeps_its_promises() -> None:
    """An op that was acknowledged and never committed may go; nobody holds that against it."""
    group = Group(replicas=5)
    group.propose("a")
    primary = group.primary()
    backups = others(group, primary)
    group.cut_links = {(primary.index, site.index) for site in backups[1:]}
    group.propose("never committed")
    assert backups[0].live.op == primary.live.op == 2 and primary.live.commit == 1
    group.cut_links = {
        link
        for site in backups[1:]
        for at in (primary, backups[0])
        for link in ((at.index, site.index), (site.index, at.index))
    }
    group.until(lambda: any(site.live.is_primary for site in backups[1:]))
    group.cut_links = set()
    group.run(1_000)
    group.propose("b")
    group.run(100)
    assert all(site.halted is None for site in group.sites)
    assert group.words(backups[0].index) == ["a", "b"]


def test_a_promise_of_another_incarnation_or_of_this_life_stops_nobody() -> None:
    group = Group()
    group.propose("a", "b")
    primary = group.primary()
    backup = others(group, primary)[0]
    common = primary.live._s.common
    there, view = backup.index, primary.live._s.view
    for index, whose, op in ((there, 1, 99), (3 - there, 0, 99), (there, 0, backup.live.op)):
        promised = m.Promised(**common, index=index, whose=whose, in_view=view, op=Op(op))
        group.carry(primary.index, backup.index, promised)
        group.settle()
        assert backup.halted is None and backup.live.status == Status.NORMAL


def test_who_is_told_that_another_was_replaced_goes_on() -> None:
    """A message that was led astray stopped a sound replica."""
    group = Group()
    group.propose("a")
    primary = group.primary()
    for index in range(3):
        if index != primary.index:
            told = m.Replaced(**primary.live._s.common, index=index, by=5)
            group.carry(primary.index, 3 - primary.index - index, told)
    group.settle()
    assert all(site.halted is None for site in group.sites)


def test_one_that_knows_of_its_doubts_is_not_confronted() -> None:
    """A rotten end of the log is noticed at the start: it asks, and is told by the primary."""
    group, _, liar, _ = two_of_three(2)
    liar.crash()
    lose_log(liar, after=1)
    liar.disk.head_certain = False
    liar.start()
    group.run(1_000)
    assert liar.halted is None and liar.live.status == Status.NORMAL and liar.live.op == 3
