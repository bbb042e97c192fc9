"""Reading page by page, with the next page on its way while one is being looked at."""

import asyncio
import time
from types import NoneType
from typing import Any

import msgspec

from veritydb.client.connection import Connection
from veritydb.client.convert import to_marks
from veritydb.client.core import Core
from veritydb.client.deadline import Deadline
from veritydb.client.given import check_number, check_type
from veritydb.client.pages import Page, Stored
from veritydb.client.values import LOCAL, Consistency, Token, Truncated
from veritydb.types.entry import OFFSET_MAX
from veritydb.types.errors import CorruptData, InvalidInput, TruncatedRange
from veritydb.types.ids import StreamId, group_of
from veritydb.types.limits import READ_BYTES_MAX, READ_EVENTS_MAX


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to read: see `AsyncStream.read`."""

    tenant: int
    stream: int
    from_offset: int | None = None
    from_time: int | None = None
    backwards: bool = False
    limit: int | None = None
    max_bytes: int = 0
    consistency: Consistency = LOCAL
    at_least: Token | None = None
    node: str | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no node could answer."""
        if self.from_offset is not None and self.from_time is not None:
            raise InvalidInput("a read begins at an offset or at a time, not at both")
        if self.from_offset is not None:
            check_number(self.from_offset, "the offset of a read", high=OFFSET_MAX)
        if self.from_time is not None:
            check_number(self.from_time, "the time of a read", high=OFFSET_MAX)
        if self.limit is not None:
            check_number(self.limit, "a read's limit", low=1)
        check_number(self.max_bytes, "the size of a page", high=READ_BYTES_MAX)
        check_type(self.backwards, bool, "backwards is True or False")
        check_type(self.consistency, Consistency, "a consistency is LOCAL or LINEARIZABLE")
        check_type(self.at_least, (Token, NoneType), "at_least is a token")
        check_type(self.node, (str, NoneType), "a node's name is text")
        if self.at_least is not None and self.consistency is not LOCAL:
            raise InvalidInput("a linearizable read needs no token")


class Pages:
    """The pages of one read, in order. Not to be used by two at once."""

    def __init__(self, core: Core, query: Query) -> None:
        """Ask for nothing yet."""
        self._core = core
        self._query = query
        self._group = group_of(StreamId(query.stream))
        self._left = query.limit
        self._ended = False
        self._coming: asyncio.Task[Page] | None = None
        # Where to go on: an offset, for backwards the one below which.
        self._at: int | None = query.from_offset
        if query.backwards and query.from_offset is not None:
            self._at = min(query.from_offset + 1, OFFSET_MAX)
        elif not query.backwards and query.from_time is None:
            self._at = query.from_offset or 0

    async def next_page(self) -> Page | None:
        """Return the next page, None when there is nothing more in this direction."""
        coming, self._coming = self._coming, None
        if coming is None:
            if self._ended:
                return None
            page = await self._fetch()
        else:
            await asyncio.wait([coming])
            page = coming.result()
        if not self._ended:
            self._coming = asyncio.create_task(self._fetch())
            self._core.background.add(self._coming)
            self._coming.add_done_callback(self._came)
        return page

    def _came(self, coming: "asyncio.Task[Page]") -> None:
        self._core.background.discard(coming)
        if not coming.cancelled():
            # Nobody may ask for it any more.
            coming.exception()

    def close(self) -> None:
        """Ask for nothing more."""
        self._ended = True
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None

    async def _fetch(self) -> Page:
        deadline = self._core.deadline(self._query.timeout)
        try:
            answer = await self._ask(deadline)
        except TruncatedRange as error:
            # Below the floor: say so, and go on with what is left.
            return self._given_up(error)
        return self._take(answer)

    async def _ask(self, deadline: Deadline) -> "Answer":
        query = self._query
        if query.node is not None:
            address = await self._core.address_of(query.node, deadline)
            return await self._core.on_any((address,), self._call, deadline)
        if query.consistency is Consistency.LINEARIZABLE:
            return await self._core.on_primary(self._group, self._call, deadline, harmless=True)
        replicas = self._core.routing.replicas(self._group, time.monotonic())
        primary = self._core.routing.primary(self._group)
        order = (primary, *replicas) if primary is not None else replicas
        return await self._core.on_any(tuple(dict.fromkeys(order)), self._call, deadline)

    async def _call(self, connection: Connection, deadline: Deadline) -> "Answer":
        query = self._query
        request: dict[str, Any] = {
            "stream": {"tenant": query.tenant, "id": query.stream},
            "backwards": query.backwards,
            "limit": min(self._left or READ_EVENTS_MAX, READ_EVENTS_MAX),
            "maxBytes": query.max_bytes,
            "timeoutMs": deadline.left_ms,
        }
        if self._at is not None:
            request["from"] = {"offset": self._at}
        elif query.from_time is not None:
            request["from"] = {"time": query.from_time}
        else:
            request["from"] = {"end": None}
        if query.consistency is Consistency.LINEARIZABLE:
            request["consistency"] = {"linearizable": None}
        elif query.at_least is not None:
            marks = to_marks(query.at_least, self._group)
            request["consistency"] = {"atLeast": marks}
        return read_answer((await connection.ask("streams", "read", req=request)).page)

    def _take(self, answer: "Answer") -> Page:
        query = self._query
        at = self._at
        if at is None:
            # A read from a time or from the end begins where its first entry does.
            at = answer.next
            if answer.entries:
                first = answer.entries[0]
                at = first.base + first.count if query.backwards else first.base
        low, high = (answer.next, at) if query.backwards else (at, answer.next)
        gap = None
        if query.backwards:
            low = max(low, answer.floor)
            if answer.done and answer.floor > 0 and (self._left is None or self._left > high - low):
                gap = Truncated(0, answer.floor)
        else:
            low = max(low, answer.floor)
        high = max(low, high)
        if not answer.done and low == high and gap is None:
            raise CorruptData("a node sent a page that leads nowhere")
        if self._left is not None:
            self._left -= high - low
        self._at = answer.next
        self._ended = answer.done or self._left == 0
        return Page(
            stream=query.stream,
            group=self._group,
            low=low,
            high=high,
            backwards=query.backwards,
            entries=answer.entries,
            truncated=gap,
        )

    def _given_up(self, error: TruncatedRange) -> Page:
        floor = error.actual
        at = self._at or 0
        if floor is None or (floor <= at and not self._query.backwards):
            raise error
        self._ended = self._query.backwards
        self._at = floor
        return Page(
            stream=self._query.stream,
            group=self._group,
            low=floor,
            high=floor,
            backwards=self._query.backwards,
            entries=(),
            truncated=Truncated(0 if self._query.backwards else at, floor),
        )


class Answer(msgspec.Struct, frozen=True):
    """`page` of a ReadRes as plain values."""

    entries: tuple[Stored, ...]
    next: int
    end: int
    floor: int
    done: bool


def read_answer(page: Any) -> Answer:
    """Copy a page out of a message."""
    entries = []
    for item in page.items:
        which = str(item.which())
        if which == "events":
            raise CorruptData("plain events came where stored entries were asked for")
        data = item.entry if which == "entry" else None
        entries.append(Stored(item.base, item.count, item.op, item.index, item.timestamp, data))
    return Answer(tuple(entries), page.next, page.end, page.floor, page.done)
