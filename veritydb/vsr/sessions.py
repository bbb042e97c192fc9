"""Client sessions: what keeps a request that is sent twice from being applied twice.

A client registers through the log; the op is its session's number. In a session it counts its
requests and may have a window of them on their way, in any order. What became of a request is kept
until the client says that it knows (`acked`). All of this is decided by the log alone, so that
every replica refuses, remembers and evicts the same.
"""

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop

import immutables
import msgspec

from veritydb.types.entry import EntryHeader
from veritydb.types.ids import ID_BYTES, ClientId, Op
from veritydb.types.limits import SESSION_WINDOW, SESSIONS_MAX
from veritydb.types.marks import mark
from veritydb.types.outcome import Code

SESSIONS_PER_CHUNK = 256
# Results of all sessions together. One session alone never comes near.
RESULTS_MAX = 262_144
assert SESSION_WINDOW * 8 <= RESULTS_MAX
# This part of what there may be goes at once.
EVICTED_PART = 64


class New(msgspec.Struct, frozen=True, gc=False):
    """The request was not seen before: apply it."""


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The request was applied before, and this became of it."""

    outcome: bytes


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The request cannot be applied in this session."""

    code: Code


NEW = New()
NO_SESSION = Refused(Code.NO_SESSION)
STALE_NUMBER = Refused(Code.STALE_NUMBER)
WINDOW_EXCEEDED = Refused(Code.WINDOW_EXCEEDED)


class Session(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One client's. `attempt` counts its registrations, `last_op` is the last that concerned it.

    `results` has what became of requests from number `acked` on.
    """

    session: Op
    tenant: int
    attempt: int
    last_op: Op
    acked: int
    results: immutables.Map[int, bytes]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A session as a snapshot holds it."""

    client: bytes
    session: int
    tenant: int
    attempt: int
    last_op: int
    acked: int
    results: tuple[tuple[int, bytes], ...]


class Sessions(msgspec.Struct, frozen=True, gc=False):
    """All sessions of a group. Persistent: a change returns another value."""

    table: immutables.Map[bytes, Session] = immutables.Map()
    results: int = 0

    def register(
        self, client: ClientId, op: Op, tenant: int = 0, attempt: int = 0
    ) -> "tuple[Sessions, ClientId | None]":
        """Open a session, instead of one that the client had; return who had to go first, if any.

        `attempt` (0: not counted) tells a new registration from a late duplicate of an old one,
        which must not put an end to the session that came after it.
        """
        assert len(client) == ID_BYTES and op > 0
        known = self.table.get(client)
        if known is not None and (op <= known.session or 0 < attempt <= known.attempt):
            mark("sessions.late_register")
            return self, None
        evicted = None
        kept = self
        if known is None and len(self.table) >= SESSIONS_MAX:
            mark("sessions.evicted")
            enough = SESSIONS_MAX - max(1, SESSIONS_MAX // EVICTED_PART)
            evicted, kept = self._fewer(enough, RESULTS_MAX)
        opened = Session(
            session=op,
            tenant=tenant,
            attempt=attempt,
            last_op=op,
            acked=0,
            results=immutables.Map(),
        )
        forgotten = 0 if known is None else len(known.results)
        table = kept.table.set(client, opened)
        assert len(table) <= SESSIONS_MAX and kept.results >= forgotten
        return Sessions(table, kept.results - forgotten), evicted

    def session_of(self, client: ClientId) -> Session | None:
        """Return the client's session, if it has one."""
        assert len(client) == ID_BYTES
        return self.table.get(client)

    def check(self, header: EntryHeader) -> New | Duplicate | Refused:
        """Say whether a request is to be applied."""
        known = self.table.get(header.client)
        if known is None or known.session != header.session:
            return NO_SESSION
        number = header.number
        if number < known.acked or number < header.acked or number == 0:
            return STALE_NUMBER
        assert len(known.results) <= SESSION_WINDOW
        outcome = known.results.get(number)
        if outcome is not None:
            return Duplicate(outcome)
        if number >= max(known.acked, header.acked) + SESSION_WINDOW:
            return WINDOW_EXCEEDED
        assert known.acked <= number
        return NEW

    def record(self, header: EntryHeader, op: Op, outcome: bytes) -> "Sessions":
        """Remember what became of a request that `check` let through."""
        known = self.table[header.client]
        assert known.session == header.session and op >= known.last_op
        assert header.number not in known.results, "applied twice"
        results = known.results.set(header.number, outcome)
        acked = max(known.acked, header.acked)
        if acked > known.acked:
            results = _from(results, known.acked, acked)
        changed = Session(
            session=known.session,
            tenant=known.tenant,
            attempt=known.attempt,
            last_op=op,
            acked=acked,
            results=results,
        )
        total = self.results + len(results) - len(known.results)
        assert len(results) <= SESSION_WINDOW and total >= 0
        after = Sessions(self.table.set(header.client, changed), total)
        if after.results > RESULTS_MAX:
            mark("sessions.evicted_for_results")
            _, after = after._fewer(SESSIONS_MAX, RESULTS_MAX - RESULTS_MAX // EVICTED_PART)
        assert after.results <= RESULTS_MAX
        return after

    def _fewer(self, sessions: int, results: int) -> "tuple[ClientId, Sessions]":
        """Evict those who have been quiet for longest until so many are left; return the first.

        To look at all for every single one would take long: callers ask for some room to spare.
        """
        quiet = [(one.last_op, one.session, client) for client, one in self.table.items()]
        heapify(quiet)
        first = ClientId(quiet[0][2])
        assert sessions > 0 and len(self.table) <= SESSIONS_MAX
        table, total = self.table.mutate(), self.results
        while len(table) > sessions or total > results:
            client = heappop(quiet)[2]
            total -= len(table[client].results)
            del table[client]
        assert total >= 0
        return first, Sessions(table.finish(), total)

    def encode(self) -> Iterator[bytes]:
        """Yield the chunks of a snapshot; the same for the same sessions.

        Of these sessions nothing is held but what is still to be encoded.
        """
        assert self.results >= 0
        return _encode(sorted(self.table), self.table.mutate())

    @staticmethod
    def decode(chunks: Iterable[bytes]) -> "Sessions":
        """Read what `encode` yielded. Raises ValueError."""
        table: dict[bytes, Session] = {}
        total = 0
        for chunk in chunks:
            for row in msgspec.msgpack.decode(chunk, type=list[Row]):
                if len(row.client) != ID_BYTES or row.client in table:
                    raise ValueError("a session's client is no id, or comes twice")
                table[row.client] = Session(
                    session=Op(row.session),
                    tenant=row.tenant,
                    attempt=row.attempt,
                    last_op=Op(row.last_op),
                    acked=row.acked,
                    results=immutables.Map(row.results),
                )
                total += len(row.results)
        assert total >= 0
        return Sessions(immutables.Map(table), total)


def _encode(
    clients: list[bytes], table: "immutables.MapMutation[bytes, Session]"
) -> Iterator[bytes]:
    assert len(clients) == len(table)
    for start in range(0, len(clients), SESSIONS_PER_CHUNK):
        part = clients[start : start + SESSIONS_PER_CHUNK]
        yield msgspec.msgpack.encode([_row(client, table.pop(client)) for client in part])
    assert not table


def _row(client: bytes, session: Session) -> Row:
    results = tuple(sorted(session.results.items()))
    assert len(results) <= SESSION_WINDOW
    assert not results or results[0][0] >= session.acked, "what the client knows is forgotten"
    return Row(
        client,
        session.session,
        session.tenant,
        session.attempt,
        session.last_op,
        session.acked,
        results,
    )


def _from(results: immutables.Map[int, bytes], old: int, new: int) -> immutables.Map[int, bytes]:
    """Return the results from number `new` on, of some that began with `old`."""
    assert new > old
    if new == old + 1:
        # Nearly always: a client with one request at a time.
        return results.delete(old) if old in results else results
    if new - old <= len(results):
        gone = [number for number in range(old, new) if number in results]
    else:
        gone = [number for number in results if number < new]
    changing = results.mutate()
    for number in gone:
        del changing[number]
    return changing.finish()
