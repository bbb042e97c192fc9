"""The client for Trio programs: `veritydb.trio`."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import trio

from veritydb.client.audit import AuditOp, AuditPage, AuditProof
from veritydb.client.client import AsyncClient, connect_over
from veritydb.client.client import connect as connect_async
from veritydb.client.core import STATUS_TIMEOUT_S
from veritydb.client.deadline import DEFAULT_TIMEOUT_S
from veritydb.client.given import check_type
from veritydb.client.pages import Page
from veritydb.client.reader import Pages
from veritydb.client.stream import AsyncStream
from veritydb.client.thread import LoopThread
from veritydb.client.transport import Dial
from veritydb.client.values import (
    ANY,
    LOCAL,
    Appended,
    Consistency,
    Durability,
    Expected,
    GroupInfo,
    Item,
    NodeStatus,
    Offsets,
    Policy,
    PublishOptions,
    ReadBatch,
    StreamInfo,
    Token,
    Write,
)
from veritydb.policy.state import Rules
from veritydb.types.errors import Applied, Closed
from veritydb.types.event import Event
from veritydb.types.ids import GLOBAL_GROUP
from veritydb.types.labels import DataClass, Placement
from veritydb.types.retention import Retention

T = TypeVar("T")


class TrioStream:
    """A stream of one tenant. The methods are those of `AsyncStream`."""

    def __init__(self, client: "TrioClient", inner: AsyncStream) -> None:
        """Made by the client."""
        self._client = client
        self._inner = inner
        self.id = inner.id
        self.tenant = inner.tenant
        self.name = inner.name
        self.data_class = inner.data_class
        self.placement = inner.placement
        self.group = inner.group

    def __repr__(self) -> str:
        """Names no name: it may end up in a log."""
        return f"<{type(self).__name__} {self.id:#x} of tenant {self.tenant}>"

    def __eq__(self, other: object) -> bool:
        """Two handles of one stream of one client are the same."""
        return isinstance(other, TrioStream) and other._inner is self._inner

    def __hash__(self) -> int:
        """As equality says."""
        return hash(self._inner)

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
        """As `AsyncStream.append`."""
        return await self._client.run(
            lambda: self._inner.append(
                events,
                expected=expected,
                origin=origin,
                origin_seq=origin_seq,
                durability=durability,
                timeout=timeout,
            )
        )

    # -- reading

    def read(
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
    ) -> "Feed[Item]":
        """As `AsyncStream.read`."""
        pages = self._inner.pages(
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
        return self._client.feed(pages, Page.items)

    def read_batches(
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
    ) -> "Feed[ReadBatch]":
        """As `AsyncStream.read_batches`."""
        pages = self._inner.pages(
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
        return self._client.feed(pages, Page.batches)

    # -- the stream itself

    async def info(self, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.info`."""
        return await self._client.run(lambda: self._inner.info(timeout=timeout))

    async def seal(self, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.seal`."""
        return await self._client.run(lambda: self._inner.seal(timeout=timeout))

    async def truncate(self, before: int, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.truncate`."""
        return await self._client.run(lambda: self._inner.truncate(before, timeout=timeout))

    async def set_retention(
        self, retention: Retention, *, timeout: float | None = None
    ) -> StreamInfo:
        """As `AsyncStream.set_retention`."""
        return await self._client.run(lambda: self._inner.set_retention(retention, timeout=timeout))


class TrioClient:
    """A cluster, as a Trio program sees it. Made by `veritydb.trio.connect`.

    The methods are those of `AsyncClient`. Cancelling one gives up waiting; an append that is on
    its way may still be applied.
    """

    def __init__(self, thread: LoopThread, inner: AsyncClient) -> None:
        """Use `veritydb.trio.connect` instead."""
        self._thread = thread
        self._inner = inner

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine of the asynchronous client in its thread, and wait for it."""
        return await finished(self._thread.submit(work))

    def feed(self, pages: Pages, look: Callable[[Page], Iterator[T]]) -> "Feed[T]":
        """Yield what `look` sees in each page."""

        async def more() -> Iterator[T] | None:
            page = await self.run(pages.next_page)
            return None if page is None else look(page)

        return Feed(more, lambda: self._thread.later(pages.close))

    def _ops(self, pages: AsyncGenerator[AuditPage, None]) -> "Feed[AuditOp]":
        async def more() -> Iterator[AuditOp] | None:
            page = await self.run(lambda: anext(pages, None))
            return None if page is None else iter(page.ops)

        return Feed(more, lambda: self._thread.forget(pages.aclose))

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
    ) -> TrioStream:
        """As `AsyncClient.create_stream`."""
        return TrioStream(
            self,
            await self.run(
                lambda: self._inner.create_stream(
                    name,
                    tenant=tenant,
                    data_class=data_class,
                    placement=placement,
                    retention=retention,
                    timeout=timeout,
                )
            ),
        )

    async def stream(
        self,
        name: str,
        *,
        tenant: int,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> TrioStream:
        """As `AsyncClient.stream`."""
        return TrioStream(
            self,
            await self.run(
                lambda: self._inner.stream(
                    name, tenant=tenant, placement=placement, timeout=timeout
                )
            ),
        )

    async def list_streams(
        self,
        *,
        tenant: int,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> list[StreamInfo]:
        """As `AsyncClient.list_streams`."""
        return await self.run(
            lambda: self._inner.list_streams(tenant=tenant, placement=placement, timeout=timeout)
        )

    async def publish(
        self,
        *,
        tenant: int,
        stream: str,
        payloads: Sequence[bytes],
        opts: PublishOptions | None = None,
    ) -> Offsets:
        """As `AsyncClient.publish`."""
        return await self.run(
            lambda: self._inner.publish(tenant=tenant, stream=stream, payloads=payloads, opts=opts)
        )

    async def append_many(
        self,
        writes: Mapping[TrioStream, Sequence[Event] | Write],
        *,
        timeout: float | None = None,
    ) -> dict[TrioStream, Appended]:
        """As `AsyncClient.append_many`."""
        check_type(writes, Mapping, "what is appended is a mapping from streams to events")
        for handle in writes:
            check_type(handle, TrioStream, "what is appended to is a stream of this client")
        asked = {handle._inner: one for handle, one in writes.items()}
        answers = await self.run(lambda: self._inner.append_many(asked, timeout=timeout))
        return {handle: answers[handle._inner] for handle in writes}

    # -- policy

    async def policy(self, *, group: int = GLOBAL_GROUP, timeout: float | None = None) -> Policy:
        """As `AsyncClient.policy`."""
        return await self.run(lambda: self._inner.policy(group=group, timeout=timeout))

    async def set_policy(
        self,
        rules: Rules,
        *,
        expected_version: int,
        group: int = GLOBAL_GROUP,
        timeout: float | None = None,
    ) -> Policy:
        """As `AsyncClient.set_policy`."""
        return await self.run(
            lambda: self._inner.set_policy(
                rules, expected_version=expected_version, group=group, timeout=timeout
            )
        )

    # -- audit

    def audit(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        from_op: int = 1,
        timeout: float | None = None,
    ) -> "Feed[AuditOp]":
        """As `AsyncClient.audit`."""
        return self._ops(
            self._inner.audit_pages(tenant, placement=placement, from_op=from_op, timeout=timeout)
        )

    def audit_export(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        from_op: int = 1,
        timeout: float | None = None,
    ) -> "Feed[AuditOp]":
        """As `AsyncClient.audit_export`."""
        return self._ops(
            self._inner.audit_pages(
                tenant, placement=placement, from_op=from_op, every=True, timeout=timeout
            )
        )

    async def audit_verify(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> list[AuditProof]:
        """As `AsyncClient.audit_verify`."""
        return await self.run(
            lambda: self._inner.audit_verify(tenant, placement=placement, timeout=timeout)
        )

    # -- the cluster

    async def directory(self, *, timeout: float | None = None) -> list[GroupInfo]:
        """As `AsyncClient.directory`."""
        return await self.run(lambda: self._inner.directory(timeout=timeout))

    async def status(self, *, timeout: float = STATUS_TIMEOUT_S) -> list[NodeStatus]:
        """As `AsyncClient.status`."""
        return await self.run(lambda: self._inner.status(timeout=timeout))

    async def step_down(self, group: int, *, timeout: float | None = None) -> None:
        """As `AsyncClient.step_down`."""
        await self.run(lambda: self._inner.step_down(group, timeout=timeout))

    async def replace(self, group: int, index: int, *, timeout: float | None = None) -> int:
        """As `AsyncClient.replace`."""
        return await self.run(lambda: self._inner.replace(group, index, timeout=timeout))


class Feed(Generic[T]):
    """What a read yields: `async for`. It may be left at any point; `aclose` ends it at once.

    No generator, because Trio cannot clean up one that is left in the middle.
    """

    def __init__(
        self, more: Callable[[], Awaitable[Iterator[T] | None]], close: Callable[[], None]
    ) -> None:
        """Made by the client."""
        self._more = more
        self._close = close
        self._items: Iterator[T] | None = iter(())

    def __aiter__(self) -> "Feed[T]":
        """Itself: it can be gone through once."""
        return self

    async def __anext__(self) -> T:
        """The next one."""
        while self._items is not None:
            for item in self._items:
                return item
            self._items = await self._more()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Read nothing more."""
        self._items = None
        self._close()
        await trio.lowlevel.checkpoint()

    def __del__(self) -> None:
        """What was fetched ahead is not wanted any more."""
        self._close()


async def finished(answer: "Future[T]") -> T:
    """Wait for what another thread does. Cancelled, it cancels that and waits for its end."""
    over = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def tell(_: "Future[T]") -> None:
        try:
            token.run_sync_soon(over.set)
        except trio.RunFinishedError:
            # Nobody waits any more.
            return

    answer.add_done_callback(tell)
    try:
        await over.wait()
    except trio.Cancelled:
        answer.cancel()
        raise
    try:
        return answer.result()
    except CancelledError:
        raise Closed("the client was closed", applied=Applied.UNKNOWN) from None


@asynccontextmanager
async def connect(
    url: str = "",
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    coalesce: bool = True,
    dial: Dial | None = None,
) -> AsyncIterator[TrioClient]:
    """Connect to a cluster: `async with connect("veritydb://host:port,host:port") as db`.

    The work is done in one background thread. `dial` is for embedded nodes. Raises Unavailable if
    no node answers in time.
    """
    if dial is None:
        connecting = connect_async(url, timeout=timeout, coalesce=coalesce)
    else:
        connecting = connect_over(dial, timeout=timeout, coalesce=coalesce)
    thread = LoopThread(lambda: connecting)
    try:
        yield TrioClient(thread, await finished(thread.opened))
    finally:
        thread.stop()
        with trio.CancelScope(shield=True):
            await finished(thread.ended)
        thread.join()
