"""The stream index of one group: which ops hold which offsets of a stream.

SQLite, derived, and only ever a hint: whoever reads by it checks what it finds against the entries
and their outcomes. A row stands for a run of neighbouring entries, so that single appends of one
busy stream do not cost a row each. What is not written yet is kept in memory; position and rows are
one transaction. Nothing here is needed to start, and nothing is on the way of an acknowledgement.

    built      rows are complete up to this op
    live_from  and from this one ...
    live_to    ... to this one; what lies between `built` and `live_from` is being rebuilt
"""

import bisect
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

FORMAT = 1
# A run is read as a whole, so it must not grow beyond what one read is likely to want.
RUN_OPS_MAX = 64
RUN_GAP_MAX = 4
RUN_BYTES_MAX = 1 << 20
RUN_EVENTS_MAX = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (
    one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER, owner BLOB,
    built INTEGER, live_from INTEGER, live_to INTEGER);
CREATE TABLE IF NOT EXISTS runs (
    stream INTEGER, base INTEGER, count INTEGER, op INTEGER, last_op INTEGER,
    time INTEGER, last_time INTEGER, PRIMARY KEY (stream, base)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (stream INTEGER PRIMARY KEY, floor INTEGER);
"""
COLUMNS = "stream, base, count, op, last_op, time, last_time"
PUT = f"INSERT OR REPLACE INTO runs ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
AT_OR_BELOW = (
    f"SELECT {COLUMNS} FROM runs WHERE stream = ? AND base <= ? ORDER BY base DESC LIMIT 1"
)


class Row(msgspec.Struct, gc=False):
    """Events `base` to `base + count` of a stream lie in ops `op` to `last_op`, with log times."""

    stream: int
    base: int
    count: int
    op: int
    last_op: int
    time: int
    last_time: int
    size: int = 0

    @property
    def end(self) -> int:
        """The offset after the last."""
        return self.base + self.count


class Extent(msgspec.Struct, frozen=True, gc=False):
    """What one entry gave one stream; as `node.effects.Run`, for those who scan the log."""

    stream: int
    base: int
    count: int
    bytes: int


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file's content is wrong, and not that there is no space."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def signed(number: int) -> int:
    """A stream id as SQLite stores it: 64 bits with a sign."""
    return number - (1 << 64) if number >> 63 else number


def unsigned(number: int) -> int:
    """The stream id that `signed` made this of."""
    return number + (1 << 64) if number < 0 else number


class Runs:
    """Rows in memory: grows at the end, looked up by offset."""

    def __init__(self) -> None:
        self.streams: dict[int, list[Row]] = {}
        self.count = 0

    def add(self, op: int, time: int, stream: int, base: int, count: int, size: int) -> None:
        """Remember one run; joins it to the stream's last one where that stays cheap to read."""
        rows = self.streams.get(stream)
        if rows is None:
            rows = self.streams[stream] = []
        elif rows:
            last = rows[-1]
            if (
                last.end == base
                and op - last.last_op <= RUN_GAP_MAX
                and op - last.op < RUN_OPS_MAX
                and last.size + size <= RUN_BYTES_MAX
                and last.count + count <= RUN_EVENTS_MAX
            ):
                last.count += count
                last.size += size
                last.last_op = op
                last.last_time = time
                return
        rows.append(Row(stream, base, count, op, op, time, time, size))
        self.count += 1

    def at_or_below(self, stream: int, offset: int) -> Row | None:
        """The last row that begins no later than `offset`."""
        rows = self.streams.get(stream, [])
        at = bisect.bisect_right(rows, offset, key=lambda row: row.base)
        return msgspec.structs.replace(rows[at - 1]) if at else None

    def let_go(self) -> None:
        """Forget all, one stream after the other: at once it would hold up every other thread."""
        while self.streams:
            self.streams.popitem()

    def rows(self) -> Iterable[tuple[int, ...]]:
        """As they are stored."""
        for rows in self.streams.values():
            for r in rows:
                stream = signed(r.stream)
                yield stream, r.base, r.count, r.op, r.last_op, r.time, r.last_time


class StreamIndex:
    """One group's index. `add` and `begin` are for the loop's thread, all else for any."""

    def __init__(self, path: Path, owner: bytes) -> None:
        """`owner` names cluster and group: a file of another one is thrown away."""
        self._path = path
        self._owner = owner
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._tail = Runs()
        self._flushing = Runs()
        self._flushing_to = 0
        self._applied = 0
        self._cleared = False
        self._writer, self._reader = self._open()
        with self._writing:
            self.built, self.live_from, self.live_to = self._load()

    # -- the file

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
                raise
            self._remove()
            return self._connect()

    def _connect(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        writer = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = NORMAL")
            writer.executescript(SCHEMA)
            found = writer.execute("SELECT format, owner FROM about").fetchone()
            if found is not None and found != (FORMAT, self._owner):
                raise sqlite3.DatabaseError("the index belongs to another log")
            writer.execute(
                "INSERT OR IGNORE INTO about VALUES (1, ?, ?, 0, 1, 0)", (FORMAT, self._owner)
            )
            reader = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            reader.execute("PRAGMA query_only = ON")
        except BaseException:
            writer.close()
            raise
        return writer, reader

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{self._path}{ending}").unlink(missing_ok=True)

    def _load(self) -> tuple[int, int, int]:
        row = self._writer.execute("SELECT built, live_from, live_to FROM about").fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def close(self) -> None:
        """Close the file. What was not flushed is found again in the log."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def reset(self) -> None:
        """Forget everything and begin again: a row was wrong, or the file cannot be read."""
        with self._writing, self._reading, self._lock:
            self._writer.close()
            self._reader.close()
            self._remove()
            self._writer, self._reader = self._connect()
            self._tail, self._flushing = Runs(), Runs()
            self.built, self.live_from, self.live_to = 0, self._applied + 1, self._applied

    # -- what is committed

    def begin(self, applied: int) -> None:
        """The node starts with the state after `applied` and will tell of every later op."""
        self._applied = applied
        if self.live_to < applied and self.built < applied:
            self.live_from, self.live_to = applied + 1, applied
        self._join()

    def skip(self, op: int) -> None:
        """The node went on from a peer's state after `op` and will not tell what lies before it.

        What was told and not written yet is part of the gap: it is found in the log again.
        """
        with self._writing, self._lock:
            assert op > self._applied
            self._tail, self._flushing = Runs(), Runs()
            self._cleared = False
            self._applied = op
            self.live_from, self.live_to = op + 1, op

    def _join(self) -> None:
        """Where the two ranges meet they become one."""
        if self.live_from <= self.built + 1:
            self.built = max(self.built, self.live_to)
            self.live_from, self.live_to = self.built + 1, self.built

    @property
    def gap(self) -> tuple[int, int] | None:
        """The first and last op whose rows are missing, if there are any."""
        if self.live_from <= self.built + 1:
            return None
        return self.built + 1, self.live_from - 1

    def add(self, op: int, time: int, extents: Iterable[Extent]) -> None:
        """Learn what one op, the next one, holds."""
        if op <= self.live_to:
            return
        with self._lock:
            for e in extents:
                self._tail.add(op, time, e.stream, e.base, e.count, e.bytes)

    def applied(self, op: int) -> None:
        """Everything up to `op` was told."""
        self._applied = op

    def pending(self) -> int:
        """Rows that are only in memory."""
        return self._tail.count + self._flushing.count

    def flush(self) -> None:
        """Write what is in memory. Raises sqlite3.Error: then call it again later, or `reset`."""
        with self._writing:
            with self._lock:
                # What an earlier attempt could not write comes first.
                if not self._flushing.count:
                    self._flushing, self._tail = self._tail, Runs()
                    self._flushing_to = self._applied
                applied = self._flushing_to
            if self.gap is None:
                built, live = max(self.built, applied), None
            else:
                built, live = self.built, max(self.live_to, applied)
            self._store(self._flushing, built, live)
            with self._lock:
                done, self._flushing = self._flushing, Runs()
        done.let_go()

    def _store(self, runs: Runs, built: int, live: int | None) -> None:
        live_from = self.live_from if live is not None else built + 1
        live_to = live if live is not None else built
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            self._writer.executemany(PUT, runs.rows())
            self._writer.execute(
                "UPDATE about SET built = ?, live_from = ?, live_to = ?",
                (built, live_from, live_to),
            )
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.rollback()
            raise
        self.built, self.live_from, self.live_to = built, live_from, live_to

    def fill(self, last: int, told: Iterable[tuple[int, int, Iterable[Extent]]]) -> None:
        """Rebuild a piece of the gap: ops from its first up to `last`, as (op, time, extents)."""
        runs = Runs()
        for op, time, extents in told:
            for e in extents:
                runs.add(op, time, e.stream, e.base, e.count, e.bytes)
        with self._writing:
            gap = self.gap
            if gap is None or not gap[0] <= last <= gap[1]:
                return
            if not self._cleared:
                # Rows of what was told before a skip would stand beside those that come now.
                query = "DELETE FROM runs WHERE op BETWEEN ? AND ?"
                self._writer.execute(query, gap)
                self._cleared = True
            if last == gap[1]:
                self._store(runs, max(last, self.live_to), None)
            else:
                self._store(runs, last, self.live_to)

    # -- who holds what

    def row_at(self, stream: int, offset: int) -> Row | None:
        """The row that holds `offset`. Raises sqlite3.Error."""
        found = self._below(stream, offset)
        return found if found is not None and found.end > offset else None

    def _below(self, stream: int, offset: int) -> Row | None:
        with self._lock:
            for runs in (self._tail, self._flushing):
                found = runs.at_or_below(stream, offset)
                if found is not None:
                    return found
        return self._select(AT_OR_BELOW, stream, offset)

    def _select(self, query: str, stream: int, offset: int) -> Row | None:
        with self._reading:
            row = self._reader.execute(query, (signed(stream), offset)).fetchone()
        return None if row is None else Row(unsigned(row[0]), *row[1:])

    def offset_at_time(self, stream: int, time: int, low: int, high: int) -> int:
        """A row's first offset at or below the first event not before `time`, within low..high.

        Log time grows with offsets, so it halves the range. Raises sqlite3.Error.
        """
        while low < high:
            middle = (low + high) // 2
            row = self.row_at(stream, middle)
            if row is None:
                return low
            if row.last_time < time:
                low = row.end
            elif row.time >= time:
                high = min(middle, row.base)
            else:
                return max(low, row.base)
        return low

    # -- how far space was given back

    def reclaimed(self, stream: int) -> int:
        """The floor below which the stream's space was given back."""
        with self._reading:
            query = "SELECT floor FROM done WHERE stream = ?"
            row = self._reader.execute(query, (signed(stream),)).fetchone()
        return 0 if row is None else int(row[0])

    def set_reclaimed(self, stream: int, floor: int) -> None:
        """Remember that space below `floor` was given back."""
        with self._writing:
            self._writer.execute(
                "INSERT OR REPLACE INTO done (stream, floor) VALUES (?, ?)",
                (signed(stream), floor),
            )
