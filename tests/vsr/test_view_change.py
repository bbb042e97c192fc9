"""Leaving a view and beginning the next without losing or inventing anything."""

import pytest

from tests.marks import reaches
from tests.vsr.harness import Group, Site, proposal
from veritydb.types.ids import Op, View
from veritydb.types.limits import MS_NS, SECOND_NS
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status


def others(group: Group, site: Site) -> list[Site]:
    return [other for other in group.sites if other is not site]


def test_a_dead_primary_is_replaced_within_a_second() -> None:
    group = Group()
    group.propose("a")
    group.run(200)
    old = group.primary()
    old.crash()
    took = group.until(lambda: any(s.live.is_primary for s in others(group, old)))
    assert took <= 1_000
    group.propose("b")
    group.run(100)
    assert all(group.words(site.index) == ["a", "b"] for site in others(group, old))


def test_a_lost_connection_makes_it_faster() -> None:
    group = Group()
    group.run(200)
    old = group.primary()
    old.crash()
    for site in others(group, old):
        site.step(ev.PeerLost(old.index))
    took = group.until(lambda: any(s.live.is_primary for s in others(group, old)))
    assert took <= 400


def test_a_flapping_connection_alone_changes_nothing() -> None:
    group = Group()
    view = group.primary().live.view
    primary = group.primary().index
    for _ in range(100):
        for site in group.sites:
            if site.index != primary:
                site.step(ev.PeerLost(primary))
        group.run(100)
        for site in group.sites:
            if site.index != primary:
                site.step(ev.PeerReached(primary))
    assert group.primary().live.view == view


def test_one_that_cannot_hear_the_primary_deposes_nobody() -> None:
    group = Group()
    primary = group.primary()
    deaf = others(group, primary)[0]
    group.cut_links.add((primary.index, deaf.index))
    view = primary.live.view
    group.run(10_000)
    assert primary.live.view == view and primary.live.is_primary
    group.propose("a")
    assert group.words(primary.index) == ["a"]


def test_replayed_heartbeats_keep_no_dead_primary_alive() -> None:
    group = Group()
    group.run(300)
    old = group.primary()
    heard = [(to, msg) for _, to, msg in group.sent if isinstance(msg, m.Heartbeat)]
    heard = [(to, msg) for to, msg in heard if msg.view == old.live.view]
    old.crash()

    def replay() -> bool:
        for to, msg in heard:
            group.sites[to].step(ev.Received(msg))
        return any(site.live.is_primary for site in others(group, old))

    assert group.until(replay) <= 1_200


def test_an_op_that_was_not_committed_keeps_its_header() -> None:
    group = Group()
    old = group.primary()
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.PrepareOk)
    group.propose("a")
    frame = old.live._s.log.frames[1]
    assert old.committed == []
    old.crash()
    group.heal()
    group.until(lambda: any(s.committed for s in others(group, old)))
    new = group.primary()
    assert new.committed[0].header == frame.header
    assert frame.header.view < new.live.view


def isolated_tail(group: Group) -> Site:
    """A primary that is cut off and has two ops that nobody else has."""
    group.propose("a")
    group.run(100)
    old = group.primary()
    group.partition(old.index)
    for word in ("lost1", "lost2"):
        old.step(ev.Proposed((proposal(word * 20_000),)))
    group.settle()
    assert old.live.op == 3
    group.until(lambda: any(s.live.is_primary for s in others(group, old)))
    new = next(s for s in others(group, old) if s.live.is_primary)
    for word in ("b", "c", "d"):
        new.step(ev.Proposed((proposal(word),)))
        group.settle()
    return old


def test_what_only_an_old_primary_had_is_cut() -> None:
    group = Group()
    old = isolated_tail(group)
    assert old.live.op == 3
    group.heal()
    group.run(1_000)
    assert group.words(old.index) == ["a", "b", "c", "d"]
    group.same_logs()


def test_a_stale_log_is_never_committed_by_its_owner_as_new_primary() -> None:
    """It hears how far others committed, and must not take its own ops for those."""
    group = Group()
    old = isolated_tail(group)
    group.heal()
    for site in others(group, old):
        site.crash()
    back = others(group, old)[0]
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.StartView)
    back.start()
    group.run(3_000)
    group.heal()
    group.run(3_000)
    assert group.words(old.index)[:4] == ["a", "b", "c", "d"]
    assert [f.header.hash for f in old.committed] == group.canon


def test_the_longer_but_older_log_does_not_win() -> None:
    group = Group()
    group.propose("a")
    group.run(100)
    old = group.primary()
    group.partition(old.index)
    for number in range(6):
        old.step(ev.Proposed((proposal(f"lost{number}" * 20_000),)))
    group.settle()
    group.until(lambda: any(s.live.is_primary for s in others(group, old)))
    new = next(s for s in others(group, old) if s.live.is_primary)
    third = next(s for s in others(group, old) if s is not new)
    new.step(ev.Proposed((proposal("b"),)))
    group.settle()
    new.crash()
    group.heal()
    group.until(lambda: "b" in group.words(old.index))
    group.run(500)
    assert group.words(old.index) == group.words(third.index) == ["a", "b"]


def test_what_is_said_in_a_view_change_is_the_same_after_a_crash() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.PrepareOk | m.DoViewChange)
    group.propose("b")
    old.crash()
    site = others(group, old)[0]
    group.until(lambda: site.live.status == Status.VIEW_CHANGE)
    view = site.live.view
    group.run(150)
    site.crash()
    site.start()
    group.run(150)
    said = [
        msg.headers
        for source, _, msg in group.sent
        if source == site.index and isinstance(msg, m.DoViewChange) and msg.view == view
    ]
    assert len(said) > 2 and len(set(said)) == 1 and said[0]


def test_nothing_is_said_before_the_view_is_durable() -> None:
    group = Group()
    old = group.primary()
    group.run(100)
    site = others(group, old)[0]
    site.held = True
    old.crash()
    group.sent.clear()
    group.run(2_000)
    mine = [msg for source, _, msg in group.sent if source == site.index]
    assert not any(isinstance(msg, m.DoViewChange) for msg in mine)
    assert site.live.view > site.disk.state.view
    site.held = False
    group.until(lambda: any(s.live.is_primary for s in others(group, old)))


def test_a_rotten_frame_is_never_given_up() -> None:
    """Acknowledged by a primary that died and by one whose copy rotted: wait, do not truncate."""
    group = Group()
    group.propose("a")
    group.run(100)
    old = group.primary()
    keeper, empty = others(group, old)
    group.partition(empty.index)
    group.propose("b")
    assert group.words(old.index) == ["a", "b"]
    assert group.words(keeper.index) in (["a"], ["a", "b"])
    old.crash()
    keeper.crash()
    keeper.disk.rotten.add(2)
    group.heal()
    keeper.start()
    group.sent.clear()
    with reaches("vsr.merge_await_repair"):
        group.run(5_000)
    assert not keeper.live.is_primary and not empty.live.is_primary
    said = [msg for source, _, msg in group.sent if source == keeper.index]
    words = [msg for msg in said if isinstance(msg, m.DoViewChange)]
    assert words and all(msg.headers[-1].op == 2 for msg in words)
    assert not any((msg.present | msg.nacks) >> (len(msg.headers) - 1) & 1 for msg in words)
    assert keeper.disk.frames[2].header.hash == group.canon[1]
    old.start()
    group.until(lambda: all("b" in group.words(at) for at in range(3)), 20_000)


def test_where_all_copies_have_rotted_all_wait_until_one_can_be_read() -> None:
    """All have told, and two of them cannot say that they never had it: nothing is given up."""
    group = Group()
    group.propose("a")
    group.run(100)
    old = group.primary()
    keeper, empty = others(group, old)
    group.partition(empty.index)
    group.propose("b")
    assert group.words(old.index) == ["a", "b"]
    for site in (old, keeper):
        site.crash()
        site.disk.rotten.add(2)
    group.heal()
    with reaches("vsr.merge_deadlock"):
        for site in (old, keeper):
            site.start()
        group.run(5_000)
    assert not any(site.live.is_primary for site in group.sites)
    old.crash()
    old.disk.rotten.clear()
    old.start()
    group.until(lambda: all("b" in group.words(at) for at in range(3)), 20_000)


def test_what_was_never_acknowledged_does_not_block() -> None:
    """The only copy of an uncommitted op is gone with its primary: go on without."""
    group = Group()
    group.propose("a")
    group.run(100)
    old = group.primary()
    group.partition(old.index)
    old.step(ev.Proposed((proposal("never"),)))
    group.settle()
    old.crash()
    group.propose("b")
    group.run(100)
    for site in others(group, old):
        assert group.words(site.index) == ["a", "b"]


def test_a_primary_that_reaches_nobody_falls_silent() -> None:
    group = Group()
    primary = group.primary()
    for site in others(group, primary):
        group.cut_links.add((site.index, primary.index))
    primary.step(ev.Proposed((proposal("a"),)))
    group.until(lambda: any(s.live.is_primary for s in others(group, primary)), 5_000)
    assert not primary.live.is_primary


def test_a_primary_that_sends_only_small_messages_makes_room() -> None:
    group = Group()
    primary = group.primary()
    bad = primary.index
    group.filter = lambda source, _to, msg: (
        not (source == bad and isinstance(msg, m.Prepare | m.Frames))
    )
    primary.step(ev.Proposed((proposal("a"),)))
    group.until(lambda: any(s.live.is_primary for s in others(group, primary)), 10_000)
    new = next(s for s in others(group, primary) if s.live.is_primary)
    new.step(ev.Proposed((proposal("b"),)))
    group.run(500)
    assert "b" in group.words(new.index)


def test_a_primary_whose_clock_is_off_makes_room() -> None:
    group = Group()
    old = group.primary()
    old.wall_offset = 60 * SECOND_NS
    group.until(
        lambda: any(s.live.is_primary and s.live.can_accept(1) for s in others(group, old)), 30_000
    )
    assert not old.live.can_accept(1)
    group.propose("a")
    group.run(200)
    assert all(group.words(at) == ["a"] for at in range(3))


def test_when_no_clocks_agree_nobody_is_deposed() -> None:
    group = Group()
    for site in group.sites:
        site.wall_offset = site.index * 60 * SECOND_NS
    group.run(2_000)
    view = group.primary().live.view
    group.run(10_000)
    assert group.primary().live.view == view
    assert not group.primary().live.can_accept(1)


def test_stepping_down_hands_over_quickly() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    old.step(ev.StepDown())
    assert not old.live.is_primary
    group.settle()
    assert any(s.live.is_primary for s in others(group, old))
    group.propose("b")
    group.run(100)
    assert all(group.words(at) == ["a", "b"] for at in range(3))


def test_alone_there_is_nobody_to_step_down_for() -> None:
    group = Group(1)
    group.sites[0].step(ev.StepDown())
    group.propose("a")
    assert group.words(0) == ["a"]


def test_a_replica_in_an_old_view_does_not_keep_the_others_from_leaving() -> None:
    """Two are left: one follows a dead primary, the other was away since the view before."""
    group = Group()
    group.propose("a")
    first = group.primary()
    away = others(group, first)[1]
    group.run(100)
    group.partition(away.index)
    first.crash()
    group.run(2_000)
    first.start()
    group.until(lambda: any(s.replica and s.live.is_primary for s in others(group, away)))
    second = next(s for s in others(group, away) if s.live.is_primary)
    group.run(500)
    second.crash()
    group.heal()
    group.until(lambda: any(s.replica and s.live.is_primary for s in others(group, second)))


def test_a_paused_replica_does_not_take_its_own_sleep_for_silence() -> None:
    group = Group()
    group.run(300)
    backup = others(group, group.primary())[0]
    view = group.primary().live.view
    for _ in range(300):
        group.now += 10 * MS_NS
        for site in group.sites:
            if site is not backup:
                site.tick()
        group.wire = type(group.wire)(item for item in group.wire if item[1] != backup.index)
        group.settle()
    group.sent.clear()
    backup.tick()
    assert not any(isinstance(msg, m.StartViewChange) for _, _, msg in group.sent)
    group.run(1_000)
    assert group.primary().live.view == view


@pytest.mark.parametrize("seed", range(5))
def test_equal_timeouts_do_not_resonate(seed: int) -> None:
    group = Group(seed=seed)
    for _ in range(5):
        old = group.primary()
        old.crash()
        took = group.until(lambda: any(s.replica and s.live.is_primary for s in group.sites))
        assert took <= 2_500
        old.start()
        group.run(1_000)


def test_a_request_at_an_old_primary_is_told_to_be_lost() -> None:
    group = Group()
    old = group.primary()
    old.roles.clear()
    old.step(ev.StepDown())
    group.settle()
    assert any(role.dropped for role in old.roles)


def test_headers_of_a_view_speak_for_frames_that_have_not_come() -> None:
    """A backup knows how its view began but lacks the frames; its word must not shorten the log."""
    group = Group()
    group.propose("a")
    group.run(100)
    first = group.primary()
    second = group.sites[(first.index + 1) % 3]
    third = group.sites[(first.index + 2) % 3]
    group.partition(third.index)
    group.propose("b")
    assert group.words(first.index) == ["a", "b"]
    first.crash()
    group.heal()
    group.filter = lambda _from, to, msg: (
        not (to == third.index and isinstance(msg, m.Frames | m.Prepare))
    )
    group.until(lambda: third.live.status == Status.NORMAL and third.live.log_view > 1)
    group.run(100)
    assert second.live.is_primary and third.live.op == 1
    second.crash()
    first.start()
    group.heal()
    group.propose("c")
    group.run(500)
    assert group.words(first.index) == group.words(third.index) == ["a", "b", "c"]


def test_headers_that_were_asked_for_are_not_taken_for_the_end_of_the_log() -> None:
    """A stale op was compared with a header from the middle; what the view announced has a gap."""
    group = Group()
    old = isolated_tail(group)
    new = next(s for s in others(group, old) if s.live.is_primary)
    group.heal()
    group.filter = lambda _from, to, msg: not (to == old.index and isinstance(msg, m.Frames))
    group.until(lambda: old.live.status == Status.NORMAL and old.live.log_view == new.live.view)
    assert old.live.op == 1
    new.crash()
    group.until(lambda: old.live.view > new.disk.state.view)
    group.heal()
    group.propose("e")
    group.run(1_500)
    assert group.words(old.index) == ["a", "b", "c", "d", "e"]


def test_a_primary_whose_disk_hangs_lets_another_lead() -> None:
    """The backups agree without it, and it hears them, but it can answer nobody."""
    group = Group()
    group.propose("a")
    hung = group.primary()
    hung.held = True
    group.propose("b")
    assert hung.live.commit_max == 2 and hung.live.commit == 1
    group.until(lambda: any(s.live.is_primary for s in others(group, hung)), 3_000)
    group.propose("c")
    group.run(100)
    assert all(group.words(s.index) == ["a", "b", "c"] for s in others(group, hung))


def test_a_primary_that_was_idle_for_long_is_not_taken_for_one_that_hangs() -> None:
    group = Group()
    group.propose("a")
    primary = group.primary()
    group.run(5_000)
    primary.held = True
    group.propose("b")
    group.run(20)
    primary.held = False
    group.run(1_000)
    assert group.primary() is primary and primary.live.commit == 2


def test_frames_from_a_backup_tell_what_is_committed() -> None:
    """Else the end of the log, as it was told in a view change, was longer than it may be."""
    group = Group()
    group.propose("a")
    primary = group.primary()
    other, late = others(group, primary)
    group.cut_links = {(site.index, late.index) for site in (primary, other)}
    for number in range(60):
        group.propose(f"w{number}")
    frames = tuple(primary.disk.frames[op] for op in range(2, 62))
    common = other.live._s.common
    late.step(ev.Received(m.Frames(**common, certain=Op(0), normal=True, frames=frames)))
    assert late.live.op == 61 and late.live.commit_max == 60
    late.step(ev.Received(m.StartViewChange(**{**common, "view": View(7)})))
    assert late.live.status == Status.VIEW_CHANGE
    assert [header.op for header in late.live._s.view_headers] == [60, 61]
