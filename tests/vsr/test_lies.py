"""Messages and snapshots that no replica of ours would send: each is refused, and heard of.

The simulator cannot reach these branches, so they are reached here.
"""

import msgspec

from tests.marks import reaches
from tests.vsr.harness import Group, Site, proposal
from tests.vsr.test_transfer import Scene
from veritydb.types.ids import Op, View
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m


def group_of_three() -> tuple[Group, Site, Site]:
    """A group with a log, its primary and a backup."""
    group = Group()
    group.propose("a")
    group.propose("b")
    primary = group.primary()
    return group, primary, next(site for site in group.sites if site is not primary)


def test_a_start_view_that_knows_more_committed_than_it_holds() -> None:
    _, primary, backup = group_of_three()
    common = {**primary.live._s.common, "view": View(primary.live.view + 3)}
    lie = m.StartView(**common, nonce=0, commit=Op(9), headers=primary.disk.headers())
    with reaches("vsr.impossible_start_view"):
        backup.step(ev.Received(lie))
    assert backup.live.view == primary.live.view


def test_a_vote_that_was_normal_in_a_view_that_is_yet_to_come() -> None:
    _, primary, backup = group_of_three()
    view = View(primary.live.view + 1)
    lie = m.DoViewChange(
        **{**backup.live._s.common, "view": view},
        log_view=view,
        commit=Op(2),
        headers=backup.disk.headers(),
        present=3,
        nacks=0,
    )
    with reaches("vsr.impossible_view_change"):
        primary.step(ev.Received(lie))
    assert primary.live.is_primary


def test_a_fetched_frame_whose_body_is_not_its_own() -> None:
    group, primary, backup = group_of_three()
    group.partition(backup.index)
    group.propose("c")
    frame = primary.disk.frames[3]
    bad = msgspec.structs.replace(frame, body=bytes(len(frame.body)))
    lie = m.Frames(**primary.live._s.common, certain=Op(3), normal=True, frames=(bad,))
    with reaches("vsr.fetched_frame_refused"):
        backup.step(ev.Received(lie))
    assert backup.live.op == 2


def test_a_request_for_a_part_behind_the_end_of_a_snapshot() -> None:
    scene = Scene()
    scene.primary.live.snapshot_named(scene.ref(30))
    asker = scene.common(scene.late.index)
    lie = m.RequestSnapshotPart(**asker, op=Op(30), digest=b"\x01" * 32, at=1_000, size=500)
    with reaches("vsr.part_that_does_not_exist"):
        scene.primary.step(ev.Received(lie))
    assert not scene.primary.asked


def test_a_snapshot_whose_op_is_not_the_one_that_the_view_began_with() -> None:
    scene = Scene()
    ref = scene.ref(30)
    to, _ = scene.wait_for(m.RequestSnapshot)
    scene.offer(to, ref)
    scene.part(to, ref, 0, ref.size)
    scene.late.step(ev.SnapshotSaved(ref.op, ref.size))
    scene.late.live._s.targets[ref.op] = scene.frame(29).header
    with reaches("vsr.snapshot_of_another_log"):
        scene.late.step(ev.SnapshotChecked(ref, scene.frame(30).header))
        scene.group.run(500)
    assert not any(isinstance(each, fx.InstallSnapshot) for each in scene.late.asked)


def test_a_request_that_is_handed_to_a_backup() -> None:
    """The node asks before it proposes."""
    _, _, backup = group_of_three()
    with reaches("vsr.proposed_to_a_backup"):
        backup.step(ev.Proposed((proposal("lost"),)))
    assert backup.roles[-1].dropped
