"""Origins: writers that number their own events, so that a repeat is known for ever."""

from veritydb.streams.state import Origin, OriginRun, Streams
from veritydb.types.entry import EntryHeader
from veritydb.types.ids import U64_MAX
from veritydb.types.limits import ORIGIN_RUNS_MAX, ORIGINS_MAX
from veritydb.types.outcome import BASE_UNKNOWN, Code


def key(origin: bytes, stream: int) -> bytes:
    """Return what an origin is known by: it counts anew in every stream."""
    return origin + stream.to_bytes(8, "little")


def get(streams: Streams, origin: bytes, stream: int) -> Origin | None:
    """Return what an origin wrote to a stream, None for nothing."""
    number = streams.origin_numbers.get(key(origin, stream))
    return None if number is None else streams.origins[number]


def look(streams: Streams, header: EntryHeader) -> tuple[Code, int, int] | None:
    """Return the answer to a batch that may not be applied (code, base, count), or None.

    Sequences of an origin start at 0 and have no gaps.
    """
    assert header.events > 0
    known = get(streams, header.origin, header.stream)
    if known is None and len(streams.origins) >= ORIGINS_MAX:
        return Code.TOO_MANY_ORIGINS, 0, 0
    next_seq = known.next if known is not None else 0
    first, end = header.origin_seq, header.origin_seq + header.events
    if end > U64_MAX:
        return Code.BAD_COMMAND, 0, 0
    if first == next_seq:
        return None
    if first > next_seq:
        return Code.ORIGIN_GAP, next_seq, 0
    if end > next_seq:
        return Code.ORIGIN_OVERLAP, next_seq, 0
    assert known is not None
    for run in known.runs:
        if run.seq <= first and end <= run.seq + run.count:
            return Code.DUPLICATE, run.base + first - run.seq, header.events
    return Code.DUPLICATE, BASE_UNKNOWN, header.events


def record(streams: Streams, header: EntryHeader, base: int) -> Streams:
    """Return the state that knows this batch to be applied at `base`."""
    name = key(header.origin, header.stream)
    number = streams.origin_numbers.get(name)
    numbers = streams.origin_numbers
    runs: tuple[OriginRun, ...] = ()
    if number is None:
        assert header.origin_seq == 0
        number = len(streams.origins)
        numbers = numbers.set(name, number)
    else:
        known = streams.origins[number]
        assert known.next == header.origin_seq
        runs = known.runs
    if runs and runs[-1].base + runs[-1].count == base:
        last = runs[-1]
        runs = (*runs[:-1], OriginRun(last.seq, last.base, last.count + header.events))
    else:
        runs = (*runs, OriginRun(header.origin_seq, base, header.events))[-ORIGIN_RUNS_MAX:]
    return Streams(
        streams.group,
        streams.created,
        streams.records,
        streams.names,
        streams.retained,
        streams.timers,
        streams.origins.set(number, Origin(name, header.origin_seq + header.events, runs)),
        numbers,
        streams.batches,
    )
