"""PostgreSQL through psycopg, in its binary format."""

import threading
from collections.abc import Callable
from types import TracebackType

import psycopg

from benchmarks.load import Contents
from benchmarks.payloads import TYPE, numbered
from benchmarks.payloads import number_of as event_number
from benchmarks.peers.pgbench import number_of
from benchmarks.peers.tasks import Tail

OPEN_SECONDS = 10.0
PAGE = 1000
INSERT = """\
INSERT INTO events (stream_id, "offset", type, payload)
SELECT %b, %b + place - 1, %b, payload
FROM unnest(%b::bytea[]) WITH ORDINALITY AS batch (payload, place)"""
COPY_IN = 'COPY events (stream_id, "offset", type, payload) FROM STDIN (FORMAT BINARY)'
SELECT = """\
SELECT "offset", type, payload FROM events
WHERE stream_id = %b AND "offset" >= %b ORDER BY "offset" LIMIT %b"""
SELECT_ALL = 'SELECT "offset", type, payload FROM events WHERE stream_id = %b ORDER BY "offset"'
CHANNEL = "events"
STRAGGLERS = 0.5
INSERT_AND_TELL = f"""\
WITH written AS (
    INSERT INTO events (stream_id, "offset", type, payload) VALUES (%b, %b, %b, %b)
    RETURNING "offset"
) SELECT pg_notify('{CHANNEL}', '') FROM written"""

Write = Callable[[list[bytes]], None]


def open_session(hosts: str) -> psycopg.Connection:
    """Connect; every statement is a transaction, and is prepared when it is first used."""
    host, _, port = hosts.partition(":")
    return psycopg.connect(
        host=host,
        port=int(port),
        user="postgres",
        dbname="postgres",
        autocommit=True,
        prepare_threshold=0,
    )


class Connection:
    """One connection."""

    def __init__(self, hosts: str, way: str) -> None:
        """Connect; batches go as an array or as a copy."""
        self._session = open_session(hosts)
        self._way = way

    def __enter__(self) -> "Connection":
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._session.close()

    def writer(self, stream: str) -> Write:
        """What appends batches to a stream, one after the other."""
        return {"array": self._arrays, "copy": self._copies}[self._way](number_of(stream))

    def _arrays(self, stream: int) -> Write:
        cursor = self._session.cursor()
        written = 0

        def write(batch: list[bytes]) -> None:
            nonlocal written
            cursor.execute(INSERT, (stream, written, TYPE, batch))
            written += len(batch)

        return write

    def _copies(self, stream: int) -> Write:
        cursor = self._session.cursor()
        written = 0

        def write(batch: list[bytes]) -> None:
            nonlocal written
            with cursor.copy(COPY_IN) as copy:
                copy.set_types(["int8", "int8", "text", "bytea"])
                for offset, payload in enumerate(batch, start=written):
                    copy.write_row((stream, offset, TYPE, payload))
            written += len(batch)

        return write


def read(hosts: str, way: str, stream: str, contents: Contents) -> None:
    """Read a stream from its beginning."""
    with open_session(hosts) as session, session.cursor(binary=True) as cursor:
        if way == "flow":
            read_flow(cursor, number_of(stream), contents)
        else:
            read_pages(cursor, number_of(stream), contents)


def read_pages(cursor: psycopg.Cursor, stream: int, contents: Contents) -> None:
    """Each page begins where the last one ended."""
    expected = 0
    while rows := cursor.execute(SELECT, (stream, expected, PAGE)).fetchall():
        expected = take(rows, expected, contents)


def read_flow(cursor: psycopg.Cursor, stream: int, contents: Contents) -> None:
    """One answer, of which more comes while the first rows are already here."""
    expected = 0
    rows: list[tuple[int, str, bytes]] = []
    for row in cursor.stream(SELECT_ALL, (stream,), binary=True, size=PAGE):
        rows.append(row)
        if len(rows) == PAGE:
            expected = take(rows, expected, contents)
            rows.clear()
    if rows:
        take(rows, expected, contents)


def take(rows: list[tuple[int, str, bytes]], expected: int, contents: Contents) -> int:
    """Take offset, type and payload of every row; return the offset that follows."""
    taken = []
    for offset, _type, payload in rows:
        if offset != expected:
            raise ValueError(f"offset {offset} instead of {expected}")
        expected += 1
        taken.append(payload)
    contents.add(taken)
    return expected


def follow(hosts: str, task: Tail, came: Callable[[int], None], ready: threading.Event) -> None:
    """Say which events of a stream have come, from the first on, until there is no more time.

    A notification comes with the commit; what is new is looked up then.
    """
    stream, expected = number_of(task.stream), 0
    # A session that listens does nothing else, so another one looks.
    with (
        open_session(hosts) as listening,
        open_session(hosts) as session,
        session.cursor(binary=True) as cursor,
    ):
        listening.execute(f"LISTEN {CHANNEL}")
        ready.set()
        for _ in listening.notifies(timeout=task.warm_s + task.seconds + STRAGGLERS):
            rows = cursor.execute(SELECT, (stream, expected, PAGE)).fetchall()
            for offset, _type, payload in rows:
                came(event_number(payload))
                expected = offset + 1


def teller(session: psycopg.Connection, task: Tail) -> Callable[[int], None]:
    """What appends a numbered event and tells those who listen."""
    stream = number_of(task.stream)

    def tell(number: int) -> None:
        payload = numbered(number, task.payload_bytes).payload
        session.execute(INSERT_AND_TELL, (stream, number, TYPE, payload))

    return tell
