"""The client for programs that simply wait: `veritydb.Client`."""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, TypeVar

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


class Stream:
    """A stream of one tenant. The methods are those of `AsyncStream`."""

    def __init__(self, client: "Client", inner: AsyncStream) -> None:
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
        return isinstance(other, Stream) and other._inner is self._inner

    def __hash__(self) -> int:
        """As equality says."""
        return hash(self._inner)

    # -- appending

    def append(
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
        return self._client.run(
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
    ) -> Iterator[Item]:
        """As `AsyncStream.read`."""
        for page in self._pages(
            from_offset=from_offset,
            from_time=from_time,
            backwards=backwards,
            limit=limit,
            max_bytes=max_bytes,
            consistency=consistency,
            at_least=at_least,
            node=node,
            timeout=timeout,
        ):
            yield from page.items()

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
    ) -> Iterator[ReadBatch]:
        """As `AsyncStream.read_batches`."""
        for page in self._pages(
            from_offset=from_offset,
            from_time=from_time,
            backwards=backwards,
            limit=limit,
            max_bytes=max_bytes,
            consistency=consistency,
            at_least=at_least,
            node=node,
            timeout=timeout,
        ):
            yield from page.batches()

    def _pages(self, **query: Any) -> Iterator[Page]:
        pages = self._inner.pages(**query)
        try:
            while (page := self._client.run(pages.next_page)) is not None:
                yield page
        finally:
            self._client.closing(pages)

    # -- the stream itself

    def info(self, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.info`."""
        return self._client.run(lambda: self._inner.info(timeout=timeout))

    def seal(self, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.seal`."""
        return self._client.run(lambda: self._inner.seal(timeout=timeout))

    def truncate(self, before: int, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.truncate`."""
        return self._client.run(lambda: self._inner.truncate(before, timeout=timeout))

    def set_retention(self, retention: Retention, *, timeout: float | None = None) -> StreamInfo:
        """As `AsyncStream.set_retention`."""
        return self._client.run(lambda: self._inner.set_retention(retention, timeout=timeout))


class Client:
    """A cluster. The methods are those of `AsyncClient`; any number of threads may use it at once.

    `Client("veritydb://host:port,host:port")` connects, `close` or the end of a `with` block ends
    it. The work is done in one background thread. A client does not survive a fork.
    """

    def __init__(
        self,
        url: str = "",
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        coalesce: bool = True,
        dial: Dial | None = None,
    ) -> None:
        """Connect. Raises Unavailable if no node answers in time. `dial` is for embedded nodes."""
        if dial is None:
            connecting = connect_async(url, timeout=timeout, coalesce=coalesce)
        else:
            connecting = connect_over(dial, timeout=timeout, coalesce=coalesce)
        self._thread = LoopThread(lambda: connecting)
        try:
            self._inner: AsyncClient = self._thread.opened.result()
        except BaseException:
            self._thread.opened.cancel()
            self.close()
            raise

    def __enter__(self) -> "Client":
        """Nothing more to do: it is connected."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End all connections and the thread. Appends not yet answered fail as *unknown*."""
        self._thread.stop()
        self._thread.join()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine of the asynchronous client in its thread, and wait for it."""
        answer = self._thread.submit(work)
        try:
            return answer.result()
        except CancelledError:
            raise Closed("the client was closed", applied=Applied.UNKNOWN) from None
        except BaseException:
            # Interrupted, perhaps by Ctrl-C: nobody waits for it any more.
            answer.cancel()
            raise

    def closing(self, pages: Pages) -> None:
        """End a read, wherever it is."""
        self._thread.later(pages.close)

    def _ops(self, pages: AsyncGenerator[AuditPage, None]) -> Iterator[AuditOp]:
        try:
            while (page := self.run(lambda: anext(pages, None))) is not None:
                yield from page.ops
        finally:
            self._thread.forget(pages.aclose)

    # -- streams

    def create_stream(
        self,
        name: str,
        *,
        tenant: int,
        data_class: DataClass,
        placement: Placement,
        retention: Retention | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """As `AsyncClient.create_stream`."""
        return Stream(
            self,
            self.run(
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

    def stream(
        self,
        name: str,
        *,
        tenant: int,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """As `AsyncClient.stream`."""
        return Stream(
            self,
            self.run(
                lambda: self._inner.stream(
                    name, tenant=tenant, placement=placement, timeout=timeout
                )
            ),
        )

    def list_streams(
        self,
        *,
        tenant: int,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> list[StreamInfo]:
        """As `AsyncClient.list_streams`."""
        return self.run(
            lambda: self._inner.list_streams(tenant=tenant, placement=placement, timeout=timeout)
        )

    def publish(
        self,
        *,
        tenant: int,
        stream: str,
        payloads: Sequence[bytes],
        opts: PublishOptions | None = None,
    ) -> Offsets:
        """As `AsyncClient.publish`."""
        return self.run(
            lambda: self._inner.publish(tenant=tenant, stream=stream, payloads=payloads, opts=opts)
        )

    def append_many(
        self,
        writes: Mapping[Stream, Sequence[Event] | Write],
        *,
        timeout: float | None = None,
    ) -> dict[Stream, Appended]:
        """As `AsyncClient.append_many`."""
        check_type(writes, Mapping, "what is appended is a mapping from streams to events")
        for handle in writes:
            check_type(handle, Stream, "what is appended to is a stream of this client")
        asked = {handle._inner: one for handle, one in writes.items()}
        answers = self.run(lambda: self._inner.append_many(asked, timeout=timeout))
        return {handle: answers[handle._inner] for handle in writes}

    # -- policy

    def policy(self, *, group: int = GLOBAL_GROUP, timeout: float | None = None) -> Policy:
        """As `AsyncClient.policy`."""
        return self.run(lambda: self._inner.policy(group=group, timeout=timeout))

    def set_policy(
        self,
        rules: Rules,
        *,
        expected_version: int,
        group: int = GLOBAL_GROUP,
        timeout: float | None = None,
    ) -> Policy:
        """As `AsyncClient.set_policy`."""
        return self.run(
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
    ) -> Iterator[AuditOp]:
        """As `AsyncClient.audit`."""
        yield from self._ops(
            self._inner.audit_pages(tenant, placement=placement, from_op=from_op, timeout=timeout)
        )

    def audit_export(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        from_op: int = 1,
        timeout: float | None = None,
    ) -> Iterator[AuditOp]:
        """As `AsyncClient.audit_export`."""
        yield from self._ops(
            self._inner.audit_pages(
                tenant, placement=placement, from_op=from_op, every=True, timeout=timeout
            )
        )

    def audit_verify(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> list[AuditProof]:
        """As `AsyncClient.audit_verify`."""
        return self.run(
            lambda: self._inner.audit_verify(tenant, placement=placement, timeout=timeout)
        )

    # -- the cluster

    def directory(self, *, timeout: float | None = None) -> list[GroupInfo]:
        """As `AsyncClient.directory`."""
        return self.run(lambda: self._inner.directory(timeout=timeout))

    def status(self, *, timeout: float = STATUS_TIMEOUT_S) -> list[NodeStatus]:
        """As `AsyncClient.status`."""
        return self.run(lambda: self._inner.status(timeout=timeout))

    def step_down(self, group: int, *, timeout: float | None = None) -> None:
        """As `AsyncClient.step_down`."""
        self.run(lambda: self._inner.step_down(group, timeout=timeout))

    def replace(self, group: int, index: int, *, timeout: float | None = None) -> int:
        """As `AsyncClient.replace`."""
        return self.run(lambda: self._inner.replace(group, index, timeout=timeout))


def connect(url: str, *, timeout: float = DEFAULT_TIMEOUT_S, coalesce: bool = True) -> Client:
    """Connect to a cluster: `with connect("veritydb://host:port,host:port") as db`."""
    return Client(url, timeout=timeout, coalesce=coalesce)
