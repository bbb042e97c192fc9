"""The `Streams` capability: create, publish, read, seal, truncate, retention."""

import asyncio
import os
from typing import Any

from veritydb.server import convert
from veritydb.server.connection import Connection
from veritydb.server.edge import Edge, timeout
from veritydb.server.hosted import Hosted
from veritydb.server.pages import check_read, put_page
from veritydb.server.refusals import Refused, guarded, of_outcome
from veritydb.streams.commands import (
    AppendMany,
    CreateStream,
    Seal,
    SetRetention,
    StreamCommand,
    TruncateBefore,
)
from veritydb.streams.state import Stream, page
from veritydb.types import multi
from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_EXISTS,
    EXPECT_NO_STREAM,
    OFFSET_MAX,
    BadEntry,
    Entry,
    EntryHeader,
    Kind,
    make,
    parse,
)
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import NO_ID, ClientId, TenantId, group_of
from veritydb.types.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, LIST_ENTRIES_MAX
from veritydb.types.outcome import Code, Outcome
from veritydb.wire.batch import BadBatch, check_batch, encode_batch
from veritydb.wire.schemas import load

SCHEMA = load("streams")
StreamsServer: Any = SCHEMA.Streams.Server
LIST_SCAN = 20_000


def check_sent(header: EntryHeader) -> None:
    """See to it that a batch's id keeps its promise also when it is forgotten. Raises Refused."""
    named = header.batch != NO_ID and header.origin == NO_ID
    if named and header.expected in (EXPECT_ANY, EXPECT_EXISTS) and not header.sent_at:
        raise Refused(
            EdgeCode.INVALID_INPUT,
            "a batch id without an exact offset needs the time of its first sending (sentAt)",
        )


class StreamsHandler(StreamsServer):  # type: ignore[misc]
    """One connection's `Streams`."""

    def __init__(self, edge: Edge, connection: Connection) -> None:
        """`connection` is whose calls these are."""
        self.log = edge.log
        self._edge = edge
        self._connection = connection

    # -- appending

    @guarded()
    async def append_context(self, context: Any) -> None:
        """One entry as the client encoded it."""
        params = context.params
        data = params.entry
        with self._connection.call(len(data)):
            entry = self._entry(data, Kind.APPEND)
            one = self._edge.group(group_of(entry.header.stream))
            outcome = await self._edge.submit(one, entry, None, timeout(params.timeoutMs))
            put_appended(context.results.init("res").init("appended"), outcome, one)

    @guarded()
    async def appendMany_context(self, context: Any) -> None:
        """One entry for several streams of one group."""
        params = context.params
        data = params.entry
        with self._connection.call(len(data)):
            entry = self._entry(data, Kind.APPEND_MANY)
            shares = multi.parse(memoryview(entry.data)[-entry.header.body_len :])
            one = self._edge.group(group_of(shares[0].stream))
            outcome = await self._edge.submit(
                one, entry, AppendMany(shares), timeout(params.timeoutMs)
            )
            put_shares(context.results.init("res"), outcome, shares, one)

    def _entry(self, data: bytes, kind: Kind) -> Entry:
        """Check an entry that came from outside. Raises Refused."""
        try:
            entry = parse(data)
            header = entry.header
            if header.kind is not kind:
                raise BadEntry(f"an entry of kind {header.kind.name}")
            check_batch(header, data[-header.body_len :])
        except (BadEntry, BadBatch) as error:
            raise Refused(EdgeCode.INVALID_INPUT, str(error)) from None
        if header.actor or (header.session and header.client != self._connection.client):
            raise Refused(EdgeCode.INVALID_INPUT, "the entry speaks for somebody else")
        check_sent(header)
        return entry

    @guarded()
    async def publish_context(self, context: Any) -> None:
        """Plain events, for clients without a batch codec."""
        req = context.params.req
        if str(req.durability) == "geoDurable":
            raise Refused(Code.NOT_SUPPORTED, "there is no replication across regions yet")
        wait = timeout(req.timeoutMs)
        one, stream = await self._edge.find_fresh(req.stream, wait)
        entry = self._batch(req, stream)
        with self._connection.call(len(entry.data)):
            outcome = await self._edge.submit(one, entry, None, wait)
        put_appended(context.results.init("res").init("appended"), outcome, one)

    def _batch(self, req: Any, stream: Stream) -> Entry:
        size = req.total_size.word_count * 8
        if len(req.events) > BATCH_EVENTS_MAX or size > 2 * BATCH_BYTES_MAX:
            raise Refused(
                EdgeCode.TOO_LARGE,
                f"a batch has at most {BATCH_EVENTS_MAX} events and {BATCH_BYTES_MAX} bytes",
                limit=BATCH_EVENTS_MAX,
            )
        events = [convert.event(one) for one in req.events]
        batch = encode_batch(events, os.urandom(16 * len(events)))
        header = EntryHeader(
            kind=Kind.APPEND,
            parts=batch.parts,
            client=ClientId(self._connection.client or bytes(16)),
            tenant=TenantId(stream.info.tenant),
            stream=stream.info.id,
            expected=expected(req.expected),
            batch=convert.optional_id(req.batchId, "a batch id"),
            origin=convert.optional_id(req.origin, "an origin"),
            origin_seq=req.originSeq,
            sent_at=req.sentAt,
            events=batch.events,
            body_len=len(batch.body),
            crc=batch.crc,
        )
        check_sent(header)
        return make(header, batch.body)

    # -- reading

    @guarded()
    async def read_context(self, context: Any) -> None:
        """A page of a stream's entries."""
        req = context.params.req
        wait = timeout(req.timeoutMs)
        asked = check_read(req)
        with self._connection.call():
            one, stream = self._edge.find(req.stream)
            await self._edge.fresh(
                one, asked.linearizable, asked.marks.get(one.part.number, 0), wait
            )
            stream = one.group.node.kernel.streams.records[stream.info.id]
            applied = one.group.node.applied
            query = asked.query(stream)
            async with self._connection.gate.room(asked.bytes_max) as room:
                found = await self._edge.read(one, lambda reader: reader.read(query))
                put_page(context.results.init("res").init("page"), found, asked, stream, applied)
                room.used = sum(len(entry.data) for entry in found.found)

    @guarded()
    async def show_context(self, context: Any) -> None:
        """What is known of a stream."""
        params = context.params
        wait = timeout(0)
        linearizable, ref = params.linearizable, params.stream
        if linearizable:
            one, stream = await self._edge.find_fresh(ref, wait)
            await self._edge.fresh(one, True, 0, wait)
        one, stream = self._edge.find(ref)
        convert.put_stream(context.results.init("res").init("stream"), stream)

    @guarded()
    async def list_context(self, context: Any) -> None:
        """The streams of a tenant on this node, in the order of their ids."""
        params = context.params
        tenant, after = TenantId(params.tenant), params.afterId
        where = convert.placement(params.placement)
        limit = min(params.limit or LIST_ENTRIES_MAX, LIST_ENTRIES_MAX)
        ones = sorted(self._edge.hosted.items())
        if where is not None:
            one = self._edge.group_of_placement(where)
            ones = [(one.part.number, one)]
        found: list[Stream] = []
        more = False
        for number, one in ones:
            counter = 0
            if after:
                if group_of(after) > number:
                    continue
                if group_of(after) == number:
                    counter = after & ((1 << 48) - 1)
            streams = one.group.node.kernel.streams
            on: int | None = counter
            while on is not None and len(found) < limit:
                rows, on = page(streams, tenant, on, limit - len(found), LIST_SCAN)
                found += rows
                # A tenant with few streams among millions must not hold up everybody else.
                await asyncio.sleep(0)
            more = more or on is not None
        result = context.results.init("res")
        for to, stream in zip(result.init("streams", len(found)), found, strict=True):
            convert.put_stream(to, stream)
        result.more = more

    # -- commands

    @guarded()
    async def create_context(self, context: Any) -> None:
        """Make a stream; one that is there already and alike is answered as existing."""
        req = context.params.req
        tenant = req.tenant
        where = convert.placement(req.placement)
        if where is None:
            raise Refused(EdgeCode.INVALID_INPUT, "a placement is needed: global or a region")
        command = CreateStream(
            name=convert.stream_name(req.name),
            data_class=convert.data_class(req.dataClass),
            placement=where,
            retention=convert.retention(req.retention) if req._has("retention") else None,
        )
        one = self._edge.group_of_placement(where)
        outcome = await self._edge.command(
            one,
            command,
            tenant=tenant,
            timeout_ms=timeout(req.timeoutMs),
            connection=self._connection,
        )
        existed = outcome.code is Code.STREAM_ALREADY_EXISTS
        if not (existed or outcome.accepted):
            raise of_outcome(outcome)
        stream = one.group.node.kernel.streams.records[outcome.stream]
        context.results.res.existed = existed
        convert.put_stream(context.results.res.init("stream"), stream)

    @guarded()
    async def seal_context(self, context: Any) -> None:
        """Accept no more events."""
        await self._change(context, Seal())

    @guarded()
    async def truncate_context(self, context: Any) -> None:
        """Give up the events before an offset."""
        before = context.params.before
        if before > OFFSET_MAX:
            raise Refused(EdgeCode.INVALID_INPUT, "an offset is out of range", limit=OFFSET_MAX)
        await self._change(context, TruncateBefore(before))

    @guarded()
    async def setRetention_context(self, context: Any) -> None:
        """Change how long events are kept."""
        await self._change(context, SetRetention(convert.retention(context.params.retention)))

    async def _change(self, context: Any, command: StreamCommand) -> None:
        params = context.params
        wait = timeout(params.timeoutMs)
        one, stream = await self._edge.find_fresh(params.stream, wait)
        info = stream.info
        outcome = await self._edge.command(
            one,
            command,
            tenant=info.tenant,
            stream=info.id,
            timeout_ms=wait,
            connection=self._connection,
        )
        if not outcome.accepted:
            raise of_outcome(outcome)
        result = context.results.init("res").init("ok")
        result.op = outcome.op
        result.group = one.part.number
        result.policy = outcome.policy
        after = one.group.node.kernel.streams.records[info.id]
        convert.put_stream(result.init("stream"), after)


def expected(value: Any) -> int:
    """Read where a stream is expected to be. Raises Refused."""
    which = str(value.which())
    if which == "offset":
        offset: int = value.offset
        if offset > OFFSET_MAX:
            raise Refused(EdgeCode.INVALID_INPUT, "an expected offset is out of range")
        return offset
    return {"any": EXPECT_ANY, "noStream": EXPECT_NO_STREAM, "exists": EXPECT_EXISTS}[which]


def put_appended(to: Any, outcome: Outcome, one: Hosted) -> None:
    """Write where a batch is."""
    to.base = outcome.base
    to.count = outcome.count
    to.duplicate = outcome.code is Code.DUPLICATE
    to.op = outcome.op
    to.group = one.part.number
    to.stream = outcome.stream


def put_shares(result: Any, outcome: Outcome, shares: tuple[multi.Share, ...], one: Hosted) -> None:
    """Write where each stream's share of an entry is."""
    for to, share in zip(result.init("appended", len(shares)), shares, strict=True):
        appended = to.init("appended")
        appended.base = share.base
        appended.count = share.events
        appended.duplicate = outcome.code is Code.DUPLICATE
        appended.op = outcome.op
        appended.group = one.part.number
        appended.stream = share.stream
