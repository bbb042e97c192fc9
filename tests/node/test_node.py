"""A node does what was agreed on, once, and remembers it."""

from itertools import pairwise

import msgspec
import pytest

from tests.marks import reaches
from tests.node.lone import CLUSTER, GROUP, IDENTITY, Site
from veritydb.kernel.state import KERNEL_VERSION
from veritydb.node.applier import Halted, apply_frame
from veritydb.node.effects import RefuseReason, TakeSnapshot
from veritydb.node.events import Submitted, SubmittedTogether
from veritydb.node.state import Applied, BadSnapshot, chunks, load
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.store import Store
from veritydb.streams.commands import CreateStream
from veritydb.types import merkle, outcome
from veritydb.types.durable import SnapshotRef
from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_NO_STREAM,
    Entry,
    EntryHeader,
    Kind,
    PartInfo,
    pack_part,
    with_body,
)
from veritydb.types.frame import Frame, Header, seal
from veritydb.types.ids import ClientId, Op, StreamId, TenantId, View
from veritydb.types.labels import DataClass, Region
from veritydb.types.limits import (
    BATCH_BYTES_MAX,
    MS_NS,
    PENDING_BYTES_MAX,
    SECOND_NS,
    SESSION_WINDOW,
)
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code
from veritydb.vsr.commit import ENTRIES_PER_STEP
from veritydb.vsr.events import Tick
from veritydb.wire import log

CLIENT = ClientId(b"c" * 16)
TENANT = TenantId(7)


def register(client: ClientId = CLIENT) -> Entry:
    return with_body(EntryHeader(kind=Kind.REGISTER, client=client), b"")


def create(name: str = "notes", session: int = 0, number: int = 0) -> Entry:
    header = EntryHeader(
        kind=Kind.COMMAND, client=CLIENT, session=session, number=number, tenant=TENANT
    )
    return with_body(header, log.encode(CreateStream(name, DataClass.PHI, Region("au-syd"))))


def append(
    stream: int,
    payload: bytes,
    session: int = 0,
    number: int = 0,
    expected: int = EXPECT_ANY,
    acked: int = 0,
) -> Entry:
    header = EntryHeader(
        kind=Kind.APPEND,
        parts=1,
        client=CLIENT,
        session=session,
        number=number,
        acked=acked,
        tenant=TENANT,
        stream=StreamId(stream),
        expected=expected,
        events=1,
    )
    part = PartInfo(key=0, events=1, descriptor_len=0, events_len=len(payload))
    return with_body(header, pack_part(part) + payload)


def opened(site: Site) -> tuple[int, int]:
    """Register and create a stream; return (session, stream)."""
    session = site.ask(register()).base
    return session, site.ask(create(session=session, number=1)).stream


def test_an_append_is_answered_indexed_and_given_offsets_in_order() -> None:
    site = Site()
    session, stream = opened(site)
    first = site.ask(append(stream, b"a", session, 2, EXPECT_NO_STREAM))
    second = site.ask(append(stream, b"b", session, 3, expected=1))
    assert (first.code, first.base, second.code, second.base) == (Code.OK, 0, Code.OK, 1)
    assert [(run.stream, run.base, run.count) for run in site.runs] == [
        (stream, 0, 1),
        (stream, 1, 1),
    ]


def test_a_repeated_number_is_answered_as_the_first_time_and_not_applied() -> None:
    site = Site()
    session, stream = opened(site)
    first = site.ask(append(stream, b"a", session, 2))
    again = site.ask(append(stream, b"a", session, 2))
    assert (again.code, again.base, again.count) == (Code.DUPLICATE, first.base, first.count)
    refused = site.ask(append(stream, b"x", session, 3, expected=9))
    assert refused.code is Code.WRONG_EXPECTED_OFFSET
    assert site.ask(append(stream, b"x", session, 3, expected=9)) == refused
    assert len(site.runs) == 1


def test_requests_that_come_together_are_one_op_and_a_repeat_among_them_waits_too() -> None:
    site = Site()
    session, stream = opened(site)
    before = site.node.applied
    entries = [append(stream, b"%d" % number, session, number) for number in (2, 3, 3, 4)]
    requests = [Submitted(100 + at, entry) for at, entry in enumerate(entries)]
    site.step(SubmittedTogether(tuple(requests)))
    assert site.node.applied == before + 1
    assert [site.replies[100 + at].base for at in range(4)] == [0, 1, 1, 2]


def test_of_requests_that_come_together_those_beyond_the_bound_are_refused() -> None:
    site = Site()
    _, stream = opened(site)
    big = append(stream, bytes(BATCH_BYTES_MAX - 1_000), 0, 0)
    fit = PENDING_BYTES_MAX // len(big.data)
    requests = [Submitted(100 + at, big) for at in range(fit + 2)]
    site.step(SubmittedTogether(tuple(requests)))
    answered = [token - 100 for token in sorted(site.replies) if token >= 100]
    assert answered == list(range(fit))
    assert [site.refusals[100 + at].reason for at in (fit, fit + 1)] == [
        RefuseReason.OVERLOADED
    ] * 2


def test_a_repeat_in_the_log_itself_is_not_applied_either() -> None:
    """The check before proposing is only a short cut: what counts is the one when applying."""
    site = Site()
    session, stream = opened(site)
    entry = append(stream, b"a", session, 2)
    done = apply_frame(site.node.state, frame_of(site.node.state, [entry, entry]), log.decode)
    assert [outcome.code for outcome in done.outcomes] == [Code.OK, Code.DUPLICATE]
    assert [outcome.base for outcome in done.outcomes] == [0, 0]
    assert len(done.runs) == 1


def frame_of(state: Applied, entries: list[Entry]) -> Frame:
    """The frame that follows `state`, as far as applying it goes."""
    body = b"".join(entry.data for entry in entries)
    header = Header(
        cluster=CLUSTER,
        group=GROUP,
        epoch=0,
        view=View(1),
        op=Op(state.op + 1),
        commit=state.op,
        timestamp=state.time + 1,
        kernel=KERNEL_VERSION,
        segment=Op(1),
        position=0,
        entry_base=state.entries,
        entry_count=len(entries),
        body_len=len(body),
        previous=NO_HASH,
        outcomes=state.outcomes,
        root=merkle.root([entry.leaf for entry in entries]),
    )
    return Frame(seal(header), body)


def test_a_kernel_version_nobody_knows_is_not_guessed_at() -> None:
    state = Site().node.state
    frame = frame_of(state, [register()])
    later = msgspec.structs.replace(frame.header, kernel=KERNEL_VERSION + 1)
    with pytest.raises(Halted, match="kernel version"):
        apply_frame(state, Frame(later, frame.body), log.decode)


@pytest.mark.parametrize(
    ("session_shift", "number", "acked", "code"),
    [
        (1, 5, 0, Code.NO_SESSION),
        (0, 0, 0, Code.STALE_NUMBER),
        (0, SESSION_WINDOW + 1, 0, Code.WINDOW_EXCEEDED),
    ],
)
def test_requests_outside_their_session_are_refused(
    session_shift: int, number: int, acked: int, code: Code
) -> None:
    site = Site()
    session, stream = opened(site)
    request = append(stream, b"a", session + session_shift, number, acked=acked)
    assert site.ask(request).code is code
    assert not site.runs


def test_results_below_the_acknowledged_number_are_forgotten() -> None:
    site = Site()
    session, stream = opened(site)
    site.ask(append(stream, b"a", session, 2))
    site.ask(append(stream, b"b", session, 3, acked=3))
    assert site.ask(append(stream, b"a", session, 2)).code is Code.STALE_NUMBER
    assert len(site.runs) == 2


@pytest.mark.parametrize("snapshot_entries", [2, 1_000])
def test_a_restart_finds_everything_with_and_without_a_snapshot(snapshot_entries: int) -> None:
    site = Site(snapshot_entries)
    session, stream = opened(site)
    for number in range(2, 9):
        site.ask(append(stream, bytes([number]), session, number))
    before = site.node.state
    assert (site.store.superblock.snapshot.op > 0) == (snapshot_entries == 2)
    site.start()
    assert site.node.ready
    assert site.node.outcomes_head == before.outcomes
    assert list(chunks(site.node.state)) == list(chunks(before))
    assert site.ask(append(stream, b"a", session, 8)).code is Code.DUPLICATE
    assert site.ask(append(stream, b"z", session, 9)).base == 7


def test_the_outcome_chain_is_that_of_the_outcome_file() -> None:
    site = Site()
    session, stream = opened(site)
    for number in range(2, 6):
        site.ask(append(stream, b"x", session, number))
    head = NO_HASH
    for at in range(site.node.entries):
        head = outcome.chain(head, [site.store.read_outcomes(at, 1)])
    # Requests came one at a time, so every op has one entry.
    assert head == site.node.outcomes_head


def test_a_log_whose_outcomes_are_not_ours_stops_the_node() -> None:
    site = Site()
    session, stream = opened(site)
    site.node._heads[site.node.applied] = b"?" * 32
    with reaches("node.outcomes_differ"):
        token = site.submit(append(stream, b"a", session, 2))
    assert site.halted is not None
    assert "outcomes" in site.halted
    assert token in site.refusals
    assert site.node.role == "halted"


def test_a_replacement_names_the_next_incarnation_or_is_refused() -> None:
    site = Site()
    stale = EntryHeader(kind=Kind.REPLACE_REPLICA, events=0, expected=5)
    assert site.ask(with_body(stale, b"")).code is Code.BAD_COMMAND
    nobody = EntryHeader(kind=Kind.REPLACE_REPLICA, events=9, expected=1)
    assert site.ask(with_body(nobody, b"")).code is Code.BAD_COMMAND
    assert site.node.state.members == (0,)


def test_a_replica_that_was_replaced_stops() -> None:
    site = Site()
    site.submit(with_body(EntryHeader(kind=Kind.REPLACE_REPLICA, events=0, expected=1), b""))
    site.tick()
    assert site.halted is not None


@pytest.mark.parametrize("pieces", [[], [b"\xc1"], [b"\x93\x09\x00"]])
def test_a_snapshot_that_is_none_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(BadSnapshot):
        load(pieces)


def test_an_unknown_chunk_is_refused() -> None:
    site = Site()
    with pytest.raises(BadSnapshot, match="unknown kind"):
        load([*chunks(site.node.state), b"Z"])


def test_the_directory_is_that_of_the_identity() -> None:
    store, recovered = Store.open(Site().disk, IDENTITY)
    assert recovered.superblock.identity == IDENTITY
    assert store.head == recovered.head


def test_while_log_time_leads_the_clock_requests_are_refused_at_once() -> None:
    """A clock that was put right, far back: waiting for it would end in an unknown outcome."""
    site = Site()
    assert site.ask(create()).code is Code.OK
    site.now += 10 * MS_NS
    wall = 1_700_000_000 * SECOND_NS + site.now
    site.step(Tick(site.now, wall - 3_600 * SECOND_NS))
    token = site.submit(create("letters"))
    assert token not in site.replies
    assert site.refusals[token].reason is RefuseReason.CLOCK
    site.now += 10 * MS_NS
    site.step(Tick(site.now, wall + 10 * MS_NS))
    assert site.ask(create("letters")).code is Code.OK


class Rotting(Site):
    """Its record of the op that a snapshot describes rots before the snapshot is written."""

    def write_snapshot(self, effect: TakeSnapshot) -> SnapshotRef:
        self.disk.rot("headers", RECORD_BYTES * effect.base.op + 40)
        return super().write_snapshot(effect)


def test_a_snapshot_needs_no_record_that_may_have_rotted() -> None:
    site = Rotting(snapshot_entries=2)
    opened(site)
    assert site.halted is None
    assert site.store.superblock.snapshot.op > 0


class Watched(Site):
    """Writes down how many entries were applied after each tick."""

    def start(self) -> None:
        self.applied = [0]
        super().start()

    def tick(self) -> None:
        super().tick()
        self.applied.append(self.node.entries)


def test_after_a_start_what_waits_is_applied_some_at_each_tick() -> None:
    """Applied in one go, all else that arrives would wait for it."""
    site = Watched()
    _, stream = opened(site)
    together = ENTRIES_PER_STEP // 2
    for _ in range(6):
        requests = [Submitted(at, append(stream, b"x")) for at in range(100, 100 + together)]
        site.step(SubmittedTogether(tuple(requests)))
    entries = site.node.entries
    site.start()
    steps = [after - before for before, after in pairwise(site.applied)]
    assert site.applied[-1] == entries
    assert ENTRIES_PER_STEP <= max(steps) < ENTRIES_PER_STEP + together
    assert sum(step > 0 for step in steps) == 3
