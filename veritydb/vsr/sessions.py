"""Client sessions: what makes a repeated request harmless. Replicated state, decided when applied.

A session is opened through the log; its number is the op that opened it. A client has a window of
requests under way, numbered from 1, and says below which number it needs no results any more.
"""

from collections.abc import Iterable, Iterator

import msgspec
from immutables import Map

from veritydb.types.entry import EntryHeader
from veritydb.types.ids import ClientId, Op
from veritydb.types.limits import SESSION_WINDOW, SESSIONS_MAX
from veritydb.types.marks import mark
from veritydb.types.outcome import Code

CHUNK_SESSIONS = 200


class New(msgspec.Struct, frozen=True, gc=False):
    """Never applied: apply it, then `record` it."""


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """Applied before; these were the bytes of its outcome."""

    outcome: bytes


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Not to be applied: NO_SESSION, STALE_NUMBER or WINDOW_EXCEEDED."""

    code: Code


NEW = New()


class Session(msgspec.Struct, frozen=True, gc=False):
    """`used` is the op that last used the session; `results` the outcomes from `acked` on."""

    number: Op
    used: Op
    acked: int
    results: Map[int, bytes]


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A session as a snapshot keeps it."""

    client: bytes
    number: int
    used: int
    acked: int
    results: list[tuple[int, bytes]]


class Sessions(msgspec.Struct, frozen=True, gc=False):
    """All open sessions of a group."""

    by_client: Map[ClientId, Session] = Map()

    def register(self, client: ClientId, op: Op) -> tuple["Sessions", ClientId | None]:
        """Open the client's session `op`, which replaces an older one; evict if there are too many.

        Returns the sessions and who lost theirs. Ops only grow, so a late duplicate of a
        registration opens a session of its own number and never brings an old one back.
        """
        known = self.by_client.get(client)
        assert known is None or known.number <= op
        state, evicted = self, None
        if known is None and len(self.by_client) >= SESSIONS_MAX:
            mark("vsr.session_evicted")
            state, evicted = self._evict()
        return state._with(client, Session(op, op, 1, Map())), evicted

    def check(self, header: EntryHeader) -> New | Duplicate | Refused:
        """Say whether a request with a session is new. Changes nothing."""
        assert header.session > 0
        session = self.by_client.get(header.client)
        if session is None or session.number != header.session:
            return Refused(Code.NO_SESSION)
        known = session.results.get(header.number)
        if known is not None:
            return Duplicate(known)
        if header.number < session.acked or header.number < 1:
            return Refused(Code.STALE_NUMBER)
        if header.number >= max(session.acked, header.acked) + SESSION_WINDOW:
            return Refused(Code.WINDOW_EXCEEDED)
        return NEW

    def record(self, header: EntryHeader, op: Op, outcome: bytes) -> "Sessions":
        """Keep the outcome of a request that `check` found new; drop those the client has."""
        session = self.by_client[header.client]
        assert session.number == header.session and header.number not in session.results
        # A client that acknowledges what it has not yet sent would only lose its own results.
        acked = max(session.acked, min(header.acked, header.number))
        results = session.results
        if acked > session.acked:
            gone = [number for number in results if number < acked]
            for number in gone:
                results = results.delete(number)
        results = results.set(header.number, outcome)
        assert len(results) <= SESSION_WINDOW
        return self._with(header.client, Session(session.number, op, acked, results))

    def _with(self, client: ClientId, session: Session) -> "Sessions":
        assert session.acked >= 1
        return Sessions(self.by_client.set(client, session))

    def _evict(self) -> tuple["Sessions", ClientId]:
        """Close the session that was not used for longest. Looks at all: it happens rarely."""
        _, client = min((session.used, client) for client, session in self.by_client.items())
        return Sessions(self.by_client.delete(client)), client

    def encode(self) -> Iterator[bytes]:
        """Yield the sessions in pieces, in the order of their clients' ids."""
        pile: list[Stored] = []
        for client, each in sorted(self.by_client.items()):
            results = sorted(each.results.items())
            pile.append(Stored(client, each.number, each.used, each.acked, results))
            if len(pile) == CHUNK_SESSIONS:
                yield msgspec.msgpack.encode(pile)
                pile = []
        yield msgspec.msgpack.encode(pile)

    @staticmethod
    def decode(chunks: Iterable[bytes]) -> "Sessions":
        """Read what `encode` yielded. Raises msgspec.DecodeError."""
        state = Sessions()
        for chunk in chunks:
            for each in msgspec.msgpack.decode(chunk, type=list[Stored]):
                session = Session(Op(each.number), Op(each.used), each.acked, Map(each.results))
                state = state._with(ClientId(each.client), session)
        return state
