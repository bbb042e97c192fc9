"""Sequences that need two things to go wrong at once."""

import pytest

from tests.vsr.harness import CLUSTER, EPOCH_NS, GROUP, Disk, Group, Site, proposal
from veritydb.types import outcome
from veritydb.types.durable import ViewState
from veritydb.types.frame import Frame, Header, place, seal
from veritydb.types.ids import Op, View
from veritydb.types.limits import MS_NS, PIPELINE_OPS_MAX, SECOND_NS
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.commit import BACKLOG_BYTES_MAX
from veritydb.vsr.config import Status
from veritydb.vsr.log import HEADERS_KEPT


def others(group: Group, site: Site) -> list[Site]:
    return [other for other in group.sites if other is not site]


def chain_of(count: int, lag: int) -> list[Frame]:
    """A log of view 1 whose primary was always `lag` ops behind with applying."""
    frames: list[Frame] = []
    heads = [NO_HASH]
    last: Header | None = None
    for op in range(1, count + 1):
        made = proposal(f"w{op}")
        segment, position = place(last, len(made.data))
        known = max(0, op - lag)
        header = seal(
            Header(
                cluster=CLUSTER,
                group=GROUP,
                epoch=0,
                view=View(1),
                op=Op(op),
                commit=Op(known),
                timestamp=EPOCH_NS - SECOND_NS + op,
                kernel=1,
                segment=segment,
                position=position,
                entry_base=op - 1,
                entry_count=1,
                body_len=len(made.data),
                previous=NO_HASH if last is None else last.hash,
                outcomes=heads[known],
                root=made.leaf,
            )
        )
        frames.append(Frame(header, made.data))
        heads.append(outcome.chain(heads[-1], [header.hash]))
        last = header
    return frames


def test_the_end_of_a_log_fits_whatever_a_crash_left_of_it() -> None:
    """A backup that was fetching has half of a full pipeline, and headers of the other half."""
    group = Group(start=False)
    last = 2 * PIPELINE_OPS_MAX + 1
    frames = chain_of(last, PIPELINE_OPS_MAX)
    end = tuple(frame.header for frame in frames[PIPELINE_OPS_MAX:])
    for site, head in zip(group.sites, (last, last, PIPELINE_OPS_MAX + 1), strict=True):
        site.disk.frames = {frame.header.op: frame for frame in frames[:head]}
        site.disk.state = ViewState(
            view=View(1),
            log_view=View(1),
            commit=Op(0),
            epoch=0,
            members=(0, 0, 0),
            headers=end,
        )
    for site in group.sites:
        site.start()
    group.run(2_000)
    group.propose("after")
    group.run(500)
    assert group.words(2) == [f"w{op}" for op in range(1, last + 1)] + ["after"]


def test_an_idle_primary_that_hears_nobody_makes_room() -> None:
    """Its heartbeats arrive, so nobody suspects it; without answers it has no time to stamp."""
    group = Group()
    group.propose("a")
    group.run(1_000)
    old = group.primary()
    for other in others(group, old):
        group.cut_links.add((other.index, old.index))
    group.until(lambda: any(s.live.is_primary for s in others(group, old)), 3_000)
    group.propose("b")
    group.run(500)
    for other in others(group, old):
        assert group.words(other.index) == ["a", "b"]


def test_an_idle_primary_stays_when_one_backup_answers() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    group.partition(others(group, old)[0].index)
    group.run(5_000)
    assert old.live.is_primary


def test_replicas_that_are_always_late_notice_a_dead_primary() -> None:
    group = Group()
    group.propose("a")
    group.primary().crash()
    for _ in range(40):
        group.now += 150 * MS_NS
        for site in group.sites:
            if site.replica is not None:
                site.tick()
        group.settle()
    assert any(site.replica is not None and site.live.is_primary for site in group.sites)


def test_a_rotten_frame_is_not_acknowledged_anew() -> None:
    """What the primary counts on must be readable; once it is mended it counts."""
    group = Group()
    group.propose("a")
    primary = group.primary()
    backup, away = others(group, primary)
    away.crash()
    group.filter = lambda _from, _to, message: not isinstance(message, m.PrepareOk)
    group.propose("x")
    group.run(50)
    backup.crash()
    backup.disk.rotten.add(2)
    group.filter = lambda _from, _to, message: not isinstance(message, m.Frames)
    backup.start()
    group.run(400)
    assert group.words(primary.index) == ["a"]
    group.heal()
    group.run(1_000)
    assert not backup.disk.rotten
    assert group.words(primary.index) == group.words(backup.index) == ["a", "x"]


def test_replayed_frames_keep_no_dead_primary_alive() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    replays = [sent for sent in group.sent if isinstance(sent[2], m.Prepare)]
    old.crash()
    for _ in range(200):
        for _, to, message in replays:
            group.sites[to].step(ev.Received(message))
        group.run(10)
    assert any(site.live.is_primary for site in others(group, old))


@pytest.mark.parametrize("acknowledged_by_itself", [True, False])
def test_a_replacement_has_no_voice_while_its_predecessor_may_be_in_a_quorum(
    acknowledged_by_itself: bool,
) -> None:
    """The replaced one still runs, and the third does not know of it: those two could agree."""
    group = Group()
    group.propose("a")
    group.run(200)
    primary = group.primary()
    third, old = others(group, primary)
    voter = old if acknowledged_by_itself else third

    def once(source: int, to: int, message: m.Message) -> bool:
        there = (source, to) == (primary.index, voter.index) and isinstance(message, m.Prepare)
        return there or (source, to) == (voter.index, primary.index)

    group.filter = once
    group.propose(f"replace {old.index} 1")
    assert group.words(primary.index) == ["a", f"replace {old.index} 1"]
    group.heal()
    group.partition(primary.index, old.index)
    new = Site(group, old.index)
    new.disk = Disk(old.index, 3, incarnation=1)
    group.sites[old.index] = new
    new.start()
    group.run(300)
    primary.step(ev.Proposed((proposal("x"),)))
    group.run(300)
    assert new.live.status == Status.JOINING
    assert "x" not in group.words(primary.index)
    # Those two have a quorum of their own now, and go on.
    primary.crash()
    new.crash()
    group.sites[old.index] = old
    group.heal()
    group.run(3_000)
    assert old.halted is not None
    # The third knows of it, so that the replacement may join.
    group.sites[old.index] = new
    new.start()
    primary.start()
    group.run(3_000)
    group.propose("y")
    group.run(500)
    assert new.live.status == Status.NORMAL
    for site in group.sites:
        assert group.words(site.index)[-1] == "y"


def test_who_knows_of_fewer_replacements_than_another_does_not_decide_on_a_log() -> None:
    """It would count a voice whose successor agrees on something with a quorum of others."""
    group = Group(5)
    group.propose("a")
    group.run(200)
    primary = group.primary()
    old, unaware, witness, _ = (group.sites[(primary.index + at) % 5] for at in (2, 1, 3, 4))
    late: list[m.Message] = []

    def only_it_leaves(source: int, to: int, message: m.Message) -> bool:
        if isinstance(message, m.DoViewChange) and to == unaware.index:
            late.append(message)
        counts = isinstance(message, m.StartViewChange) and to == old.index
        return counts or not isinstance(message, m.StartViewChange | m.DoViewChange | m.Heartbeat)

    group.filter = only_it_leaves
    group.until(lambda: bool(late))
    group.heal()
    group.partition(unaware.index)
    old.crash()
    old.disk = Disk(old.index, 5, incarnation=1)
    group.propose(f"replace {old.index} 1")
    old.start()
    group.until(lambda: old.live.status is Status.NORMAL)
    group.partition(unaware.index, witness.index)
    group.propose("b")
    group.run(100)
    group.cut_links -= {(unaware.index, witness.index), (witness.index, unaware.index)}
    unaware.step(ev.Received(late[0]))
    assert (unaware.live.view, unaware.live.primary) == (late[0].view, unaware.index)
    group.run(100)
    assert witness.live.view == unaware.live.view
    assert not unaware.live.is_primary, "without b"
    group.heal()
    group.run(3_000)
    group.propose("c")
    group.run(500)
    for site in group.sites:
        assert group.words(site.index) == ["a", f"replace {old.index} 1", "b", "c"]


def test_what_rotted_together_with_its_record_is_mended() -> None:
    """The records of two ops stand in one sector. Long ago, so that nobody remembers them."""
    group = Group()
    for number in range(HEADERS_KEPT + 20):
        group.propose(f"w{number}")
    backup = others(group, group.primary())[0]
    backup.disk.rotten_records |= {4, 5}
    backup.disk.rotten |= {2, 4}
    for op in (2, 4):
        backup.step(ev.FrameRotten(Op(op)))
    group.run(3_000)
    assert not backup.disk.rotten and not backup.disk.rotten_records
    assert backup.live.faulty == 0


def test_a_frame_that_nobody_has_keeps_no_other_from_being_mended() -> None:
    group = Group()
    for number in range(10):
        group.propose(f"w{number}")
    for site in group.sites:
        site.disk.rotten.add(3)
        site.live._s.log.frames.clear()
    backup = others(group, group.primary())[0]
    backup.disk.rotten |= {2, 4}
    for op in (2, 3, 4):
        backup.step(ev.FrameRotten(Op(op)))
    group.run(3_000)
    assert backup.disk.rotten == {3}


def test_no_more_is_fetched_than_memory_may_hold_while_the_disk_is_slow() -> None:
    group = Group()
    backup = others(group, group.primary())[0]
    backup.crash()
    size = BACKLOG_BYTES_MAX // 16
    for _ in range(24):
        group.propose("z" * size)
    backup.start()
    backup.held = True
    group.run(3_000)
    assert backup.live.op < group.primary().live.op
    assert backup.live._s.log.frames_bytes <= BACKLOG_BYTES_MAX + 2 * size
    backup.held = False
    group.run(3_000)
    assert backup.live.commit == group.primary().live.commit
