"""What holds the loop up is counted, by how long it took."""

import asyncio
import gc
import threading
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
    assert sum(pauses.turn.counts[3:]) >= 1
    assert pauses.turn.longest_ns >= 6 * MS_NS


def test_a_turn_that_only_waits_is_no_work() -> None:
    async def wait() -> None:
        pauses.forget()
        asyncio.get_running_loop().call_soon(threading.Event().wait, 0.02)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    pauses = Pauses()
    run_timed(wait(), pauses)
    assert pauses.turn.longest_ns > pauses.work.longest_ns
    assert sum(pauses.turn.counts) == sum(pauses.work.counts)


def test_at_the_end_of_each_turn_it_is_told_what_was_worked() -> None:
    told: list[int] = []

    async def turns() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    run_timed(turns(), Pauses(), lambda worked: bool(told.append(worked)))
    assert len(told) >= 5 and told == sorted(told)


@pytest.fixture
def leash() -> Iterator[Collector]:
    one = Collector(Histogram())
    yield one
    gc.unfreeze()
    gc.enable()


class Cycle:
    """Garbage as soon as nobody else holds it, but only a collector sees that."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.parametrize("worked", [0, collector.EVERY_NS, collector.UNSEEN_NS + 1])
def test_it_collects_after_some_work_but_not_what_a_very_long_turn_left(
    leash: Collector, worked: int
) -> None:
    there = weakref.ref(Cycle())
    frozen = gc.get_freeze_count()
    assert leash.turn(leash._seen + worked) == (worked > 0)
    assert (there() is None) == (worked == collector.EVERY_NS)
    assert (gc.get_freeze_count() > frozen) == (worked > 0)


def test_what_it_has_seen_is_not_looked_at_again(leash: Collector) -> None:
    held = [[at] for at in range(100)]
    leash.turn(leash._seen + collector.EVERY_NS)
    assert not any(one is held[0] for one in gc.get_objects())
    assert not leash.turn(leash._seen)
