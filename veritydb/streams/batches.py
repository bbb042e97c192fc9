"""Batches applied lately, by their ids: what makes a retry without origin harmless.

Generations of bounded size, newest first. Forgetting drops a whole generation, so it costs nothing
per batch; what is forgotten is known by the time until which it was sent, so that a retry from then
can be refused instead of applied again. A sender's clock may be a little ahead of log time; that is
why the later of the two counts.
"""

import immutables
import msgspec

from veritydb.types.limits import BATCH_IDS_AGE_NS, BATCH_IDS_MAX

GENERATIONS = 16
GENERATION_IDS_MAX = BATCH_IDS_MAX // GENERATIONS
GENERATION_AGE_NS = BATCH_IDS_AGE_NS // GENERATIONS


class Span(msgspec.Struct, frozen=True, gc=False):
    """Where a batch was applied."""

    base: int
    count: int


Ids = immutables.Map[bytes, Span]
NONE: Ids = immutables.Map()


class Generation(msgspec.Struct, frozen=True, gc=False):
    """Batches by id and stream. The first was applied at `first_at`, none sent after `until`."""

    first_at: int
    until: int
    ids: Ids


class Batches(msgspec.Struct, frozen=True, gc=False):
    """All that is remembered. No batch that was first sent after `forgotten` has been forgotten."""

    generations: tuple[Generation, ...] = ()
    forgotten: int = 0


def key(batch: bytes, stream: int) -> bytes:
    """Return what a batch is known by: its id counts only within its stream."""
    return batch + stream.to_bytes(8, "little")


def find(batches: Batches, key: bytes) -> Span | None:
    """Return where the batch was applied, if that is remembered."""
    for generation in batches.generations:
        span = generation.ids.get(key)
        if span is not None:
            return span
    return None


def remember(
    batches: Batches, key: bytes, base: int, count: int, sent_at: int, now: int
) -> Batches:
    """Return the memory with one more batch, and without what is too old or too many."""
    older = batches.generations
    until = now if sent_at < now else sent_at
    span = Span(base, count)
    if older:
        newest = older[0]
        if len(newest.ids) < GENERATION_IDS_MAX and now - newest.first_at < GENERATION_AGE_NS:
            if newest.until > until:
                until = newest.until
            grown = Generation(newest.first_at, until, newest.ids.set(key, span))
            return Batches((grown, *older[1:]), batches.forgotten)
    forgotten = batches.forgotten
    while older and (len(older) >= GENERATIONS or older[-1].until < now - BATCH_IDS_AGE_NS):
        forgotten = max(forgotten, older[-1].until)
        older = older[:-1]
    return Batches((Generation(now, until, NONE.set(key, span)), *older), forgotten)
