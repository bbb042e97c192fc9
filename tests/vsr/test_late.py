"""Answers and reads that come when they are no longer asked for: nothing may come of them."""

from tests.marks import reaches
from tests.vsr.harness import Group, Site
from tests.vsr.test_transfer import Scene
from veritydb.storage.history import NOTHING
from veritydb.types.ids import Op
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.state import Purpose


def pair() -> tuple[Group, Site, Site]:
    """A group with a log, its primary and a backup."""
    group = Group()
    for number in range(4):
        group.propose(f"w{number}")
    primary = group.primary()
    return group, primary, next(site for site in group.sites if site is not primary)


def test_a_part_of_a_snapshot_that_is_held_already() -> None:
    scene = Scene()
    to, _ = scene.wait_for(m.RequestSnapshot)
    ref = scene.ref(30)
    scene.offer(to, ref)
    scene.part(to, ref, 0, 400)
    scene.late.step(ev.SnapshotSaved(Op(30), 400))
    scene.late.asked.clear()
    with reaches("vsr.part_not_asked_for"):
        scene.part(to, ref, 0, 400)
    assert not scene.late.asked


def test_a_peer_without_the_history_makes_room_for_another() -> None:
    scene = Scene()
    scene.installed(30)
    first, _ = scene.wait_for(m.RequestHistory)
    nothing = m.HistoryPart(**scene.common(first), last=Op(30), history=NOTHING)
    with reaches("vsr.history_not_there"):
        scene.late.step(ev.Received(nothing))
    second, _ = scene.wait_for(m.RequestHistory)
    assert second != first


def test_a_start_view_of_somebody_who_is_not_that_views_primary() -> None:
    _, primary, backup = pair()
    lie = m.StartView(**backup.live._s.common, nonce=0, commit=Op(4), headers=backup.disk.headers())
    with reaches("vsr.start_view_of_an_older_view"):
        primary.step(ev.Received(lie))
    assert primary.live.is_primary


def test_a_frame_that_was_read_for_a_commit_that_has_happened() -> None:
    _, _, backup = pair()
    token = backup.live._s.next_token(Purpose.COMMIT)
    known = len(backup.committed)
    with reaches("vsr.commit_read_too_late"):
        backup.step(ev.FramesRead(token, Op(1), (backup.disk.frames[1],)))
    assert len(backup.committed) == known


def test_frames_that_were_read_for_a_peer_before_the_log_was_cut() -> None:
    group, primary, backup = pair()
    state = primary.live._s
    token = state.next_token(Purpose.SERVE_FRAMES, backup.index)
    state.cuts += 1
    sent = len(group.sent)
    with reaches("vsr.read_before_a_cut"):
        primary.step(ev.FramesRead(token, Op(1), (primary.disk.frames[1],)))
    assert len(group.sent) == sent


def test_headers_come_from_a_backup_when_the_primarys_disk_hangs() -> None:
    """Its heartbeats go on, so nobody leaves its view (found by the simulator)."""
    group, primary, late = pair()
    group.filter = lambda _from, to, message: to != late.index or isinstance(message, m.Prepare)
    for number in range(3):
        group.propose(f"uncertain{number}")
    late.crash()
    group.filter = lambda _from, _to, _message: True
    for number in range(60):
        group.propose(f"w{number}")
    primary.step(ev.StepDown())
    group.until(lambda: any(s.live.is_primary for s in group.sites if s not in (late, primary)))
    leader = group.primary()
    group.filter = lambda source, _to, message: (
        source != leader.index or not isinstance(message, m.Headers)
    )
    late.start()
    group.run(5_000)
    assert group.words(late.index) == group.words(leader.index)
