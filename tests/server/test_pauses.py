"""What holds the loop up is counted, by how long it took."""

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from veritydb.server import collector
from veritydb.server.collector import Collector
from veritydb.server.pauses import BOUNDS_MS, MS_NS, Histogram, Pauses, run_timed


@pytest.mark.parametrize(
    ("took_ns", "place"),
    [
        (0, 0),
        (MS_NS, 0),
        (MS_NS + 1, 1),
        (5 * MS_NS, 2),
        (5 * MS_NS + 1, 3),
        (1_000 * MS_NS, len(BOUNDS_MS) - 1),
        (1_000 * MS_NS + 1, len(BOUNDS_MS)),
    ],
)
def test_bounds_belong_to_what_they_end(took_ns: int, place: int) -> None:
    histogram = Histogram()
    histogram.add(took_ns)
    assert [at for at, count in enumerate(histogram.counts) if count] == [place]
    assert histogram.longest_ns == took_ns


def test_a_turn_that_takes_long_is_seen() -> None:
    async def hold_up() -> None:
        pauses.forget()
        until = time.monotonic_ns() + 6 * MS_NS
        while time.monotonic_ns() < until:
            pass
        await asyncio.sleep(0)

    pauses = Pauses()
    run_timed(hold_up(), pauses)
    assert sum(pauses.turn.counts[3:]) == 1
    assert pauses.turn.longest_ns >= 6 * MS_NS


@pytest.fixture
def leash() -> Iterator[Collector]:
    one = Collector(Histogram())
    yield one
    gc.unfreeze()
    gc.enable()


def test_many_new_objects_are_looked_at_before_it_is_time(leash: Collector) -> None:
    leash.turn()
    kept = gc.get_freeze_count()
    held = [[at] for at in range(collector.SOON_OBJECTS)]
    leash.turn()
    assert gc.get_freeze_count() >= kept + len(held)


class Cycle:
    """Garbage as soon as nobody else holds it, but only a collector sees that."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.parametrize("others", [0, collector.SEEN_OBJECTS_MAX])
def test_so_many_that_looking_would_take_long_are_kept_unseen(
    leash: Collector, others: int
) -> None:
    held = [[at] for at in range(others)]
    there = weakref.ref(Cycle())
    for _ in range(collector.SOON_OBJECTS):
        held.append([])
    leash.turn()
    assert (there() is not None) == (others > 0)
