"""Many frames that rotted at once, as when a file is lost: mended in runs, and none starves."""

import pytest

from tests.vsr.harness import Group, Site
from veritydb.types.ids import Op
from veritydb.vsr import events as ev
from veritydb.vsr import log
from veritydb.vsr import messages as m


def others(group: Group, site: Site) -> list[Site]:
    return [other for other in group.sites if other is not site]


def repairs(group: Group, site: Site) -> list[int]:
    """How many frames a replica asked for at a time."""
    asked = [
        message.last - message.first + 1
        for source, _, message in group.sent
        if source == site.index and isinstance(message, m.RequestFrames)
    ]
    group.sent.clear()
    return asked


def test_a_lost_file_is_mended_in_runs_that_grow() -> None:
    """Frame by frame it would take a round trip for each of what may be a hundred thousand."""
    group = Group()
    for number in range(600):
        group.propose(f"w{number}")
    backup = others(group, group.primary())[0]
    backup.crash()
    backup.disk.rotten.update(range(1, 501))
    group.sent.clear()
    backup.start()
    group.run(3_000)
    assert not backup.disk.rotten and backup.live.faulty == 0
    assert len(backup.committed) == 600
    asked = repairs(group, backup)
    assert asked[0] == 1 and max(asked) > 32
    assert sum(asked) < 600 and len(asked) < 30


def test_after_a_run_that_nobody_could_give_it_is_one_frame_at_a_time() -> None:
    group = Group()
    for number in range(100):
        group.propose(f"w{number}")
    for site in group.sites:
        site.disk.rotten.add(50)
        site.live._s.log.frames.clear()
    backup = others(group, group.primary())[0]
    backup.disk.rotten.update(range(20, 81))
    for op in range(20, 81):
        backup.step(ev.FrameRotten(Op(op)))
    group.run(10_000)
    assert backup.disk.rotten == {50}
    assert set(repairs(group, backup)[-5:]) == {1}


def test_frames_whose_records_are_lost_are_mended_downwards_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is known by the record after it, so only the last of a stretch can be asked for."""
    monkeypatch.setattr(log, "HEADERS_KEPT", 16)
    group = Group()
    for number in range(200):
        group.propose(f"w{number}")
    backup = others(group, group.primary())[0]
    backup.live._s.log.frames.clear()
    backup.disk.rotten.update(range(50, 150))
    backup.disk.rotten_records.update(range(50, 150))
    for op in range(50, 150):
        backup.step(ev.FrameRotten(Op(op)))
    group.run(6_000)
    assert not backup.disk.rotten and not backup.disk.rotten_records


def test_a_disk_that_is_slow_to_write_what_came_is_no_reason_to_ask_for_more() -> None:
    """Else each frame that it is done with at last would have the others asked for once more."""
    group = Group()
    for number in range(100):
        group.propose(f"w{number}")
    backup = others(group, group.primary())[0]
    for op in range(20, 81):
        backup.disk.rotten.add(op)
        backup.step(ev.FrameRotten(Op(op)))
    backup.held = True
    while len(backup.writes) < 16:
        while backup.writes:
            backup.write_one()
        group.run(50)
    group.sent.clear()
    group.run(3_000)
    assert repairs(group, backup) == []
    backup.held = False
    group.run(50)
    assert sum(repairs(group, backup)) < 61
    assert not backup.disk.rotten and backup.live.faulty == 0
