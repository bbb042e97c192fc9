"""The client: one connection per node, whatever the number of streams and tasks."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from veritydb.client import kj
from veritydb.client.admin import AsyncAdmin
from veritydb.client.appender import Appender
from veritydb.client.connection import Connection
from veritydb.client.convert import TO_CLASS, stream_info, to_placement, to_retention
from veritydb.client.core import Core
from veritydb.client.deadline import DEFAULT_TIMEOUT_S, Deadline
from veritydb.client.given import (
    check_name,
    check_retention,
    check_tenant,
    check_type,
    events_of,
    sequence_of,
)
from veritydb.client.refusal import check
from veritydb.client.routing import Routing, parse_url
from veritydb.client.stream import AsyncStream, show
from veritydb.client.transport import Dial, dial_tcp
from veritydb.client.values import (
    Appended,
    Expected,
    Offsets,
    PublishOptions,
    StreamInfo,
    Write,
    expectation,
)
from veritydb.types.entry import EXPECT_EXISTS, EXPECT_NO_STREAM, OFFSET_MAX
from veritydb.types.errors import (
    AmbiguousStream,
    InvalidInput,
    NoSuchStream,
    Unavailable,
    UnreachablePlacement,
    VerityError,
    WrongExpectedOffset,
)
from veritydb.types.event import Event
from veritydb.types.labels import DataClass, Placement
from veritydb.types.limits import LIST_ENTRIES_MAX
from veritydb.types.retention import Retention
from veritydb.wire.batch import join_batches

EMBEDDED = "embedded:1"
"""What a client calls the one node that is inside its own process."""


class AsyncClient(AsyncAdmin):
    """A cluster, as an asyncio program sees it. Made by `veritydb.aio.connect`.

    Any number of tasks of one loop may use it at once. Every call has a deadline: its `timeout`, or
    the client's. Errors are those of `veritydb.errors`; each says whether the call was *not
    applied* or is *unknown*.
    """

    def __init__(self, core: Core, *, coalesce: bool) -> None:
        """Use `veritydb.aio.connect` instead."""
        super().__init__(core)
        self.coalesce = coalesce
        self.appender = Appender(core)
        self._streams: dict[int, AsyncStream] = {}
        self._found: dict[tuple[int, str, Placement | None], AsyncStream] = {}

    # -- streams

    async def create_stream(
        self,
        name: str,
        *,
        tenant: int,
        data_class: DataClass,
        placement: Placement,
        retention: Retention | None = None,
        timeout: float | None = None,
    ) -> AsyncStream:
        """Create a stream, or find the one that is already there and alike.

        `placement` is a Region, or GLOBAL for data that may lie anywhere: PHI may not. Class and
        placement can never be changed. Without `retention` the policy's default holds. Names, types
        and tags must hold no PHI. Raises StreamExists if the one that is there has another class.
        """
        deadline = self.core.deadline(timeout)
        check_name(name)
        check_tenant(tenant)
        group = self.core.routing.group_for_new(data_class, placement)
        request: dict[str, Any] = {
            "tenant": tenant,
            "name": name,
            "dataClass": TO_CLASS[data_class],
            "placement": to_placement(placement),
        }
        if retention is not None:
            check_retention(retention)
            request["retention"] = to_retention(retention)

        async def create(connection: Connection, deadline: Deadline) -> StreamInfo:
            asked = {**request, "timeoutMs": deadline.left_ms}
            return stream_info((await connection.ask("streams", "create", req=asked)).stream)

        return self._handle(await self.core.on_primary(group, create, deadline))

    async def stream(
        self,
        name: str,
        *,
        tenant: int,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> AsyncStream:
        """Find a stream by its name.

        Without `placement` every group is asked. AmbiguousStream if several have one of this name,
        UnreachablePlacement if a group that may have it cannot be asked: it is never guessed.
        """
        deadline = self.core.deadline(timeout)
        check_name(name)
        check_tenant(tenant)
        routing = self.core.routing
        groups = routing.groups if placement is None else (routing.group_at(placement),)

        async def look(group: int) -> StreamInfo | VerityError:
            named = {"name": name, "placement": to_placement(routing.placement(group))}
            try:
                return await show(self.core, group, {"tenant": tenant, "named": named}, deadline)
            except VerityError as error:
                return error

        answers = await asyncio.gather(*map(look, groups))
        found = [answer for answer in answers if isinstance(answer, StreamInfo)]
        failed = [one for one in answers if isinstance(one, VerityError)]
        if len(found) > 1:
            raise AmbiguousStream("several groups have a stream of this name; say the placement")
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, Unavailable):
                raise UnreachablePlacement(
                    f"{routing.placement(group)} may hold the stream and cannot be asked"
                )
            if isinstance(answer, VerityError) and not isinstance(answer, NoSuchStream):
                raise answer
        if not found:
            raise failed[0]
        return self._handle(found[0])

    async def list_streams(
        self,
        *,
        tenant: int,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> list[StreamInfo]:
        """Return a tenant's streams in one place, or in all. Raises if one cannot be asked."""
        deadline = self.core.deadline(timeout)
        check_tenant(tenant)
        routing = self.core.routing
        groups = routing.groups if placement is None else (routing.group_at(placement),)
        found: list[StreamInfo] = []
        for group in groups:
            found += await self._list(group, tenant, deadline)
        return found

    async def _list(self, group: int, tenant: int, deadline: Deadline) -> list[StreamInfo]:
        found: list[StreamInfo] = []

        async def ask(connection: Connection, deadline: Deadline) -> bool:
            response = await connection.call(
                "streams",
                "list",
                tenant=tenant,
                placement=to_placement(self.core.routing.placement(group)),
                afterId=found[-1].id if found else 0,
                limit=LIST_ENTRIES_MAX,
            )
            result = check(response.res)
            found.extend(map(stream_info, result.streams))
            return bool(result.more)

        while True:
            known = len(found)
            if (
                not await self.core.on_primary(group, ask, deadline, harmless=True)
                or len(found) == known
            ):
                return found

    def _handle(self, info: StreamInfo) -> AsyncStream:
        """Return the one handle of a stream, so that its appends can be joined."""
        handle = self._streams.get(info.id)
        if handle is None:
            handle = self._streams[info.id] = AsyncStream(
                self.core, self.appender, info, self.coalesce
            )
        return handle

    # -- appending by other means

    async def publish(
        self,
        *,
        tenant: int,
        stream: str,
        payloads: Sequence[bytes],
        opts: PublishOptions | None = None,
    ) -> Offsets:
        """Append payloads as events of one type to the stream of this name; return where they are.

        The stream is looked up once and remembered.
        """
        opts = PublishOptions() if opts is None else opts
        check_type(opts, PublishOptions, "opts are PublishOptions")
        check_name(stream)
        check_tenant(tenant)
        found = sequence_of(payloads, "payloads")
        key = (tenant, stream, opts.placement)
        handle = self._found.get(key)
        if handle is None:
            handle = await self.stream(
                stream, tenant=tenant, placement=opts.placement, timeout=opts.timeout
            )
            self._found[key] = handle
        return await handle.append(
            [Event(opts.type, payload) for payload in found],
            expected=opts.expected,
            origin=opts.origin,
            origin_seq=opts.origin_seq,
            durability=opts.durability,
            timeout=opts.timeout,
        )

    async def append_many(
        self,
        writes: Mapping[AsyncStream, Sequence[Event] | Write],
        *,
        timeout: float | None = None,
    ) -> dict[AsyncStream, Appended]:
        """Append to several streams of one tenant in one group: to all of them, or to none.

        A `Write` says where a stream must be; plain events go wherever it is. A Write without
        events only checks its stream, which then needs an exact offset or NO_STREAM.
        """
        deadline = self.core.deadline(timeout)
        check_type(writes, Mapping, "what is appended is a mapping from streams to events")
        for handle in writes:
            check_type(handle, AsyncStream, "what is appended to is a stream of this client")
        asked = {
            handle: one if isinstance(one, Write) else Write(one) for handle, one in writes.items()
        }
        if len({(handle.group, handle.tenant) for handle in asked}) != 1:
            raise InvalidInput("an append to several streams needs streams of one tenant and group")
        batches = {
            handle: self.appender.encode(events_of(one.events))
            for handle, one in asked.items()
            if one.events
        }
        fixed = {handle: exact(one.expected) for handle, one in asked.items()}
        if any(handle not in batches and fixed[handle] is None for handle in asked):
            raise InvalidInput("a stream without events needs an exact offset or NO_STREAM")
        first = next(iter(asked))
        while True:
            shares = []
            for handle, one in asked.items():
                where = fixed[handle]
                if where is None:
                    where = await self._end(handle, one.expected, deadline)
                shares.append((handle.id, where, batches.get(handle)))
            batch = join_batches(shares)
            try:
                answers = await self.appender.append_many(
                    first.tenant, first.group, batch, deadline
                )
            except WrongExpectedOffset:
                # If one that was not free to move stands elsewhere, it will never be right.
                for handle, where in fixed.items():
                    if where is not None:
                        await self._must_be_at(handle, where, deadline)
                if all(where is not None for where in fixed.values()):
                    raise
                continue
            return dict(zip(asked, answers, strict=True))

    async def _end(self, handle: AsyncStream, expected: Expected | int, deadline: Deadline) -> int:
        info = await show(self.core, handle.group, handle.ref, deadline)
        if info.next_offset == 0 and expectation(expected) == EXPECT_EXISTS:
            raise WrongExpectedOffset("the stream has no events", actual=0)
        return info.next_offset

    async def _must_be_at(self, handle: AsyncStream, where: int, deadline: Deadline) -> None:
        info = await show(self.core, handle.group, handle.ref, deadline)
        if info.next_offset != (0 if where == EXPECT_NO_STREAM else where):
            raise WrongExpectedOffset(
                "the stream's next offset is not the expected one", actual=info.next_offset
            )

    async def close(self) -> None:
        """End all connections. Appends that were not answered fail as *unknown*."""
        for handle in self._streams.values():
            await handle.close()
        await self.appender.close()
        await self.core.close()


def exact(expected: Expected | int) -> int | None:
    """Return how an entry spells an expectation that names one offset, else None."""
    where = expectation(expected)
    return where if where <= OFFSET_MAX or where == EXPECT_NO_STREAM else None


@asynccontextmanager
async def opened(
    addresses: Sequence[str],
    dial: Dial,
    *,
    pinned: bool,
    timeout: float,
    coalesce: bool,
) -> AsyncIterator[AsyncClient]:
    """Open a client in this loop and close it at the end."""
    async with kj.running():
        core = Core(Routing(addresses, pinned=pinned), dial, timeout)
        client = AsyncClient(core, coalesce=coalesce)
        try:
            await core.start()
            yield client
        finally:
            await client.close()


def connect(
    url: str, *, timeout: float = DEFAULT_TIMEOUT_S, coalesce: bool = True
) -> AbstractAsyncContextManager[AsyncClient]:
    """Connect to a cluster: `async with connect("veritydb://host:port,host:port") as db`.

    Any of its nodes will do; the others are learned. `timeout` (seconds) is the deadline of calls
    that name none. `coalesce` lets appends of different tasks to one stream travel together.
    Raises Unavailable if no node answers in time.
    """
    return opened(parse_url(url), dial_tcp, pinned=False, timeout=timeout, coalesce=coalesce)


def connect_over(
    dial: Dial, *, timeout: float = DEFAULT_TIMEOUT_S, coalesce: bool = True
) -> AbstractAsyncContextManager[AsyncClient]:
    """Be the client of the one node that `dial` reaches: how an embedded node is used."""
    return opened((EMBEDDED,), dial, pinned=True, timeout=timeout, coalesce=coalesce)
