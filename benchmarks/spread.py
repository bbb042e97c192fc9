"""Appends that go round many streams: to fill a database, and to keep it busy."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle

import veritydb.aio
from benchmarks import payloads
from benchmarks.streams import open_stream
from benchmarks.tasks import Soak, Soaked, Spread, Spreading
from veritydb.aio import AsyncClient, AsyncStream
from veritydb.types.errors import VerityError
from veritydb.types.event import Event

PAUSE_AFTER_ERROR_S = 0.01
ERRORS_KEPT = 5


async def spread(task: Spread) -> Spreading:
    """Append to one stream after the other, and make each where it is first needed."""
    began, cpu = time.monotonic(), time.process_time()
    async with veritydb.aio.connect(task.url, coalesce=task.batch == 1) as db:
        units = iter(turns(task))
        lanes = [lane(db, task, units) for _ in range(task.lanes)]
        events = sum(await asyncio.gather(*lanes))
    return Spreading(
        events=events, seconds=time.monotonic() - began, cpu_s=time.process_time() - cpu
    )


def turns(task: Spread) -> Iterator[tuple[str, int]]:
    """Which stream is appended to, and how many calls at once."""
    if task.batch == 1:
        each, more = divmod(task.events, task.streams)
        for number in range(task.streams):
            yield f"{task.stream}-{number:07}", each + (number < more)
    else:
        for number in range(task.events // task.batch):
            yield f"{task.stream}-{number % task.streams:07}", 1


async def lane(db: AsyncClient, task: Spread, units: Iterator[tuple[str, int]]) -> int:
    """Take one stream after the other; return how many events were appended."""
    given = payloads.batches(task.batch, task.payload_bytes)
    done = 0
    for name, calls in units:
        stream = await open_stream(db, name)
        batch: list[Event] = given[done % len(given)]
        await asyncio.gather(*(stream.append(batch) for _ in range(calls)))
        done += calls * task.batch
    return done


class Endurance:
    """What all lanes of one client have seen."""

    def __init__(self) -> None:
        """Begin now."""
        self.began = self.latest = time.monotonic()
        self.over = False
        self.events = 0
        self.silent_s = 0.0
        self.refused = 0
        self.errors: dict[str, None] = {}

    async def lane(self, streams: list[AsyncStream], given: list[list[Event]]) -> None:
        """Append until it is over."""
        for stream, batch in zip(cycle(streams), cycle(given), strict=False):
            if self.over:
                return
            try:
                await stream.append(batch)
            except VerityError as error:
                self.refused += 1
                if len(self.errors) < ERRORS_KEPT:
                    self.errors[f"{type(error).__name__}: {error}"] = None
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                continue
            now = time.monotonic()
            self.silent_s = max(self.silent_s, now - self.latest)
            self.latest = now
            self.events += len(batch)


async def own(db: AsyncClient, task: Soak, lane: int) -> list[AsyncStream]:
    """The streams that one lane goes round."""
    names = (f"{task.stream}-{lane}-{number}" for number in range(task.streams))
    return [await open_stream(db, name) for name in names]


async def soak(
    task: Soak, ready: Callable[[], None], enough: Callable[[], Awaitable[bytes]]
) -> Soaked:
    """Keep every lane busy until somebody says that it is enough."""
    given = payloads.batches(task.batch, task.payload_bytes)
    async with veritydb.aio.connect(task.url, coalesce=False) as db:
        lanes = await asyncio.gather(*(own(db, task, lane) for lane in range(task.lanes)))
        ready()
        seen = Endurance()
        working = [asyncio.create_task(seen.lane(streams, given)) for streams in lanes]
        await enough()
        seen.over = True
        await asyncio.gather(*working)
    return Soaked(
        events=seen.events,
        seconds=time.monotonic() - seen.began,
        silent_s=seen.silent_s,
        refused=seen.refused,
        errors=list(seen.errors),
    )
