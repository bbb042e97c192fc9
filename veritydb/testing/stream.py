"""A stream of a cluster in memory: the part of the SDK's `Stream` that needs no network."""

from collections.abc import Iterator, Sequence

from veritydb.client.given import check_number, check_retention, events_of
from veritydb.client.pages import Page, Stored
from veritydb.client.values import (
    ANY,
    Appended,
    Expected,
    Item,
    StreamInfo,
    Token,
    Truncated,
    expectation,
    origin_of,
)
from veritydb.streams.commands import Seal, SetRetention, StreamCommand, TruncateBefore
from veritydb.streams.state import Stream as State
from veritydb.streams.state import StreamInfo as Made
from veritydb.testing.replica import Place, Replica
from veritydb.testing.requests import Requests
from veritydb.types import entry as entries
from veritydb.types.entry import OFFSET_MAX, EntryHeader, Kind, make
from veritydb.types.errors import CorruptData
from veritydb.types.event import Event
from veritydb.types.ids import Op, group_of
from veritydb.types.limits import OP_BYTES_MAX
from veritydb.types.outcome import BASE_UNKNOWN, Code
from veritydb.types.retention import Retention
from veritydb.wire.batch import encode_batch


class Stream:
    """A stream of one tenant. Methods and results are those of `veritydb.Stream`."""

    def __init__(self, cluster: Requests, made: Made) -> None:
        """Made by the cluster."""
        self._cluster = cluster
        self.id = made.id
        self.tenant = made.tenant
        self.name = made.name
        self.data_class = made.data_class
        self.placement = made.placement
        self.group = group_of(made.id)

    def __repr__(self) -> str:
        """Names no name: it may end up in a log."""
        return f"<{type(self).__name__} {self.id:#x} of tenant {self.tenant}>"

    def append(
        self,
        events: Sequence[Event],
        *,
        expected: Expected | int = ANY,
        origin: bytes | None = None,
        origin_seq: int | None = None,
    ) -> Appended:
        """As `veritydb.Stream.append`: durable on a quorum of the disks in memory."""
        found = events_of(events)
        who, first = origin_of(origin, origin_seq)
        ids = b"".join(self._cluster.take_id() for _ in found)
        batch = encode_batch(found, ids)
        header = EntryHeader(
            kind=Kind.APPEND,
            parts=batch.parts,
            tenant=self.tenant,
            stream=self.id,
            expected=expectation(expected),
            batch=self._cluster.take_id(),
            origin=who,
            origin_seq=first,
            sent_at=self._cluster.wall,
            events=batch.events,
            body_len=len(batch.body),
            crc=batch.crc,
        )
        outcome = self._cluster.submit(self.group, make(header, batch.body))
        base = None if outcome.base == BASE_UNKNOWN else outcome.base
        token = Token(((self.group, outcome.op),))
        duplicate = outcome.code is Code.DUPLICATE
        return Appended(self.id, base, outcome.count, duplicate, token)

    def read(
        self,
        from_offset: int | None = None,
        *,
        backwards: bool = False,
        limit: int | None = None,
        node: int | None = None,
    ) -> Iterator[Item]:
        """As `veritydb.Stream.read`; `node` is the number of the one that shall answer.

        Without one the primary answers, no older than this call. Yields what was there by then.
        """
        if from_offset is not None:
            check_number(from_offset, "the offset of a read", high=OFFSET_MAX)
        if limit is not None:
            check_number(limit, "a read's limit", low=1)
        if node is None:
            replica = self._cluster.fresh(self.group)
        else:
            replica = self._cluster.replica(self.group, node)
        state = replica.node.kernel.streams.records.get(self.id)
        if state is None:
            return iter(())
        return self._page(replica, state, from_offset, backwards, limit).items()

    def _page(
        self, replica: Replica, state: State, at: int | None, backwards: bool, limit: int | None
    ) -> Page:
        low, high, gone = state.floor, state.next, None
        if backwards:
            high = high if at is None else min(at + 1, high)
            low = low if limit is None else max(low, high - limit)
        else:
            if (at or 0) < low:
                gone = Truncated(at or 0, low)
            low = max(at or 0, low)
            high = high if limit is None else min(low + limit, high)
        places = [
            place
            for place in replica.places.get(self.id, ())
            if place.base < high and place.end > low
        ]
        return Page(
            stream=self.id,
            group=self.group,
            low=low,
            high=high,
            backwards=backwards,
            entries=tuple(
                self._stored(replica, place)
                for place in (reversed(places) if backwards else places)
            ),
            truncated=gone,
        )

    def _stored(self, replica: Replica, place: Place) -> Stored:
        frames = replica.store.read_frames(Op(place.op), Op(place.op), OP_BYTES_MAX)
        if not frames or frames[0] is None:
            raise CorruptData("this node is still fetching that part of the log")
        header, body = frames[0].header, frames[0].body
        split = list(entries.split(body, header.entry_count))
        _, start, stop = split[place.entry]
        return Stored(
            place.base,
            place.end - place.base,
            place.op,
            place.entry,
            header.timestamp,
            body[start:stop],
        )

    def info(self) -> StreamInfo:
        """What the stream is now."""
        return info_of(self._cluster.state(self.group, self.id))

    def seal(self) -> StreamInfo:
        """Accept no more events, for ever."""
        return self._command(Seal())

    def truncate(self, before: int) -> StreamInfo:
        """Give up all events before an offset."""
        check_number(before, "an offset", high=OFFSET_MAX)
        return self._command(TruncateBefore(before))

    def set_retention(self, retention: Retention) -> StreamInfo:
        """Bound what the stream keeps from now on."""
        check_retention(retention)
        return self._command(SetRetention(retention))

    def _command(self, command: StreamCommand) -> StreamInfo:
        header = EntryHeader(kind=Kind.COMMAND, tenant=self.tenant, stream=self.id)
        self._cluster.command(self.group, header, command)
        return self.info()


def info_of(state: State) -> StreamInfo:
    """A stream in the words of the SDK."""
    made = state.info
    return StreamInfo(
        id=made.id,
        tenant=made.tenant,
        name=made.name,
        data_class=made.data_class,
        placement=made.placement,
        group=group_of(made.id),
        next_offset=state.next,
        floor=state.floor,
        sealed=state.sealed,
        retention=made.retention or Retention(),
        created_at=made.created_at,
        bytes=state.bytes,
    )
