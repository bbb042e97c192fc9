"""The stream index: equal to a plain dict of offsets, also over restarts and rebuilding."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.server.index import Extent, Row, StreamIndex

OWNER = b"o" * 17
# One op: (stream, events) of each entry.
OPS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=4), min_size=1, max_size=40
)
TOP = 1 << 63


def told(ops: list[list[tuple[int, int]]]) -> list[tuple[int, int, list[Extent]]]:
    """What a log of these ops tells the index."""
    ends: dict[int, int] = {}
    found = []
    for op, entries in enumerate(ops, start=1):
        extents = []
        for stream, count in entries:
            base = ends.get(stream, 0)
            ends[stream] = base + count
            extents.append(Extent(TOP + stream, base, count, 100))
        found.append((op, 1_000 + 10 * op, extents))
    return found


def where(log: list[tuple[int, int, list[Extent]]]) -> dict[tuple[int, int], int]:
    """The op of every offset."""
    return {
        (e.stream, e.base + at): op
        for op, _, extents in log
        for e in extents
        for at in range(e.count)
    }


def check(index: StreamIndex, log: list[tuple[int, int, list[Extent]]]) -> None:
    """Every offset is found in a row whose ops include its own; none is found behind the end."""
    truth = where(log)
    for (stream, offset), op in truth.items():
        row = index.row_at(stream, offset)
        assert row is not None
        assert row.base <= offset < row.end
        assert row.op <= op <= row.last_op
    for stream in {key[0] for key in truth}:
        end = max(offset for s, offset in truth if s == stream) + 1
        assert index.row_at(stream, end) is None


@settings(max_examples=60)
@given(ops=OPS, flush_after=st.sets(st.integers(1, 40)), reopen_after=st.integers(0, 40))
def test_it_equals_a_dict(
    tmp_path_factory: pytest.TempPathFactory,
    ops: list[list[tuple[int, int]]],
    flush_after: set[int],
    reopen_after: int,
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.db"
    index = StreamIndex(path, OWNER)
    log = told(ops)
    for op, time, extents in log:
        index.add(op, time, extents)
        index.applied(op)
        if op in flush_after:
            index.flush()
        if op == reopen_after:
            # What was only in memory is told again, from some op on, as a start does.
            kept = index.built
            index.close()
            index = StreamIndex(path, OWNER)
            index.begin(0)
            for again in log[:op]:
                index.add(*again)
                index.applied(again[0])
            assert index.built == kept
    check(index, log)
    index.flush()
    assert index.pending() == 0
    check(index, log)
    assert index.built == len(ops)
    index.close()


@settings(max_examples=40)
@given(ops=OPS, snapshot=st.integers(0, 40), pieces=st.integers(1, 7))
def test_what_a_snapshot_hides_is_rebuilt(
    tmp_path_factory: pytest.TempPathFactory,
    ops: list[list[tuple[int, int]]],
    snapshot: int,
    pieces: int,
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.db"
    log = told(ops)
    snapshot = min(snapshot, len(log))
    index = StreamIndex(path, OWNER)
    index.begin(snapshot)
    for op, time, extents in log[snapshot:]:
        index.add(op, time, extents)
        index.applied(op)
    index.flush()
    while index.gap is not None:
        first, last = index.gap
        assert (first, last) == (index.built + 1, snapshot)
        upto = min(last, first + pieces - 1)
        index.fill(upto, log[first - 1 : upto])
    check(index, log)
    index.close()
    index = StreamIndex(path, OWNER)
    index.begin(snapshot)
    assert index.gap is None
    check(index, log)
    index.close()


@settings(max_examples=30)
@given(ops=OPS, told_to=st.integers(0, 20), skipped=st.integers(1, 20), flush=st.booleans())
def test_ops_that_a_peers_snapshot_stands_for_are_filled_in(
    tmp_path_factory: pytest.TempPathFactory,
    ops: list[list[tuple[int, int]]],
    told_to: int,
    skipped: int,
    flush: bool,
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.db"
    log = told(ops)
    index = StreamIndex(path, OWNER)
    for op, time, extents in log[:told_to]:
        index.add(op, time, extents)
        index.applied(op)
    if flush:
        index.flush()
    landing = min(told_to, len(log)) + skipped
    index.skip(landing)
    for op, time, extents in log[landing:]:
        index.add(op, time, extents)
        index.applied(op)
    index.flush()
    while index.gap is not None:
        first, last = index.gap
        index.fill(min(last, first + 3), log[first - 1 : min(last, first + 3)])
    check(index, log)
    index.close()
    index = StreamIndex(path, OWNER)
    check(index, log)
    index.close()


def test_rows_of_what_was_told_before_a_skip_give_way(tmp_path: Path) -> None:
    """Two runs of the same events, cut differently, would each look as if it lacked some."""
    path = tmp_path / "index.db"
    index = StreamIndex(path, OWNER)
    log = [(op, op * 100, [Extent(7, op - 1, 1, 10)]) for op in range(1, 31)]
    for landing, told_to in ((0, 5), (10, 15), (20, 30)):
        if landing:
            index.skip(landing)
        for op, time, extents in log[landing:told_to]:
            index.add(op, time, extents)
            index.applied(op)
        index.flush()
    while index.gap is not None:
        last = min(index.gap[1], index.gap[0] + 6)
        index.fill(last, log[index.gap[0] - 1 : last])
    index.close()
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT base, base + count FROM runs ORDER BY base").fetchall()
    assert [base for base, _ in rows] == [0, *(end for _, end in rows[:-1])]
    assert rows[-1][1] == 30


def test_time_finds_the_first_row_that_matters(tmp_path: Path) -> None:
    index = StreamIndex(tmp_path / "index.db", OWNER)
    for op in range(1, 201):
        index.add(op, op * 100, [Extent(7, op - 1, 1, 600_000)])
        index.applied(op)
        if op == 100:
            index.flush()
    for time in (0, 100, 101, 5_000, 9_950, 20_000):
        offset = index.offset_at_time(7, time, 0, 200)
        # The first event not before `time` has the op ceil(time / 100), and one offset less.
        assert offset == max(0, -(-time // 100) - 1)
    assert index.offset_at_time(7, 20_001, 0, 200) == 200
    index.close()


def test_runs_are_joined_while_they_stay_cheap_to_read(tmp_path: Path) -> None:
    index = StreamIndex(tmp_path / "index.db", OWNER)
    for op in range(1, 1_001):
        index.add(op, op, [Extent(1, op - 1, 1, 100)])
        index.applied(op)
    assert index.pending() == 16
    row = index.row_at(1, 500)
    assert row == Row(1, 448, 64, 449, 512, 449, 512, 6_400)
    index.close()


def test_a_foreign_or_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = StreamIndex(path, OWNER)
    index.add(1, 1, [Extent(1, 0, 3, 10)])
    index.applied(1)
    index.flush()
    index.close()
    other = StreamIndex(path, b"x" * 17)
    assert other.built == 0 and other.row_at(1, 0) is None
    other.close()
    path.write_bytes(b"this was a database" * 500)
    index = StreamIndex(path, OWNER)
    index.begin(1)
    assert index.gap == (1, 1)
    index.fill(1, [(1, 1, [Extent(1, 0, 3, 10)])])
    assert index.row_at(1, 2) is not None
    index.close()


def test_a_reset_forgets_everything_and_asks_for_it_again(tmp_path: Path) -> None:
    index = StreamIndex(tmp_path / "index.db", OWNER)
    index.add(1, 1, [Extent(1, 0, 3, 10)])
    index.applied(1)
    index.reset()
    assert index.row_at(1, 0) is None
    assert index.gap == (1, 1)
    index.add(2, 2, [Extent(1, 3, 1, 10)])
    index.applied(2)
    index.flush()
    index.fill(1, [(1, 1, [Extent(1, 0, 3, 10)])])
    assert index.gap is None and index.built == 2
    assert index.row_at(1, 0) is not None and index.row_at(1, 3) is not None
    index.close()


def test_how_far_space_was_given_back_is_remembered(tmp_path: Path) -> None:
    index = StreamIndex(tmp_path / "index.db", OWNER)
    assert index.reclaimed(TOP) == 0
    index.set_reclaimed(TOP, 42)
    index.close()
    index = StreamIndex(tmp_path / "index.db", OWNER)
    assert index.reclaimed(TOP) == 42
    index.close()
