"""The part of `veritydb verify` that compares a replica's stream index with its log."""

import bisect
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from veritydb.server.index import COLUMNS, Row, unsigned
from veritydb.server.reading import Unreadable, extents_of
from veritydb.storage import superblock
from veritydb.storage.disk import Disk
from veritydb.storage.findings import Finding
from veritydb.storage.holes import HoleMaps
from veritydb.storage.journal import Journal
from veritydb.storage.names import INDEX
from veritydb.storage.outcomes import Outcomes
from veritydb.storage.segments import Segments
from veritydb.types.frame import Frame
from veritydb.types.ids import Op
from veritydb.types.outcome import RECORD_BYTES, Outcome, decode

BLOCK = 64
FILES = (INDEX, f"{INDEX}-wal", f"{INDEX}-shm")


class Index:
    """The rows of an index, and which ops they cover."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Read all of it. Raises sqlite3.Error."""
        about = db.execute("SELECT built, live_from, live_to FROM about").fetchone()
        self.built: int = about[0] if about else 0
        self.live: range = range(about[1], about[2] + 1) if about else range(0)
        self.floors: dict[int, int] = {
            unsigned(stream): floor
            for stream, floor in db.execute("SELECT stream, floor FROM done")
        }
        self.rows: dict[int, list[Row]] = {}
        self.left: dict[tuple[int, int], int] = {}
        for stream, *rest in db.execute(f"SELECT {COLUMNS} FROM runs ORDER BY stream, base"):
            row = Row(unsigned(stream), *rest)
            self.rows.setdefault(row.stream, []).append(row)
            self.left[row.stream, row.base] = row.count

    @property
    def last(self) -> int:
        """The last op of which it says anything."""
        return max(self.built, self.live.stop - 1)

    def covers(self, op: int) -> bool:
        """Whether the rows of an op have to be there."""
        return op <= self.built or op in self.live

    def take(self, op: int, stream: int, base: int, count: int) -> bool:
        """Whether events of this op are where the index says; they are counted off its row."""
        rows = self.rows.get(stream, [])
        at = bisect.bisect_right(rows, base, key=lambda row: row.base) - 1
        row = rows[at] if at >= 0 else None
        if row is None or not (base + count <= row.end and row.op <= op <= row.last_op):
            return base + count <= self.floors.get(stream, 0)
        self.left[stream, row.base] -= count
        return True


def check_index(folder: Path, disk: Disk) -> Iterator[Finding]:
    """Yield what is wrong with the index of a replica whose log is intact."""
    if not (folder / INDEX).exists():
        return
    # SQLite puts its own files right when it opens them; nothing here may be changed.
    with tempfile.TemporaryDirectory(prefix="veritydb-verify-") as name:
        for file in FILES:
            if (folder / file).exists():
                shutil.copy(folder / file, name)
        try:
            with closing(sqlite3.connect(Path(name) / INDEX)) as db:
                for (problem,) in db.execute("PRAGMA quick_check"):
                    if problem != "ok":
                        yield wrong(problem.splitlines()[0])
                        return
                index = Index(db)
        except sqlite3.DatabaseError as error:
            yield wrong(f"it cannot be read ({type(error).__name__})")
            return
    yield from compare(index, disk)


def compare(index: Index, disk: Disk) -> Iterator[Finding]:
    """Walk the log and hold each of its entries against the index."""
    choice = superblock.choose(superblock.read_copies(disk))
    assert choice is not None
    who = choice.block.identity
    journal = Journal(disk, who)
    segments = Segments(disk, who, HoleMaps(disk))
    outcomes = Outcomes(disk)
    # A snapshot that was taken over may stand for ops that were not fetched yet.
    whole = choice.block.gap_end == 0
    for first in range(1, index.last + 1, BLOCK):
        headers = journal.headers(first, min(index.last, first + BLOCK - 1))
        for header, frame in zip(headers, segments.read(headers), strict=True):
            if frame is None or not index.covers(header.op):
                continue
            try:
                extents = extents_of(frame, read_outcomes(outcomes, frame))
            except Unreadable:
                yield wrong("it covers an op without outcomes", header.op)
                return
            for one in extents:
                if not index.take(header.op, one.stream, one.base, one.count):
                    yield wrong("it does not lead to this op's events", header.op)
                    return
    if whole and any(index.left.values()):
        yield wrong("it names events that are not in the log")


def read_outcomes(outcomes: Outcomes, frame: Frame) -> list[Outcome]:
    """The outcomes of a frame's entries. Raises Unreadable."""
    count = frame.header.entry_count
    data = outcomes.read(frame.header.entry_base, count)
    if len(data) != count * RECORD_BYTES:
        raise Unreadable
    try:
        return [decode(data, at * RECORD_BYTES) for at in range(count)]
    except ValueError:
        raise Unreadable from None


def wrong(problem: str, op: Op | None = None) -> Finding:
    """A finding about the index. SQLite does not tell at which byte."""
    return Finding(file=INDEX, at=0, problem=problem, op=op)
