"""Reads: what may be asked for, and how the answer is written."""

from typing import Any

import msgspec

from veritydb.server.convert import put_event
from veritydb.server.reading import Found, Page, Query
from veritydb.server.refusals import Refused
from veritydb.streams.state import Stream
from veritydb.types.entry import HEADER_BYTES
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import group_of
from veritydb.types.limits import READ_BYTES_DEFAULT, READ_BYTES_MAX, READ_EVENTS_MAX
from veritydb.wire.batch import BadBatch, decode_batch

MARKS_MAX = 64


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A read as it was asked for, within the bounds of the server."""

    offset: int | None
    time: int | None
    backwards: bool
    events_max: int
    bytes_max: int
    linearizable: bool
    marks: dict[int, int]
    plain: bool

    def query(self, stream: Stream) -> Query:
        """What to look for, given where the stream is now. Raises Refused below its floor."""
        floor, end = stream.floor, stream.next
        at = end if self.offset is None else self.offset
        if self.time is not None:
            at = end if self.backwards else floor
        # Backwards `at` is the offset below which to go on, so the floor itself is a fair question.
        if at < floor:
            raise Refused(EdgeCode.BELOW_FLOOR, actual=floor)
        return Query(
            stream=stream.info.id,
            at=min(at, end) if self.backwards else at,
            end=floor if self.backwards else end,
            backwards=self.backwards,
            events_max=self.events_max,
            bytes_max=self.bytes_max,
            time=self.time,
        )


def check_read(req: Any) -> Asked:
    """Read a `ReadReq`. Raises Refused."""
    start = getattr(req, "from")
    which = str(start.which())
    consistency = str(req.consistency.which())
    marks: dict[int, int] = {}
    if consistency == "atLeast":
        if len(req.consistency.atLeast) > MARKS_MAX:
            raise Refused(EdgeCode.INVALID_INPUT, f"a token has at most {MARKS_MAX} marks")
        for mark in req.consistency.atLeast:
            marks[mark.group] = max(mark.op, marks.get(mark.group, 0))
    return Asked(
        offset=start.offset if which == "offset" else None,
        time=start.time if which == "time" else None,
        backwards=req.backwards,
        events_max=min(req.limit or READ_EVENTS_MAX, READ_EVENTS_MAX),
        bytes_max=min(req.maxBytes or READ_BYTES_DEFAULT, READ_BYTES_MAX),
        linearizable=consistency == "linearizable",
        marks=marks,
        plain=req.plain,
    )


def put_page(to: Any, page: Page, asked: Asked, stream: Stream, applied: int) -> None:
    """Write what was found. Raises Refused if a plain read meets what cannot be decoded."""
    items = to.init("items", len(page.found))
    for item, found in zip(items, page.found, strict=True):
        item.base = found.base
        item.count = found.count
        item.op = found.op
        item.timestamp = found.timestamp
        item.index = found.index
        if found.erased:
            item.erased = None
        elif asked.plain:
            put_plain(item, found, page, asked, stream)
        else:
            item.entry = found.data
    to.next = page.next
    to.end = stream.next
    to.floor = stream.floor
    to.mark.group = group_of(stream.info.id)
    to.mark.op = applied
    to.done = page.next <= stream.floor if asked.backwards else page.next >= stream.next


def put_plain(item: Any, found: Found, page: Page, asked: Asked, stream: Stream) -> None:
    """Write the events of an entry one by one, cut to the range that was asked for."""
    try:
        events = decode_batch(found.header, found.data[HEADER_BYTES:], stream.info.id)
    except BadBatch:
        raise Refused(EdgeCode.CORRUPT, "an entry cannot be decoded") from None
    low = max(found.base, stream.floor)
    high = found.end
    if asked.offset is not None:
        low, high = (
            (low, min(high, asked.offset))
            if asked.backwards
            else (
                max(low, asked.offset),
                high,
            )
        )
    if asked.backwards:
        low = max(low, page.next)
    else:
        high = min(high, page.next)
    events = events[low - found.base : high - found.base]
    item.firstOffset = low
    for to, event in zip(item.init("events", len(events)), events, strict=True):
        put_event(to, event)
