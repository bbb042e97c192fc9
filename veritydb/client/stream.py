"""A stream, as a program holds it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from veritydb.client.appender import Appender
from veritydb.client.coalesce import Coalescer
from veritydb.client.connection import Connection
from veritydb.client.convert import stream_info, to_retention
from veritydb.client.core import Core
from veritydb.client.deadline import Deadline
from veritydb.client.given import check_number, check_retention, check_type, events_of
from veritydb.client.reader import Pages, Query
from veritydb.client.values import (
    ANY,
    LOCAL,
    Appended,
    Consistency,
    Durability,
    Expected,
    Item,
    ReadBatch,
    StreamInfo,
    Token,
    expectation,
    origin_of,
)
from veritydb.types.entry import EXPECT_ANY, OFFSET_MAX
from veritydb.types.errors import NotSupported
from veritydb.types.event import Event
from veritydb.types.ids import NO_ID
from veritydb.types.labels import DataClass, Placement
from veritydb.types.retention import Retention
from veritydb.wire.batch import Batch


async def show(core: Core, group: int, ref: Mapping[str, Any], deadline: Deadline) -> StreamInfo:
    """Ask a group's primary for a stream, in the words of the schema."""

    async def ask(connection: Connection, deadline: Deadline) -> StreamInfo:
        result = await connection.ask("streams", "show", stream=ref, linearizable=True)
        return stream_info(result.stream)

    return await core.on_primary(group, ask, deadline, harmless=True)


class AsyncStream:
    """A stream of one tenant: append to it, read it, bound what it keeps.

    Made by `create_stream` or `stream`. Any number of tasks may use it at once.
    """

    def __init__(self, core: Core, appender: Appender, info: StreamInfo, coalesce: bool) -> None:
        """Made by the client."""
        self._core = core
        self._appender = appender
        self._coalesce = coalesce
        self.id = info.id
        self.tenant = info.tenant
        self.name = info.name
        self.data_class: DataClass = info.data_class
        self.placement: Placement = info.placement
        self.group = info.group
        self._coalescer = Coalescer(appender.encode, self._send_any)

    def __repr__(self) -> str:
        """Names no name: it may end up in a log."""
        return f"<{type(self).__name__} {self.id:#x} of tenant {self.tenant}>"

    # -- appending

    async def append(
        self,
        events: Sequence[Event],
        *,
        expected: Expected | int = ANY,
        origin: bytes | None = None,
        origin_seq: int | None = None,
        durability: Durability = Durability.LOCAL_QUORUM,
        timeout: float | None = None,
    ) -> Appended:
        """Append events, all or none, and return once they are durable on a quorum.

        `expected` says where the stream must be: ANY, NO_STREAM, STREAM_EXISTS or the exact offset
        of the first event; otherwise WrongExpectedOffset tells the actual one. With `origin` (16
        bytes) and the sequence of the first event there, a repeat is recognised for ever. Without,
        it is sent again after a lost connection until `timeout`, and still applied only once.

        Appends of several tasks with ANY and no origin may travel as one batch; their order is the
        order of the calls. An error says whether the append is *not applied* or *unknown*.
        """
        deadline = self._core.deadline(timeout)
        check_type(durability, Durability, "a durability is one of Durability")
        if durability is not Durability.LOCAL_QUORUM:
            raise NotSupported("GEO_DURABLE needs replication across regions, which is not there")
        who, first = origin_of(origin, origin_seq)
        where = expectation(expected)
        if where == EXPECT_ANY and who == NO_ID and self._coalesce:
            return await self._coalescer.append(events, deadline)
        return await self._appender.append(
            self.tenant,
            self.id,
            self._appender.encode(events_of(events)),
            deadline,
            expected=where,
            origin=who,
            origin_seq=first,
        )

    async def _send_any(self, batch: Batch, deadline: Deadline) -> Appended:
        return await self._appender.append(
            self.tenant, self.id, batch, deadline, expected=EXPECT_ANY
        )

    # -- reading

    def pages(self, **query: Any) -> Pages:
        """Read page by page; the parameters are those of `read`. Close it when done."""
        self._core.pool.check()
        return Pages(self._core, Query(tenant=self.tenant, stream=self.id, **query))

    async def read(
        self,
        from_offset: int | None = None,
        *,
        from_time: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        max_bytes: int = 0,
        consistency: Consistency = LOCAL,
        at_least: Token | None = None,
        node: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Item]:
        """Yield what is in the stream from an offset or a log time (ns) on, up to its end.

        Forwards it begins at 0, backwards with the last event, unless told otherwise. At most
        `limit` events; `max_bytes` bounds a page, of which one is fetched ahead. `consistency` is
        LOCAL (what the answering node has applied), or LINEARIZABLE (no older than this call);
        `at_least` a token after which a node may answer. `node` asks one node only. `timeout` is
        for each page.

        Yields RecordedEvent, Erased (the bytes are gone) or Truncated (a range was given up).
        """
        pages = self.pages(
            from_offset=from_offset,
            from_time=from_time,
            backwards=backwards,
            limit=limit,
            max_bytes=max_bytes,
            consistency=consistency,
            at_least=at_least,
            node=node,
            timeout=timeout,
        )
        try:
            while (page := await pages.next_page()) is not None:
                for item in page.items():
                    yield item
        finally:
            pages.close()

    async def read_batches(
        self,
        from_offset: int | None = None,
        *,
        from_time: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        max_bytes: int = 0,
        consistency: Consistency = LOCAL,
        at_least: Token | None = None,
        node: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[ReadBatch]:
        """The same, append by append, with nothing decoded but types and payloads."""
        pages = self.pages(
            from_offset=from_offset,
            from_time=from_time,
            backwards=backwards,
            limit=limit,
            max_bytes=max_bytes,
            consistency=consistency,
            at_least=at_least,
            node=node,
            timeout=timeout,
        )
        try:
            while (page := await pages.next_page()) is not None:
                for batch in page.batches():
                    yield batch
        finally:
            pages.close()

    # -- the stream itself

    async def info(self, *, timeout: float | None = None) -> StreamInfo:
        """What the stream is now, no older than this call."""
        return await show(self._core, self.group, self.ref, self._core.deadline(timeout))

    async def seal(self, *, timeout: float | None = None) -> StreamInfo:
        """Accept no more events, for ever. Sealing twice is harmless."""
        return await self._command("seal", timeout)

    async def truncate(self, before: int, *, timeout: float | None = None) -> StreamInfo:
        """Give up all events before an offset. It cannot be undone."""
        check_number(before, "an offset", high=OFFSET_MAX)
        return await self._command("truncate", timeout, before=before)

    async def set_retention(
        self, retention: Retention, *, timeout: float | None = None
    ) -> StreamInfo:
        """Bound what the stream keeps from now on, by age in log time, bytes and events."""
        check_retention(retention)
        return await self._command("setRetention", timeout, retention=to_retention(retention))

    async def _command(self, method: str, timeout: float | None, **parameters: Any) -> StreamInfo:
        async def send(connection: Connection, deadline: Deadline) -> StreamInfo:
            result = await connection.ask(
                "streams",
                method,
                stream=self.ref,
                timeoutMs=deadline.left_ms,
                **parameters,
            )
            return stream_info(result.ok.stream)

        # Each of them comes to the same if it is carried out twice.
        return await self._core.on_primary(self.group, send, self._core.deadline(timeout))

    @property
    def ref(self) -> dict[str, int]:
        """The stream in the words of the schema."""
        return {"tenant": self.tenant, "id": self.id}

    async def close(self) -> None:
        """Give up appends that have not been answered. The client does it when it is closed."""
        await self._coalescer.close()
