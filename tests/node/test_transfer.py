"""A node that takes over a peer's state is in the end what it would have been without."""

import pytest

from tests.marks import reaches
from tests.node.lone import Site
from tests.node.test_node import append, create
from tests.node.three import SNAPSHOT_ENTRIES, Member, Three
from veritydb.node.events import SnapshotLoaded
from veritydb.node.state import Applied, chunks, stands_for
from veritydb.storage.verify import Tally, verify
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Header
from veritydb.vsr import messages as m

EVENTS = 60


@pytest.fixture
def group() -> Three:
    return Three()


def backup(group: Three) -> Member:
    return next(each for each in group.members if each is not group.primary())


def write(group: Three, count: int = EVENTS) -> None:
    """Append events, one op each, to a stream that is made first."""
    stream = group.ask(create(f"s{group.token}")).stream
    for number in range(count):
        group.ask(append(stream, b"%d" % number * 50))


def encoded(state: Applied) -> bytes:
    return b"".join(chunks(state))


def level(group: Three) -> None:
    """Wait until all hold the same, with nothing missing."""
    top = group.primary()

    def same() -> bool:
        return all(
            each.node.applied == top.node.applied and each.node.replica.missing == (0, 0)
            for each in group.members
        )

    group.until(same)
    group.run(100)
    assert len({encoded(each.node.state) for each in group.members}) == 1


def sound(member: Member) -> Tally:
    """Nothing is wrong with a member's disk."""
    member.writer.turn()
    tally = Tally()
    assert [str(each) for each in verify(member.disk, tally)] == []
    return tally


def test_one_that_was_away_goes_on_from_a_snapshot(group: Three) -> None:
    write(group, 5)
    late = backup(group)
    at = late.node.replica.op
    late.crash()
    write(group)
    late.start()
    level(group)
    [install] = late.installed
    assert install.applied == at
    # What it did not take over it applied itself; what it took over, it fetched.
    assert install.ref.op < late.node.applied
    tally = sound(late)
    assert (tally.ops, tally.missing) == (late.node.applied, 0)
    write(group, 3)
    level(group)


def test_one_with_an_empty_disk_votes_and_holds_the_whole_log(group: Three) -> None:
    write(group)
    late = backup(group)
    group.replace(late)
    level(group)
    assert late.installed and late.node.role == "backup"
    assert late.node.replica.members[late.index] == 1
    assert sound(late).missing == 0
    # It counts: with one of the others gone, the group goes on.
    other = next(e for e in group.members if e not in (late, group.primary()))
    other.crash()
    write(group, 3)


def test_what_is_missing_is_said_until_it_is_here(group: Three) -> None:
    write(group)
    late = backup(group)
    group.lost = lambda message: isinstance(message, m.HistoryPart)
    group.replace(late)
    group.until(lambda: bool(late.installed))
    group.until(lambda: late.node.role == "backfilling")
    after, upto = late.node.replica.missing
    assert (after, upto) == (0, late.installed[0].ref.op)
    write(group, 3)
    group.lost = lambda message: False
    level(group)
    assert late.node.role == "backup"


def test_a_crash_amid_the_history_costs_only_what_was_not_written(group: Three) -> None:
    write(group)
    late = backup(group)
    parts = 0

    def third(message: m.Message) -> bool:
        nonlocal parts
        parts += isinstance(message, m.HistoryPart)
        return isinstance(message, m.HistoryPart) and parts > 3

    group.lost = third
    group.replace(late)
    group.until(lambda: parts > 3)
    _, upto = late.node.replica.missing
    assert 0 < upto < late.installed[0].ref.op
    # It takes snapshots of its own meanwhile; the gap stays known.
    write(group, 15)
    late.crash()
    late.start()
    group.run(500)
    assert late.node.replica.missing[1] <= upto
    group.lost = lambda message: False
    level(group)
    assert sound(late).missing == 0


def test_lost_messages_only_take_time(group: Three) -> None:
    write(group)
    count = 0

    def some(message: m.Message) -> bool:
        nonlocal count
        kinds = m.SnapshotPart | m.HistoryPart | m.SnapshotOffer
        count += isinstance(message, kinds)
        return isinstance(message, kinds) and count % 3 != 0

    group.lost = some
    late = backup(group)
    group.replace(late)
    level(group)
    assert late.installed
    assert sound(late).missing == 0


def test_a_snapshot_that_is_being_taken_is_not_replaced_at_once(group: Three) -> None:
    """Or under load a peer would begin again and again."""
    write(group, 15)
    late = backup(group)
    asked: list[m.Message] = []

    def parts(message: m.Message) -> bool:
        if isinstance(message, m.RequestSnapshotPart):
            asked.append(message)
        return isinstance(message, m.SnapshotPart)

    group.lost = parts
    group.replace(late)
    group.until(lambda: bool(asked))
    stream = group.ask(create("busy")).stream
    for number in range(2 * SNAPSHOT_ENTRIES):
        group.ask(append(stream, b"%d" % number))
    group.run(200)
    assert len({each.op for each in asked if isinstance(each, m.RequestSnapshotPart)}) == 1
    for number in range(3 * SNAPSHOT_ENTRIES):
        group.ask(append(stream, b"%d" % number))
    group.lost = lambda message: False
    level(group)


def test_a_state_that_is_not_what_its_snapshot_says_is_refused() -> None:
    site = Site()
    stream = site.ask(create()).stream
    site.ask(append(stream, b"x"))
    state = site.node.state
    base = site.store.read_headers(state.op, state.op)[0]
    ref = SnapshotRef(
        op=state.op,
        header_hash=base.hash,
        digest=b"d" * 32,
        outcomes=state.outcomes,
        size=1,
    )
    own = Site().node.state
    assert stands_for(state, ref, base, own)
    for changed in (
        SnapshotRef(op=ref.op, header_hash=ref.header_hash, outcomes=bytes(32), size=1),
        SnapshotRef(op=ref.op, header_hash=bytes(32), outcomes=ref.outcomes, size=1),
    ):
        assert not stands_for(state, changed, base, own)
    earlier: Header = site.store.read_headers(state.op, state.op)[0]
    assert not stands_for(own, ref, earlier, own)
    # Nobody had asked for it: nothing comes of it.
    before = site.node.state
    site.step(SnapshotLoaded(ref, base, state))
    assert site.node.state is before
    with reaches("node.snapshot_of_another_log"):
        site.step(SnapshotLoaded(changed, base, state))
    assert site.node.state is before
