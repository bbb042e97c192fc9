"""The recovery table: exactly one row for all that can be found, and each row from real bytes."""

from pathlib import Path

import msgspec
import pytest

from simulation.disk import SimDisk
from tests.marks import reaches
from tests.storage.logs import chain, fresh, ops, reopen
from veritydb.storage import decisions, journal, names
from veritydb.storage.decisions import DECISIONS, TABLE, Decision, Found
from veritydb.storage.errors import Damaged, UnknownFormat
from veritydb.storage.journal import RECORD_BYTES, RecordState
from veritydb.storage.recovery import contradicted
from veritydb.storage.segments import padded
from veritydb.storage.store import Store
from veritydb.types.durable import ViewState
from veritydb.types.frame import Frame
from veritydb.types.ids import Op, View
from veritydb.types.limits import MIB

OLD = chain(6)
NEW = chain(4, OLD[2].header, view=1)


def test_exactly_one_row_for_everything_that_can_be_found() -> None:
    everything = list(decisions.everything())
    assert len(everything) == len(set(everything)) == 24 + 12 + 12
    for found in everything:
        assert sum(decisions.matches(row, found) for row in TABLE) == 1, found
    for row in TABLE:
        assert any(decisions.matches(row, found) for found in everything), row.why
        assert row.why
    assert {row.decision for row in TABLE} == set(Decision)
    assert len(DECISIONS) == len(everything)


def test_what_was_acknowledged_is_never_given_up() -> None:
    for found, decision in DECISIONS.items():
        if found.record == RecordState.VALID and not found.contradicted:
            assert decision in (Decision.KEEP, Decision.FAULTY)
        if found.record == RecordState.ROTTEN:
            # Something was acknowledged here: it is kept, or nobody votes.
            assert decision not in (Decision.END, Decision.CUT)
        if decision == Decision.END:
            assert found.record == RecordState.BLANK
            assert not found.later
        if decision == Decision.KEEP:
            assert found.frame


def put_frame(disk: SimDisk, frame: Frame) -> None:
    """Write a frame without a record."""
    name = names.segment(frame.header.segment)
    disk.write(name, frame.header.position, padded(frame))


def spoil_frame(disk: SimDisk, frame: Frame) -> None:
    """Let a frame rot."""
    disk.rot(names.segment(frame.header.segment), frame.header.position + 400)


def blank(disk: SimDisk, *lost: int) -> None:
    """Make records blank."""
    for op in lost:
        disk.write(names.JOURNAL, op * RECORD_BYTES, (bytes(RECORD_BYTES),))


def spoil(disk: SimDisk, op: int) -> None:
    """Let a record rot."""
    disk.rot(names.JOURNAL, op * RECORD_BYTES + 40)


def set_view(store: Store, view: int, log_view: int, headers: list[Frame]) -> None:
    """Write a view state."""
    state = ViewState(
        view=View(view),
        log_view=View(log_view),
        commit=Op(0),
        epoch=0,
        members=(0, 0, 0),
        headers=tuple(frame.header for frame in headers),
    )
    store.write_superblock(view_state=state)


def with_log(frames: list[Frame], view: int = 0, log_view: int = 0) -> tuple[SimDisk, Store]:
    """A directory with these frames."""
    disk, store = fresh()
    store.append(frames)
    if view:
        set_view(store, view, log_view, [])
    return disk, store


def expect(
    disk: SimDisk, found: list[int], faulty: tuple[int, ...] = (), certain: bool = True
) -> None:
    """Recover, and recover the same once more."""
    for _ in range(2):
        store, recovered = reopen(disk)
        assert ops(recovered) == found
        assert recovered.faulty == faulty
        assert recovered.head_certain == certain
        frames = store.read_frames(Op(1), Op(99), MIB)
        assert [at for at, frame in enumerate(frames, start=1) if frame is None] == list(faulty)


def test_valid_and_good() -> None:
    disk, _ = with_log(OLD)
    expect(disk, [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("op", [1, 3, 6])
def test_valid_and_bad_is_faulty(op: int) -> None:
    disk, _ = with_log(OLD)
    spoil_frame(disk, OLD[op - 1])
    expect(disk, [1, 2, 3, 4, 5, 6], (op,))


def test_valid_and_of_another_log_than_the_installed_one_is_cut() -> None:
    disk, store = with_log(OLD)
    set_view(store, 2, 2, [*OLD[1:3], *NEW])
    expect(disk, [1, 2, 3])
    assert store.read_headers(Op(4), Op(6)) == []


def test_valid_and_behind_the_installed_log_is_cut() -> None:
    disk, store = with_log(OLD)
    set_view(store, 2, 2, OLD[1:3])
    expect(disk, [1, 2, 3])


def test_nothing_is_cut_before_the_view_is_installed() -> None:
    disk, store = with_log(OLD)
    set_view(store, 2, 1, OLD[1:3])
    expect(disk, [1, 2, 3, 4, 5, 6])


def test_blank_and_of_the_durable_log_view_is_restored() -> None:
    disk, _ = with_log(OLD[:3])
    put_frame(disk, OLD[3])
    put_frame(disk, OLD[4])
    expect(disk, [1, 2, 3, 4, 5])


def test_blank_and_named_by_the_superblock_is_restored() -> None:
    disk, store = with_log(OLD[:3])
    set_view(store, 4, 3, OLD[2:4])
    put_frame(disk, OLD[3])
    put_frame(disk, OLD[4])
    expect(disk, [1, 2, 3, 4])


def test_blank_and_chained_on_by_a_later_record_is_restored() -> None:
    disk, _ = with_log(OLD, 3, 3)
    blank(disk, 2, 3, 5)
    expect(disk, [1, 2, 3, 4, 5, 6])


def test_blank_and_of_an_older_view_is_the_end() -> None:
    disk, _ = with_log(OLD[:3], 3, 3)
    put_frame(disk, OLD[3])
    expect(disk, [1, 2, 3])
    # And gone for good.
    assert not any(b"view 0" in data for _, at, data in disk.contents() if at >= 2048)


def test_blank_and_torn_is_the_end() -> None:
    disk, _ = with_log(OLD[:3])
    put_frame(disk, OLD[3])
    spoil_frame(disk, OLD[3])
    expect(disk, [1, 2, 3])


def test_a_hole_that_nothing_joins_leaves_the_head_uncertain() -> None:
    disk, _ = with_log(OLD)
    blank(disk, 4)
    spoil_frame(disk, OLD[3])
    before = list(disk.contents())
    expect(disk, [1, 2, 3], certain=False)
    # What stands behind is evidence, and stays.
    assert list(disk.contents()) == before
    store, _ = reopen(disk)
    store.append([OLD[3]])
    expect(disk, [1, 2, 3, 4, 5, 6])


def test_a_hole_that_the_superblock_names_is_faulty() -> None:
    disk, store = with_log(OLD)
    set_view(store, 4, 3, OLD[3:5])
    blank(disk, 4)
    spoil_frame(disk, OLD[3])
    expect(disk, [1, 2, 3, 4, 5, 6], (4,))


@pytest.mark.parametrize("op", [1, 2, 5])
def test_a_rotten_record_is_restored_from_its_frame(op: int) -> None:
    disk, _ = with_log(OLD, 5, 5)
    spoil(disk, op)
    expect(disk, [1, 2, 3, 4, 5, 6])


def test_a_rotten_last_record_is_restored_in_its_own_view() -> None:
    disk, _ = with_log(OLD)
    spoil(disk, 6)
    expect(disk, [1, 2, 3, 4, 5, 6])


def test_a_rotten_last_record_of_an_older_view_leaves_the_head_uncertain() -> None:
    disk, _ = with_log(OLD, 5, 5)
    spoil(disk, 6)
    expect(disk, [1, 2, 3, 4, 5], certain=False)


def test_record_and_frame_rotten_and_known_by_the_superblock() -> None:
    disk, store = with_log(OLD)
    set_view(store, 4, 3, OLD[3:])
    spoil(disk, 6)
    spoil_frame(disk, OLD[5])
    expect(disk, [1, 2, 3, 4, 5, 6], (6,))


@pytest.mark.parametrize("op", [2, 6])
def test_record_and_frame_rotten_and_unknown(op: int) -> None:
    disk, _ = with_log(OLD)
    spoil(disk, op)
    spoil_frame(disk, OLD[op - 1])
    expect(disk, list(range(1, op)), certain=False)


def test_a_record_that_does_not_follow_counts_as_rotten() -> None:
    disk, _ = with_log(OLD[:3])
    lost = chain(5, OLD[0].header, view=1)
    disk.write(names.JOURNAL, 4 * RECORD_BYTES, (journal.encode(lost[2].header),))
    with reaches("storage.record_does_not_follow"):
        expect(disk, [1, 2, 3], certain=False)


def test_a_record_of_an_op_that_was_given_up_counts_as_rotten() -> None:
    """The disk lost what took its place, and the one that was given up must not come back."""
    disk, store = with_log(OLD[:4])
    record = disk.read(names.JOURNAL, 4 * RECORD_BYTES, RECORD_BYTES)
    store.cut(Op(3))
    set_view(store, 1, 1, OLD[2:3])
    store.append(NEW[:1])
    disk.write(names.JOURNAL, 4 * RECORD_BYTES, (record,))
    disk.sync(names.JOURNAL)
    with reaches("storage.record_of_a_given_up_op"):
        _, recovered = reopen(disk)
    assert recovered.headers[-1] == NEW[0].header
    assert recovered.head_certain and not recovered.faulty


def test_cutting_removes_the_doubt() -> None:
    disk, _ = with_log(OLD)
    spoil(disk, 4)
    spoil_frame(disk, OLD[3])
    store, recovered = reopen(disk)
    assert not recovered.head_certain
    store.cut(Op(3))
    expect(disk, [1, 2, 3])


def test_a_missing_segment_is_rot() -> None:
    disk, _ = with_log(OLD)
    disk.remove(names.segment(1))
    expect(disk, [1, 2, 3, 4, 5, 6], (1, 2, 3, 4, 5, 6))
    store, _ = reopen(disk)
    for frame in OLD:
        store.repair([frame])
    expect(disk, [1, 2, 3, 4, 5, 6])


def test_a_sector_of_the_journal_is_restored() -> None:
    disk, _ = with_log(OLD, 3, 3)
    disk.rot_sector(names.JOURNAL, 1)
    expect(disk, [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("both", [False, True])
def test_alone_a_rotten_record_is_restored_and_a_lost_op_refused(both: bool) -> None:
    disk, store = fresh(replicas=1)
    store.append(OLD)
    set_view(store, 7, 7, [])
    spoil(disk, 6)
    if not both:
        assert ops(reopen(disk)[1]) == [1, 2, 3, 4, 5, 6]
        return
    spoil_frame(disk, OLD[5])
    with pytest.raises(Damaged) as caught:
        reopen(disk)
    assert (caught.value.op, caught.value.file) == (6, names.JOURNAL)
    assert caught.value.at == 6 * RECORD_BYTES


def test_alone_a_rotten_frame_is_refused() -> None:
    disk, store = fresh(replicas=1)
    store.append(OLD)
    spoil_frame(disk, OLD[2])
    with reaches("storage.alone_and_rotten"), pytest.raises(Damaged) as caught:
        reopen(disk)
    assert caught.value.op == 3


def test_alone_the_torn_tail_of_a_crash_is_no_rot() -> None:
    disk, store = fresh(replicas=1)
    store.append(OLD[:3])
    put_frame(disk, OLD[3])
    spoil_frame(disk, OLD[3])
    assert ops(reopen(disk)[1]) == [1, 2, 3]


def test_a_record_of_another_format_is_refused_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, store = with_log(OLD[:2])
    monkeypatch.setattr(journal, "FORMAT", 9)
    strange = journal.encode(OLD[2].header)
    monkeypatch.undo()
    disk.write(names.JOURNAL, 3 * RECORD_BYTES, (strange,))
    before = list(disk.contents())
    with pytest.raises(UnknownFormat, match="format 9"):
        reopen(disk)
    assert list(disk.contents()) == before
    assert store.head == 2


def test_contradicted_speaks_only_of_what_the_installed_view_began_with() -> None:
    def state(view: int, log_view: int, headers: list[Frame]) -> ViewState:
        return ViewState(
            view=View(view),
            log_view=View(log_view),
            commit=Op(0),
            epoch=0,
            members=(),
            headers=tuple(frame.header for frame in headers),
        )

    installed = state(1, 1, [OLD[2], *NEW[:2]])
    assert contradicted(OLD[3].header, installed)
    assert contradicted(OLD[5].header, installed)
    for frame in (*OLD[:3], *NEW):
        assert not contradicted(frame.header, installed)
    for quiet in (state(2, 1, [OLD[2], *NEW[:2]]), state(1, 1, [])):
        assert not contradicted(OLD[3].header, quiet)


def test_a_start_reads_nothing_before_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, store = with_log(chain(300))
    composer = store.begin_snapshot(store.read_headers(Op(290), Op(290))[0], bytes(32))
    composer.add(b"state")
    store.write_superblock(snapshot=composer.finish())
    read: list[tuple[str, int, int]] = []
    plain = disk.read

    def watched(name: str, at: int, size: int) -> bytes:
        read.append((name, at, size))
        return plain(name, at, size)

    monkeypatch.setattr(disk, "read", watched)
    _, recovered = Store.open(disk)
    assert ops(recovered) == list(range(291, 301))
    assert all(at >= 290 * RECORD_BYTES for name, at, _ in read if name == names.JOURNAL)
    first = recovered.headers[0].position
    assert all(at >= first for name, at, _ in read if name == names.segment(1))


def test_found_names_the_columns_of_the_table() -> None:
    assert Found._fields == ("record", *decisions.FLAGS)
    columns = [field.name for field in msgspec.structs.fields(decisions.Row)]
    assert columns == ["record", *decisions.FLAGS, "decision", "why"]


@pytest.mark.parametrize("size", [None, 0, 4096])
def test_a_journal_that_is_gone_is_not_an_empty_log(size: int | None) -> None:
    disk, _ = with_log(OLD)
    disk.remove(names.JOURNAL)
    if size is not None:
        disk.allocate(names.JOURNAL, size)
    with pytest.raises(Damaged, match="headers"):
        reopen(disk)


def test_the_documented_table_is_the_table() -> None:
    words = {None: "–", True: "yes", False: "no"}
    lines = (Path(__file__).parents[2] / "docs" / "storage.md").read_text().splitlines()
    documented = [line for line in lines if line.startswith(("| valid", "| blank", "| rotten"))]
    assert documented == [
        "| "
        + " | ".join(
            [
                row.record.value,
                *(words[getattr(row, flag)] for flag in decisions.FLAGS),
                row.decision.name,
                row.why,
            ]
        )
        + " |"
        for row in TABLE
    ]
