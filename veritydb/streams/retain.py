"""Retention: which events of a stream may go, decided from log time and sizes alone.

Appends are gathered into runs, so that a stream of any length keeps a bounded queue of them. A run
goes as a whole, once all of it may.
"""

from veritydb.streams import timers
from veritydb.streams.state import Retained, Run, Stream, Streams
from veritydb.types.limits import RETENTION_RUNS_MAX, SECOND_NS
from veritydb.types.retention import Retention

# A run is closed when it holds this share of the age or of the bytes. Both kinds of closed runs
# and the open one have to fit, so that neighbours only have to be merged after a change of bounds.
SHARES = 120
assert 2 * (SHARES + 1) + 1 < RETENTION_RUNS_MAX

EMPTY = Retained((), 0, 0, 0)


def grow(kept: Retained, retention: Retention, events: int, size: int, now: int) -> Retained:
    """Return what is kept with one more append at its end."""
    runs = kept.runs
    if runs and _open(runs[-1], retention, now):
        last = runs[-1]
        run = Run(last.count + events, last.bytes + size, last.first_at, now)
        runs = (*runs[:-1], run)
    else:
        if len(runs) >= RETENTION_RUNS_MAX:
            runs = _halved(runs)
        runs = (*runs, Run(events, size, now, now))
    return Retained(runs, kept.count + events, kept.bytes + size, kept.due)


def _open(run: Run, retention: Retention, now: int) -> bool:
    """Whether a run still takes appends."""
    by_age = not retention.max_age_ns or now - run.first_at < retention.max_age_ns // SHARES
    by_size = not retention.max_bytes or run.bytes < retention.max_bytes // SHARES
    return by_age and by_size


def _halved(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Merge neighbours two by two."""
    assert len(runs) % 2 == 0
    return tuple(
        Run(a.count + b.count, a.bytes + b.bytes, a.first_at, b.last_at)
        for a, b in zip(runs[::2], runs[1::2], strict=True)
    )


def settle(
    kept: Retained, retention: Retention, floor: int, end: int, now: int
) -> tuple[Retained, int]:
    """Return what is still kept of a stream up to offset `end`, and its floor from now on."""
    if retention.max_events:
        floor = max(floor, end - retention.max_events)
    count, size, gone = kept.count, kept.bytes, 0
    runs = kept.runs
    while gone < len(runs):
        run = runs[gone]
        below = end - count + run.count <= floor
        old = retention.max_age_ns and run.last_at + retention.max_age_ns <= now
        big = (
            retention.max_bytes and size - run.bytes >= retention.max_bytes and gone < len(runs) - 1
        )
        if not (below or old or big):
            break
        count, size, gone = count - run.count, size - run.bytes, gone + 1
    if gone:
        kept = Retained(runs[gone:], count, size, kept.due)
        floor = max(floor, end - count)
    assert floor <= end
    return kept, floor


def due(kept: Retained, retention: Retention) -> int:
    """Return when the oldest run will be too old, 0 for never. Whole seconds, so pulses are few."""
    if not kept.runs or not retention.max_age_ns:
        return 0
    return -(-(kept.runs[0].last_at + retention.max_age_ns) // SECOND_NS) * SECOND_NS


def start(stream: Stream, retention: Retention) -> Retained:
    """Return what a stream keeps that had no bound on age or bytes before: all, as one run.

    Of its bytes only the total ever appended is known, which is no less than what is kept.
    """
    count = stream.next - stream.floor
    if not count or not (retention.max_age_ns or retention.max_bytes):
        return EMPTY
    run = Run(count, stream.bytes, stream.last_at, stream.last_at)
    return Retained((run,), count, stream.bytes, 0)


def put(streams: Streams, stream: Stream, kept: Retained, due_at: int) -> Streams:
    """Store a stream with what it keeps, to be looked at at `due_at`."""
    known = stream.info.id
    tree = streams.timers
    if kept.due != due_at:
        if kept.due:
            tree = timers.remove(tree, kept.due, known)
        if due_at:
            tree = timers.insert(tree, due_at, known)
        kept = Retained(kept.runs, kept.count, kept.bytes, due_at)
    retained = streams.retained
    if kept.runs:
        retained = retained.set(known, kept)
    elif known in retained:
        retained = retained.delete(known)
    return Streams(
        streams.group,
        streams.created,
        streams.records.set(known, stream),
        streams.names,
        retained,
        tree,
        streams.origins,
        streams.origin_numbers,
        streams.batches,
    )
