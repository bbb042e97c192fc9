"""The kernel's state as bytes, in slices small enough that none holds anybody up.

    chunk 0: format, the group's facts, policy, how many streams and origins follow
    then:    streams in the order they were made, origins in the order they came, batch ids

Each chunk is MessagePack. What follows from other parts (names, timers) is not stored. The same
state gives the same bytes in every process, so its digest can be compared between replicas.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TypeVar

import immutables
import msgspec

from veritydb.kernel.state import KERNEL_VERSION, KernelState
from veritydb.policy.placement import Directory, placement_of, region_name
from veritydb.policy.state import Rules, in_force
from veritydb.streams import timers
from veritydb.streams.batches import Batches, Generation, Ids, Span
from veritydb.streams.state import (
    Origin,
    OriginRun,
    Retained,
    Run,
    Stream,
    StreamInfo,
    Streams,
    name_key,
)
from veritydb.types.ids import GroupId, StreamId, TenantId, stream_id
from veritydb.types.labels import DataClass
from veritydb.types.retention import Retention

FORMAT = 1
# A loop is held up by one chunk at a time: less than a millisecond.
CHUNK_ITEMS = 250
CHUNK_ITEMS_READ = 1_000
Row = TypeVar("Row")


class BadSnapshot(Exception):
    """These bytes are no snapshot of a kernel, or not of this format. Says which."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The first chunk."""

    format: int
    kernel: int
    group: int
    directory: tuple[tuple[int, str], ...]
    policy_version: int
    rules: Rules
    streams: int
    origins: int
    forgotten: int
    generations: tuple[tuple[int, int, int], ...]
    """First log time, latest sending and number of ids of each generation, newest first."""


class StreamRow(msgspec.Struct, frozen=True, array_like=True):
    """One stream. Its id follows from its place."""

    tenant: int
    name: str
    data_class: DataClass
    region: str
    created_at: int
    next: int
    floor: int
    sealed: bool
    bytes: int
    last_at: int
    retention: tuple[int, int, int] | None
    due: int
    runs: tuple[tuple[int, int, int, int], ...]


class BatchRow(msgspec.Struct, frozen=True, array_like=True):
    """One remembered batch."""

    key: bytes
    base: int
    count: int


class OriginRow(msgspec.Struct, frozen=True, array_like=True):
    """One origin in one stream."""

    key: bytes
    next: int
    runs: tuple[tuple[int, int, int], ...]


def chunks(state: KernelState) -> Iterator[bytes]:
    """Encode a state, one slice at a time. The state cannot change meanwhile: it is persistent.

    What has been encoded is let go of piece by piece, and what need not be encoded at once. While
    this goes on the state lives on and takes the place of what is held here: all of that, freed
    together at the end, would hold up everybody for as long as many slices take.
    """
    streams = state.streams
    generations = streams.batches.generations
    head = Head(
        format=FORMAT,
        kernel=state.kernel,
        group=state.group,
        directory=state.directory.groups,
        policy_version=state.policy.version,
        rules=state.policy.rules,
        streams=streams.created,
        origins=len(streams.origins),
        forgotten=streams.batches.forgotten,
        generations=tuple((g.first_at, g.until, len(g.ids)) for g in generations),
    )
    # From a copy that changes, what is taken out is freed as soon as nobody else has it.
    return _chunks(
        head,
        streams.records.mutate(),
        streams.retained.mutate(),
        streams.origins.mutate(),
        [generation.ids for generation in reversed(generations)],
    )


def _chunks(
    head: Head,
    records: "immutables.MapMutation[int, Stream]",
    retained: "immutables.MapMutation[int, Retained]",
    origins: "immutables.MapMutation[int, Origin]",
    generations: list[Ids],
) -> Iterator[bytes]:
    """Encode what is handed over, and hold nothing that has been encoded."""
    yield msgspec.msgpack.encode(head)
    rows: list[StreamRow] = []
    weight = 0
    for counter in range(1, head.streams + 1):
        number = stream_id(GroupId(head.group), counter)
        rows.append(_stream_row(records.pop(number), retained.pop(number, None)))
        # A stream with retention may be as much work as fifty without.
        weight += 1 + len(rows[-1].runs) // 4
        if weight >= CHUNK_ITEMS or counter == head.streams:
            yield msgspec.msgpack.encode(rows)
            rows, weight = [], 0
    assert not records and not retained
    for start in range(0, head.origins, CHUNK_ITEMS):
        numbers = range(start, min(start + CHUNK_ITEMS, head.origins))
        yield msgspec.msgpack.encode([_origin_row(origins.pop(n)) for n in numbers])
    assert not origins
    while generations:
        ids = generations.pop()
        # The order of a map of bytes differs between processes.
        keys = sorted(ids)
        assert keys, "an empty generation is never made"
        for start in range(0, len(keys), CHUNK_ITEMS):
            part = keys[start : start + CHUNK_ITEMS]
            yield msgspec.msgpack.encode([_batch_row(key, ids[key]) for key in part])


def _stream_row(stream: Stream, kept: Retained | None) -> StreamRow:
    info = stream.info
    assert stream.floor <= stream.next
    runs = kept.runs if kept is not None else ()
    bounds = info.retention
    return StreamRow(
        tenant=info.tenant,
        name=info.name,
        data_class=info.data_class,
        region=region_name(info.placement),
        created_at=info.created_at,
        next=stream.next,
        floor=stream.floor,
        sealed=stream.sealed,
        bytes=stream.bytes,
        last_at=stream.last_at,
        retention=(bounds.max_age_ns, bounds.max_bytes, bounds.max_events) if bounds else None,
        due=kept.due if kept is not None else 0,
        runs=tuple((run.count, run.bytes, run.first_at, run.last_at) for run in runs),
    )


def _origin_row(origin: Origin) -> OriginRow:
    assert origin.runs
    return OriginRow(origin.key, origin.next, tuple((r.seq, r.base, r.count) for r in origin.runs))


def _batch_row(key: bytes, span: Span) -> BatchRow:
    assert len(key) == 24
    return BatchRow(key, span.base, span.count)


def digest(state: KernelState) -> bytes:
    """Return the SHA-256 over the chunks' lengths and bytes."""
    total = sha256()
    for chunk in chunks(state):
        total.update(len(chunk).to_bytes(4, "little"))
        total.update(chunk)
    assert total.digest_size == 32
    return total.digest()


def load(parts: Iterable[bytes]) -> KernelState:
    """Decode what `chunks` gave. Raises BadSnapshot."""
    loader = Loader()
    for part in parts:
        loader.add(part)
    state = loader.finish()
    assert state.kernel == KERNEL_VERSION
    return state


def _rows(chunk: bytes, of: type[list[Row]]) -> list[Row]:
    rows = msgspec.msgpack.decode(chunk, type=of)
    if not 0 < len(rows) <= CHUNK_ITEMS_READ:
        raise BadSnapshot(f"chunk of {len(rows)} items")
    return rows


class Loader:
    """Takes the chunks one at a time, so that whoever loads may do something else in between."""

    def __init__(self) -> None:
        """Expect the first chunk."""
        self._head: Head | None = None
        self._records = immutables.Map[int, Stream]().mutate()
        self._names = immutables.Map[str, StreamId]().mutate()
        self._retained = immutables.Map[int, Retained]().mutate()
        self._timers: timers.Timer | None = None
        self._origins = immutables.Map[int, Origin]().mutate()
        self._numbers = immutables.Map[bytes, int]().mutate()
        self._generations: list[Generation] = []
        self._ids = immutables.Map[bytes, Span]().mutate()
        assert not self._generations

    def add(self, chunk: bytes) -> None:
        """Take the next chunk. Raises BadSnapshot."""
        try:
            if self._head is None:
                self._head = self._first(chunk)
            elif len(self._records) < self._head.streams:
                self._add_streams(self._head, _rows(chunk, list[StreamRow]))
            elif len(self._origins) < self._head.origins:
                self._add_origins(self._head, _rows(chunk, list[OriginRow]))
            elif len(self._generations) < len(self._head.generations):
                self._add_batches(self._head, _rows(chunk, list[BatchRow]))
            else:
                raise BadSnapshot("a chunk follows the last")
        except (msgspec.DecodeError, ValueError) as error:
            # What a decoder says may quote what it read, and names are not for logs.
            raise BadSnapshot(f"a chunk cannot be read: {type(error).__name__}") from None
        assert self._head is not None

    def finish(self) -> KernelState:
        """Return the state. Raises BadSnapshot if chunks are missing."""
        head = self._head
        if (
            head is None
            or len(self._records) < head.streams
            or len(self._origins) < head.origins
            or len(self._generations) < len(head.generations)
        ):
            raise BadSnapshot("chunks are missing")
        group = GroupId(head.group)
        directory = Directory(head.directory)
        region = directory.region_of(group)
        assert region is not None, "checked with the first chunk"
        streams = Streams(
            group,
            head.streams,
            self._records.finish(),
            self._names.finish(),
            self._retained.finish(),
            self._timers,
            self._origins.finish(),
            self._numbers.finish(),
            Batches(tuple(self._generations), head.forgotten),
        )
        policy = in_force(head.policy_version, head.rules)
        return KernelState(group, region, directory, head.kernel, policy, streams)

    def _first(self, chunk: bytes) -> Head:
        """Read the first chunk, whose first item tells whether the rest means anything to us."""
        assert self._head is None
        raw = msgspec.msgpack.decode(chunk)
        if not isinstance(raw, list) or not raw or raw[0] != FORMAT:
            raise BadSnapshot(f"no kernel snapshot of format {FORMAT}")
        head = msgspec.convert(raw, Head)
        if head.kernel != KERNEL_VERSION:
            raise BadSnapshot(f"kernel version {head.kernel}; this one knows {KERNEL_VERSION}")
        if Directory(head.directory).region_of(GroupId(head.group)) is None:
            raise BadSnapshot(f"group {head.group} is not in its own directory")
        return head

    def _add_streams(self, head: Head, rows: list[StreamRow]) -> None:
        assert len(self._records) == len(self._names)
        for row in rows:
            number = stream_id(GroupId(head.group), len(self._records) + 1)
            bounds = Retention(*row.retention) if row.retention is not None else None
            info = StreamInfo(
                number,
                TenantId(row.tenant),
                row.name,
                row.data_class,
                placement_of(row.region),
                row.created_at,
                bounds,
            )
            self._records[number] = Stream(
                info, row.next, row.floor, row.sealed, row.bytes, row.last_at
            )
            self._names[name_key(info.tenant, info.name)] = number
            if row.runs:
                runs = tuple(Run(*run) for run in row.runs)
                count, size = sum(run.count for run in runs), sum(run.bytes for run in runs)
                self._retained[number] = Retained(runs, count, size, row.due)
                if row.due:
                    self._timers = timers.insert(self._timers, row.due, number)
        if len(self._records) > head.streams or len(self._names) != len(self._records):
            raise BadSnapshot("more streams than announced, or two of one name")

    def _add_origins(self, head: Head, rows: list[OriginRow]) -> None:
        assert len(self._origins) == len(self._numbers)
        for row in rows:
            number = len(self._origins)
            runs = tuple(OriginRun(*run) for run in row.runs)
            self._origins[number] = Origin(row.key, row.next, runs)
            self._numbers[row.key] = number
        if len(self._origins) > head.origins or len(self._numbers) != len(self._origins):
            raise BadSnapshot("more origins than announced, or one twice")

    def _add_batches(self, head: Head, rows: list[BatchRow]) -> None:
        assert len(self._generations) < len(head.generations)
        first_at, until, count = head.generations[len(self._generations)]
        for row in rows:
            self._ids[row.key] = Span(row.base, row.count)
        if len(self._ids) > count:
            raise BadSnapshot("more batch ids than announced")
        if len(self._ids) == count:
            self._generations.append(Generation(first_at, until, self._ids.finish()))
            self._ids = immutables.Map[bytes, Span]().mutate()
