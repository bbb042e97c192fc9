"""A view at work: proposing, appending, acknowledging, committing."""

import msgspec
import pytest

from tests.vsr.harness import Group, Site, proposal, texts
from veritydb.types.frame import Frame, seal
from veritydb.types.ids import View
from veritydb.types.limits import (
    OP_BYTES_MAX,
    OP_ENTRIES_MAX,
    PENDING_ENTRIES_MAX,
    PIPELINE_OPS_MAX,
)
from veritydb.vsr import effects as fx
from veritydb.vsr import events as ev
from veritydb.vsr import messages as m
from veritydb.vsr.config import Status


def backups(group: Group) -> list[Site]:
    primary = group.primary()
    return [site for site in group.sites if site is not primary]


def test_three_replicas_agree_in_order() -> None:
    group = Group()
    group.propose("a")
    group.propose("b", "c")
    group.run(100)
    assert [group.words(index) for index in range(3)] == [["a", "b", "c"]] * 3
    group.same_logs()


@pytest.mark.parametrize("replicas", [1, 3, 5])
def test_every_configuration_works(replicas: int) -> None:
    group = Group(replicas)
    for number in range(20):
        group.propose(f"w{number}")
    group.run(100)
    assert all(group.words(at) == [f"w{n}" for n in range(20)] for at in range(replicas))


def test_nothing_is_committed_before_a_quorum_has_it_on_disk() -> None:
    group = Group()
    primary = group.primary()
    for site in backups(group):
        site.held = True
    group.propose("a")
    assert primary.committed == []
    backups(group)[0].held = False
    group.settle()
    assert group.words(primary.index) == ["a"]


def test_the_primary_counts_itself_only_for_what_is_on_its_disk() -> None:
    group = Group()
    primary, (one, two) = group.primary(), backups(group)
    primary.held = True
    two.crash()
    group.propose("a")
    assert primary.live.commit_max == 0
    primary.held = False
    group.settle()
    assert group.words(primary.index) == ["a"]
    assert one.live.op == 1


def test_what_others_hold_is_emitted_once_it_is_on_our_disk_too() -> None:
    group = Group()
    primary = group.primary()
    primary.held = True
    group.propose("a")
    assert primary.live.commit_max == 1 and primary.committed == []
    primary.held = False
    group.settle()
    assert group.words(primary.index) == ["a"]


def test_requests_that_wait_share_an_op() -> None:
    group = Group()
    primary = group.primary()
    primary.held = True
    for number in range(10):
        primary.step(ev.Proposed((proposal(f"w{number}"),)))
    primary.held = False
    group.settle()
    assert [len(texts(frame)) for frame in primary.committed] == [1, 9]
    assert primary.live.pending_entries == primary.live.pending_bytes == 0


def test_an_op_holds_no_more_entries_than_allowed() -> None:
    group = Group()
    primary = group.primary()
    primary.step(ev.Proposed(tuple(proposal(f"{n}") for n in range(OP_ENTRIES_MAX + 5))))
    group.settle()
    assert [frame.header.entry_count for frame in primary.committed] == [OP_ENTRIES_MAX, 5]
    assert primary.committed[1].header.entry_base == OP_ENTRIES_MAX


def test_an_op_holds_no_more_bytes_than_allowed() -> None:
    group = Group()
    big = ev.Proposal(b"x" * (OP_BYTES_MAX // 2 + 1), bytes(32))
    primary = group.primary()
    for site in group.sites:
        site.held = True
    primary.step(ev.Proposed((big, big, big)))
    assert [frame.header.body_len for frame in primary.live._s.log.frames.values()] == [
        len(big.data)
    ] * 3


def test_the_pipeline_is_bounded() -> None:
    group = Group()
    primary = group.primary()
    for site in backups(group):
        site.crash()
    batch = ev.Proposal(b"x" * 70_000, bytes(32))
    for _ in range(PIPELINE_OPS_MAX + 10):
        primary.step(ev.Proposed((batch,)))
    group.settle()
    assert primary.live.op == PIPELINE_OPS_MAX
    assert primary.live.pending_entries == 10


def test_the_queue_is_bounded() -> None:
    group = Group()
    primary = group.primary()
    for site in backups(group):
        site.crash()
    assert primary.live.can_accept(100)
    one = proposal("x")
    for _ in range(PIPELINE_OPS_MAX + 1):
        primary.step(ev.Proposed((one,) * OP_ENTRIES_MAX))
    while primary.live.pending_entries < PENDING_ENTRIES_MAX:
        primary.step(ev.Proposed((one,) * 256))
    assert not primary.live.can_accept(1)


def test_a_backup_takes_no_proposals() -> None:
    group = Group()
    backup = backups(group)[0]
    assert not backup.live.can_accept(1)
    backup.roles.clear()
    backup.step(ev.Proposed((proposal("a"),)))
    assert [role.dropped for role in backup.roles] == [True]
    assert backup.live.op == 0


def test_log_time_grows_strictly() -> None:
    group = Group()
    for number in range(5):
        group.propose(f"w{number}")
    times = [frame.header.timestamp for frame in group.primary().committed]
    assert times == sorted(set(times))


def test_without_agreement_on_time_nothing_is_proposed() -> None:
    group = Group()
    primary = group.primary()
    for site in backups(group):
        site.wall_offset = 3_600_000_000_000
    group.run(7_000)
    if group.primary() is primary:
        assert not primary.live.can_accept(1)
        assert not primary.live.log_time


def test_a_lost_prepare_is_fetched() -> None:
    group = Group()
    victim = backups(group)[0].index
    group.filter = lambda _from, to, msg: not (to == victim and isinstance(msg, m.Prepare))
    for number in range(5):
        group.propose(f"w{number}")
    assert group.sites[victim].live.op == 0
    group.run(200)
    group.same_logs()


def test_prepares_out_of_order_wait_for_the_gap() -> None:
    group = Group()
    victim = backups(group)[0].index
    late: list[m.Message] = []

    def hold_first(_from: int, to: int, msg: m.Message) -> bool:
        if to == victim and isinstance(msg, m.Prepare) and msg.frame.header.op == 1:
            late.append(msg)
            return False
        return not (to == victim and isinstance(msg, m.Frames))

    group.filter = hold_first
    group.propose("a")
    group.propose("b")
    assert group.sites[victim].live.op == 0
    group.heal()
    group.sites[victim].step(ev.Received(late[0]))
    assert group.sites[victim].live.op == 2
    group.settle()
    group.run(100)
    group.same_logs()


def test_a_repeated_prepare_is_acknowledged_again() -> None:
    group = Group()
    group.propose("a")
    sent = next((to, msg) for _, to, msg in group.sent if isinstance(msg, m.Prepare))
    group.sent.clear()
    group.sites[sent[0]].step(ev.Received(sent[1]))
    assert [type(msg) for _, _, msg in group.sent] == [m.PrepareOk]


def prepare(group: Group, frame: Frame, **changes: object) -> m.Prepare:
    """A Prepare as the primary would send it."""
    primary = group.primary()
    common = {**primary.live._s.common, **changes}
    return m.Prepare(**common, commit=primary.live.commit_max, frame=frame)


def other_frame(frame: Frame, **changes: object) -> Frame:
    return Frame(seal(msgspec.structs.replace(frame.header, **changes)), frame.body)


def test_a_frame_that_does_not_follow_stops_the_replica() -> None:
    group = Group()
    group.propose("a")
    backup = backups(group)[0]
    head = group.primary().committed[0]
    bad = other_frame(head, op=2, previous=b"\x05" * 32, position=512)
    backup.step(ev.Received(prepare(group, bad)))
    assert backup.live.status == Status.HALTED
    assert backup.halted is not None and backup.halted.kind == fx.HaltKind.DIVERGED
    assert backup.live.step(ev.Tick(10**15, 10**18)) == []


def test_another_frame_for_the_same_op_in_one_view_stops_the_replica() -> None:
    group = Group()
    group.propose("a")
    backup = backups(group)[0]
    bad = other_frame(group.primary().committed[0], timestamp=7)
    backup.step(ev.Received(prepare(group, bad)))
    assert backup.live.status == Status.HALTED


def test_an_acknowledgement_of_another_frame_does_not_count() -> None:
    group = Group()
    primary, (one, two) = group.primary(), backups(group)
    for site in (one, two):
        site.held = True
    group.propose("a")
    lie = m.PrepareOk(
        **{**primary.live._s.common, "sender": one.index}, op=1, hash=b"x" * 32, round=0
    )
    primary.step(ev.Received(lie))
    assert primary.live.commit_max == 0


def test_a_prepare_of_a_later_view_makes_nobody_join_it() -> None:
    group = Group()
    group.propose("a")
    backup = backups(group)[0]
    view = View(backup.live.view + 3)
    frame = other_frame(group.primary().committed[0], op=2, view=view)
    group.sent.clear()
    backup.step(ev.Received(prepare(group, frame, view=view)))
    assert backup.live.view < view and backup.live.op == 1
    assert [type(msg) for source, _, msg in group.sent if source == backup.index] == [
        m.RequestStartView
    ]


def test_old_primaries_are_not_followed() -> None:
    group = Group()
    group.propose("a")
    old = group.primary()
    stale = next(msg for _, _, msg in group.sent if isinstance(msg, m.Prepare))
    old.crash()
    group.propose("b")
    site = group.primary()
    other = next(s for s in group.sites if s.replica is not None and s is not site)
    before = other.live.op
    other.step(ev.Received(msgspec.structs.replace(stale, commit=99)))
    assert other.live.op == before and other.live.commit_max < 99


def test_memory_of_the_log_is_bounded() -> None:
    group = Group()
    for number in range(1_200):
        group.propose(f"w{number}")
    for site in group.sites:
        log = site.live._s.log
        assert len(log.headers) <= 600 and len(log.frames) <= 600
