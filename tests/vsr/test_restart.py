"""What a replica does with what it finds on its disk."""

from random import Random

import msgspec
import pytest

from tests.vsr.harness import CLUSTER, GROUP, Disk, Group, Site, proposal
from veritydb.types.ids import Op
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.config import Config, Status
from veritydb.vsr.replica import Replica


def others(group: Group, site: Site) -> list[Site]:
    return [other for other in group.sites if other is not site]


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_group_that_lost_power_goes_on(replicas: int) -> None:
    group = Group(replicas)
    for number in range(10):
        group.propose(f"w{number}")
    for site in group.sites:
        site.crash()
    for site in group.sites:
        site.start()
    group.propose("after")
    group.run(200)
    for site in group.sites:
        assert group.words(site.index) == [f"w{n}" for n in range(10)] + ["after"]


def test_a_backup_comes_back_into_its_view() -> None:
    group = Group()
    group.propose("a")
    view = group.primary().live.view
    backup = others(group, group.primary())[0]
    backup.crash()
    group.propose("b")
    backup.start()
    group.run(500)
    assert group.primary().live.view == view
    assert group.words(backup.index) == ["a", "b"]


def test_a_primary_never_goes_on_where_it_was() -> None:
    """It may have proposed what it forgot, so another op of the same number would be two."""
    group = Group()
    old = group.primary()
    old.held = True
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.PrepareOk)
    group.propose("forgotten")
    view = old.live.view
    old.crash()
    group.heal()
    old.held = False
    old.start()
    assert old.live.view == view + 1
    group.propose("b")
    group.run(500)
    assert group.words(old.index) == ["forgotten", "b"]


def test_alone_nothing_is_done_in_a_view_that_is_not_durable() -> None:
    group = Group(1)
    group.propose("a")
    site = group.sites[0]
    view = site.disk.state.view
    site.crash()
    site.held = True
    site.start()
    group.settle()
    assert not site.live.is_primary and not site.live.can_accept(1)
    site.held = False
    group.settle()
    assert site.live.is_primary and site.disk.state.view == view + 1
    assert group.words(0) == ["a"]


def test_a_long_log_is_read_back_in_pieces() -> None:
    group = Group()
    for number in range(1_500):
        group.propose(f"w{number}")
    backup = others(group, group.primary())[0]
    backup.crash()
    backup.start()
    group.run(500)
    assert group.words(backup.index) == [f"w{n}" for n in range(1_500)]


def test_a_replica_that_was_away_for_long_catches_up_while_others_write() -> None:
    group = Group()
    backup = others(group, group.primary())[0]
    backup.crash()
    for number in range(1_500):
        group.propose(f"w{number}")
    backup.start()
    for number in range(1_500, 1_560):
        group.propose(f"w{number}")
        group.run(10)
    group.run(1_000)
    assert group.words(backup.index) == [f"w{n}" for n in range(1_560)]
    group.same_logs()


def test_catching_up_resumes_at_another_peer() -> None:
    group = Group()
    primary = group.primary()
    backup = others(group, primary)[0]
    backup.crash()
    for number in range(600):
        group.propose(f"w{number}")
    backup.start()
    group.filter = lambda source, to, msg: (
        not (source == primary.index and to == backup.index and isinstance(msg, m.Frames))
    )
    group.run(3_000)
    assert len(backup.committed) == 600


def forget(site: Site, count: int) -> None:
    """Crash and lose the end of the log, and know only that it may have been lost."""
    site.crash()
    for op in sorted(site.disk.frames)[len(site.disk.frames) - count :]:
        del site.disk.frames[op]
    site.disk.head_certain = False


def test_one_that_forgot_neither_votes_nor_acknowledges() -> None:
    group = Group()
    group.propose("a")
    group.propose("b")
    primary = group.primary()
    backup, third = others(group, primary)
    third.crash()
    forget(backup, 1)
    group.cut_links = {(primary.index, backup.index)}
    group.sent.clear()
    backup.start()
    group.run(3_000)
    assert backup.live.status == Status.RECOVERING_HEAD
    mine = {type(msg) for source, _, msg in group.sent if source == backup.index}
    assert mine <= {m.Ping, m.Pong, m.RequestStartView}
    group.heal()
    group.run(1_000)
    assert backup.live.status == Status.NORMAL
    assert group.words(backup.index) == ["a", "b"]


def test_one_that_forgot_believes_no_answer_to_an_older_question() -> None:
    group = Group()
    group.propose("a")
    primary = group.primary()
    backup = others(group, primary)[0]
    old = next(
        msg
        for _, to, msg in group.sent
        if to == backup.index and isinstance(msg, m.StartView) and msg.view == primary.live.view
    )
    group.propose("b")
    forget(backup, 1)
    group.partition(backup.index)
    backup.start()
    backup.step(ev.Received(old))
    group.settle()
    assert backup.live.status == Status.RECOVERING_HEAD and backup.disk.state.recovering == 0
    assert not backup.live._s.installed


def test_one_that_forgot_and_was_ahead_takes_the_others_along() -> None:
    group = Group()
    group.propose("a")
    primary = group.primary()
    backup = others(group, primary)[0]
    group.run(100)
    group.partition(backup.index)
    vote = m.StartViewChange(**{**backup.live._s.common, "sender": primary.index})
    group.run(1_000)
    backup.step(ev.Received(vote))
    group.settle()
    assert backup.disk.state.view > primary.live.view
    forget(backup, 0)
    backup.start()
    group.heal()
    group.until(lambda: backup.live.status == Status.NORMAL)
    group.propose("b")
    group.run(100)
    assert group.words(backup.index) == ["a", "b"]


def test_recovery_outlives_another_crash() -> None:
    """It was told how far to recover, and forgets neither that nor how far it got."""
    group = Group()
    for number in range(5):
        group.propose(f"w{number}")
    primary = group.primary()
    backup = others(group, primary)[0]
    forget(backup, 3)
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.Frames)
    backup.start()
    group.run(500)
    assert backup.disk.state.recovering == 5
    backup.crash()
    backup.disk.head_certain = True
    backup.start()
    group.run(300)
    assert backup.live.status == Status.RECOVERING_HEAD
    group.heal()
    group.run(1_000)
    assert backup.live.status == Status.NORMAL and backup.disk.state.recovering == 0


def test_a_lone_replica_refuses_to_start_on_rot() -> None:
    group = Group(1)
    group.propose("a")
    group.propose("b")
    site = group.sites[0]
    site.crash()
    site.disk.rotten.add(2)
    site.start()
    assert site.halted is not None and site.halted.kind == fx.HaltKind.DAMAGED
    assert "op 2" in site.halted.reason


def test_a_view_change_goes_on_after_a_crash() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.DoViewChange)
    old.crash()
    site = others(group, old)[0]
    group.until(lambda: site.live.status == Status.VIEW_CHANGE)
    group.run(100)
    site.crash()
    site.start()
    assert site.live.status == Status.VIEW_CHANGE
    assert site.live.log_view < site.live.view
    group.heal()
    group.propose("b")
    group.run(200)
    assert group.words(site.index) == ["a", "b"]


# -- replaced replicas


def test_a_lost_disk_is_replaced_under_load() -> None:
    group = Group()
    for number in range(700):
        group.propose(f"w{number}")
    lost = others(group, group.primary())[0]
    lost.crash()
    lost.disk = Disk(lost.index, 3, incarnation=1)
    group.sent.clear()
    lost.start()
    group.run(1_000)
    assert lost.live.status == Status.JOINING and lost.live.op == 0
    group.propose(f"replace {lost.index} 1")
    for number in range(20):
        group.propose(f"x{number}")
        group.run(10)
    group.run(2_000)
    assert lost.live.status == Status.NORMAL
    assert lost.disk.state.members[lost.index] == 1
    assert len(lost.committed) == 721
    group.same_logs()
    joined = next(
        at
        for at, (source, _, msg) in enumerate(group.sent)
        if source == lost.index and isinstance(msg, m.PrepareOk)
    )
    acknowledged = group.sent[joined][2]
    assert isinstance(acknowledged, m.PrepareOk) and acknowledged.op > 700


def test_the_old_incarnation_is_refused_for_ever_and_stops() -> None:
    group = Group()
    group.propose("a")
    old = others(group, group.primary())[0]
    group.partition(old.index)
    group.propose(f"replace {old.index} 1")
    group.run(100)
    group.heal()
    group.filter = lambda _from, _to, msg: (
        not isinstance(msg, m.Prepare | m.Frames | m.Heartbeat | m.StartView)
    )
    group.run(1_000)
    assert old.halted is not None and old.halted.kind == fx.HaltKind.REPLACED
    old.crash()
    old.start()
    group.heal()
    group.run(1_000)
    assert old.halted is not None


def test_one_that_applies_its_own_replacement_stops() -> None:
    group = Group()
    old = others(group, group.primary())[0]
    group.propose(f"replace {old.index} 1")
    group.run(200)
    assert old.halted is not None and old.halted.kind == fx.HaltKind.REPLACED
    old.crash()
    state = msgspec.structs.replace(old.disk.state, members=group.primary().live.members)
    old.disk.state = state
    old.start()
    assert old.halted is not None


def test_an_older_replacement_has_no_effect() -> None:
    group = Group()
    site = group.primary()
    site.live.replace_member((site.index + 1) % 3, 0, Op(1))
    site.live.replace_member(7, 1, Op(1))
    assert site.live.members == (0, 0, 0)


def test_members_are_durable() -> None:
    group = Group()
    lost = others(group, group.primary())[0]
    lost.crash()
    group.propose(f"replace {lost.index} 4")
    group.run(200)
    for site in others(group, lost):
        assert site.disk.state.members[lost.index] == 4
        config = Config(cluster=CLUSTER, group=GROUP, index=site.index, replicas=3, kernel=1)
        assert Replica(config, site.disk.recovered(), Random(1)).members[lost.index] == 4


# -- rot found while running


def test_rot_is_mended_from_a_peer() -> None:
    group = Group()
    for number in range(600):
        group.propose(f"w{number}")
    backup = others(group, group.primary())[0]
    backup.crash()
    backup.disk.rotten.update((3, 4, 599))
    backup.start()
    group.run(1_000)
    assert not backup.disk.rotten and backup.live.faulty == 0
    assert len(backup.committed) == 600


def test_rot_is_not_served_and_found_by_serving() -> None:
    group = Group()
    for number in range(600):
        group.propose(f"w{number}")
    primary = group.primary()
    backup, third = others(group, primary)
    backup.crash()
    for op in list(backup.disk.frames):
        if op > 1:
            del backup.disk.frames[op]
    backup.disk.state = msgspec.structs.replace(backup.disk.state, commit=Op(0))
    primary.disk.rotten.add(2)
    # Here it is only a way to have much to fetch, and nobody is to stop it for what it lost.
    group.filter = lambda _from, _to, message: not isinstance(message, m.Promised)
    backup.start()
    group.run(5_000)
    assert not primary.disk.rotten
    assert third.live.faulty == 0
    group.same_logs()


def test_a_wrong_frame_mends_nothing() -> None:
    group = Group()
    group.propose("a")
    group.propose("b")
    group.run(100)
    backup = others(group, group.primary())[0]
    backup.crash()
    backup.disk.rotten.add(1)
    group.partition(backup.index)
    backup.start()
    frame = backup.disk.frames[1]
    changed = msgspec.structs.replace(frame, body=frame.body[:-1] + b"?")
    common = {**group.primary().live._s.common}
    message = m.Frames(**common, certain=Op(2), normal=True, frames=(changed,))
    assert not any(
        isinstance(effect, fx.RepairFrame) for effect in backup.live.step(ev.Received(message))
    )
    message = m.Frames(**common, certain=Op(2), normal=True, frames=(frame,))
    assert any(
        isinstance(effect, fx.RepairFrame) for effect in backup.live.step(ev.Received(message))
    )


# -- reads


def read(site: Site, token: int) -> None:
    site.step(ev.ReadIndex(token))


def test_a_read_waits_for_a_round_of_heartbeats() -> None:
    group = Group()
    group.propose("a")
    primary = group.primary()
    group.filter = lambda _from, to, _msg: to != primary.index
    read(primary, 1)
    group.settle()
    assert primary.ready_reads == {}
    group.heal()
    read(primary, 2)
    group.run(100)
    assert primary.ready_reads == {1: 1, 2: 1}


def test_a_read_sees_what_a_backup_shows_already() -> None:
    """Both backups hold an op and its primary's own disk does not yet: it is committed."""
    group = Group()
    primary = group.primary()
    primary.held = True
    primary.step(ev.Proposed((proposal("a"),)))
    group.settle()
    group.run(100)
    shown = [site for site in group.sites if site.committed]
    assert shown and primary not in shown
    read(primary, 1)
    group.run(100)
    assert primary.ready_reads == {}
    primary.held = False
    group.run(100)
    assert primary.ready_reads == {1: 1}


def test_readers_share_rounds() -> None:
    group = Group()
    group.propose("a")
    primary = group.primary()
    group.sent.clear()
    for token in range(100):
        read(primary, token)
    group.settle()
    assert primary.ready_reads == dict.fromkeys(range(100), 1)
    beats = [msg for _, _, msg in group.sent if isinstance(msg, m.Heartbeat)]
    assert len(beats) <= 6


def test_a_primary_that_was_replaced_answers_no_read() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    group.partition(old.index)
    read(old, 1)
    group.until(lambda: any(s.live.is_primary for s in others(group, old)))
    assert old.ready_reads.get(1) is None
    group.heal()
    group.run(1_000)
    assert old.ready_reads == {1: None}


def test_a_new_primary_first_commits_what_it_began_with() -> None:
    group = Group()
    old = group.primary()
    group.filter = lambda _from, _to, msg: not isinstance(msg, m.PrepareOk)
    group.propose("a")
    old.crash()
    group.until(lambda: any(s.live.is_primary for s in others(group, old)))
    new = next(s for s in others(group, old) if s.live.is_primary)
    read(new, 1)
    group.settle()
    assert new.ready_reads == {}
    group.heal()
    group.run(200)
    assert new.ready_reads == {1: 1}


def test_a_backup_and_a_lone_replica_answer_at_once() -> None:
    group = Group()
    backup = others(group, group.primary())[0]
    read(backup, 1)
    assert backup.ready_reads == {1: None}
    alone = Group(1)
    alone.propose("a")
    read(alone.sites[0], 1)
    alone.settle()
    assert alone.sites[0].ready_reads == {1: 1}


def test_a_proposal_after_a_restart_is_stamped_with_what_was_applied() -> None:
    group = Group()
    for number in range(40):
        group.propose(f"w{number}")
    for site in group.sites:
        site.crash()
    for site in group.sites:
        site.start()
    primary = group.primary()
    primary.step(ev.Proposed((proposal("now"),)))
    group.run(300)
    header = primary.committed[-1].header
    assert header.commit >= header.op - 32
    assert header.outcomes == primary.heads[header.commit]
