"""Sending entries: what makes one append happen exactly once, however often it has to be sent."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from veritydb.client.connection import Connection
from veritydb.client.core import Core
from veritydb.client.deadline import Deadline
from veritydb.client.refusal import RefusedBy
from veritydb.client.session import GroupSession
from veritydb.client.values import Appended, Token
from veritydb.types.entry import (
    OFFSET_MAX,
    BadEntry,
    EntryHeader,
    Kind,
    pack_header,
    parse_header,
)
from veritydb.types.errors import CorruptData, WrongExpectedOffset
from veritydb.types.event import Event
from veritydb.types.ids import NO_ID, ClientId, StreamId, TenantId, group_of
from veritydb.types.outcome import BASE_UNKNOWN, Code
from veritydb.wire.batch import Batch, encode_batch

Send = Callable[[Connection, Deadline, bytes], Awaitable[Any]]


class Appender:
    """The entries of one client."""

    def __init__(self, core: Core) -> None:
        """Have no session yet."""
        self._core = core
        self._sessions: dict[int, GroupSession] = {}

    def encode(self, events: Sequence[Event]) -> Batch:
        """Encode checked events; those without an id get a random one. Raises InvalidInput."""
        return encode_batch(events, self._core.fresh.take(len(events)))

    async def append(
        self,
        tenant: int,
        stream: int,
        batch: Batch,
        deadline: Deadline,
        *,
        expected: int,
        origin: bytes = NO_ID,
        origin_seq: int = 0,
    ) -> Appended:
        """Append one batch to one stream."""
        header = EntryHeader(
            kind=Kind.APPEND,
            parts=batch.parts,
            client=ClientId(self._core.client),
            tenant=TenantId(tenant),
            stream=StreamId(stream),
            expected=expected,
            batch=self._core.fresh.take(1),
            origin=origin,
            origin_seq=origin_seq,
            sent_at=self._core.now(),
            events=batch.events,
            body_len=len(batch.body),
            crc=batch.crc,
        )

        async def send(connection: Connection, deadline: Deadline, entry: bytes) -> Appended:
            result = await connection.ask(
                "streams", "append", entry=entry, timeoutMs=deadline.left_ms
            )
            return read_appended(result.appended)

        group = group_of(header.stream)
        answer: Appended = await self._deliver(group, header, batch.body, send, deadline)
        return answer

    async def append_many(
        self, tenant: int, group: int, batch: Batch, deadline: Deadline
    ) -> list[Appended]:
        """Append to several streams of one group, all or nothing; exact offsets are in the body."""
        header = EntryHeader(
            kind=Kind.APPEND_MANY,
            parts=batch.parts,
            client=ClientId(self._core.client),
            tenant=TenantId(tenant),
            batch=self._core.fresh.take(1),
            sent_at=self._core.now(),
            events=batch.events,
            body_len=len(batch.body),
            crc=batch.crc,
        )

        async def send(connection: Connection, deadline: Deadline, entry: bytes) -> list[Appended]:
            result = await connection.ask(
                "streams", "appendMany", entry=entry, timeoutMs=deadline.left_ms
            )
            return [read_appended(one.appended) for one in result.appended]

        answer: list[Appended] = await self._deliver(group, header, batch.body, send, deadline)
        return answer

    async def _deliver(
        self, group: int, header: EntryHeader, body: bytes, send: Send, deadline: Deadline
    ) -> Any:
        session = self._sessions.get(group)
        if session is None:
            session = self._sessions[group] = GroupSession(self._core, group)
        window, number = await session.take(deadline)
        entry = numbered(header, window.session, number, window.acked) + body
        attempts = 0
        renewed = False

        async def attempt(connection: Connection, deadline: Deadline) -> Any:
            nonlocal window, number, entry, attempts, header, renewed
            while True:
                attempts += 1
                try:
                    return await send(connection, deadline, entry)
                except RefusedBy as error:
                    code = error.refusal.code
                    if code == Code.SENT_AHEAD and not renewed:
                        # Some clock was wrong when we took the time from it. The log has decided
                        # that this number was not applied, and says what time it is.
                        self._core.pool.clock_offset = error.refusal.actual - time.time_ns()
                        header = msgspec.structs.replace(header, sent_at=self._core.now())
                    elif code != Code.NO_SESSION:
                        raise
                    else:
                        session.forgotten(window.session)
                renewed = True
                session.done(window, number)
                window, number = await session.take(deadline)
                entry = numbered(header, window.session, number, window.acked) + body

        try:
            return await self._core.on_primary(group, attempt, deadline)
        except WrongExpectedOffset as error:
            if attempts > 1 and header.kind is Kind.APPEND:
                found = await self._stored(group, header, error, deadline)
                if found is not None:
                    return found
            raise
        finally:
            session.done(window, number)

    async def _stored(
        self, group: int, header: EntryHeader, error: WrongExpectedOffset, deadline: Deadline
    ) -> Appended | None:
        """Look whether it was this very batch that took the expected offset.

        After many others the group no longer knows the batch's id; the entry there still does.
        """
        base = header.expected if header.expected <= OFFSET_MAX else 0
        if error.actual is None or error.actual < base + header.events:
            return None

        async def read(connection: Connection, deadline: Deadline) -> Any:
            result = await connection.ask(
                "streams",
                "read",
                req={
                    "stream": {"tenant": header.tenant, "id": header.stream},
                    "from": {"offset": base},
                    "limit": 1,
                    "consistency": {"linearizable": None},
                    "timeoutMs": deadline.left_ms,
                },
            )
            return [
                (item.base, item.op, item.entry)
                for item in result.page.items
                if item.which() == "entry"
            ]

        for first, op, entry in await self._core.on_primary(group, read, deadline, harmless=True):
            try:
                stored = parse_header(entry)
            except BadEntry:
                raise CorruptData("the node sent an entry that is none") from None
            if first == base and stored.batch == header.batch:
                token = Token(((group, op),))
                return Appended(header.stream, base, header.events, True, token)
        return None

    async def close(self) -> None:
        """Stop opening sessions."""
        for session in self._sessions.values():
            await session.close()


def numbered(header: EntryHeader, session: int, number: int, acked: int) -> bytes:
    """Return the bytes of a header as one request of a session."""
    return pack_header(
        EntryHeader(
            kind=header.kind,
            parts=header.parts,
            client=header.client,
            session=session,
            number=number,
            acked=acked,
            tenant=header.tenant,
            stream=header.stream,
            expected=header.expected,
            batch=header.batch,
            origin=header.origin,
            origin_seq=header.origin_seq,
            sent_at=header.sent_at,
            events=header.events,
            body_len=header.body_len,
            crc=header.crc,
        )
    )


def read_appended(message: Any) -> Appended:
    """Read `appended` of a PublishRes."""
    base = message.base
    return Appended(
        message.stream,
        None if base == BASE_UNKNOWN else base,
        message.count,
        message.duplicate,
        Token(((message.group, message.op),)),
    )
