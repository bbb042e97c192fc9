"""A client of VerityDB for what only the comparison does.

`python -m benchmarks.peers.own_client` reads such tasks, one after the other.
"""

import asyncio
import os
import random
import sys
import time
from itertools import cycle

import msgspec

import veritydb.aio
from benchmarks import accounting, payloads
from benchmarks.load import ERRORS_KEPT, PAUSE_AFTER_ERROR_S, Tally, answer, hear
from benchmarks.peers.tasks import READS_OF_TEN, Mix, Tail, read_own_task
from benchmarks.streams import open_stream
from benchmarks.tasks import Answer, Appending, Failed, Ready
from veritydb.aio import AsyncStream
from veritydb.types.errors import VerityError

STRAGGLERS = 1.0


class Calls(Tally):
    """Counts calls of any kind."""

    def took(self, began: float, done: float) -> None:
        """Count one by when it ended."""
        if self.start <= done < self.end:
            self.durations_us.append(int((done - began) * 1e6))

    def failed(self, error: Exception) -> None:
        """Keep the first few errors."""
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(f"{type(error).__name__}: {error}")


def result(tally: Calls, cpu_s: float) -> Appending:
    """What was counted, one event a call."""
    return Appending(
        requests=len(tally.durations_us),
        events=len(tally.durations_us),
        durations_us=tally.durations_us,
        cpu_s=cpu_s,
        resident_bytes=accounting.resident_bytes(os.getpid()) or 0,
        errors=tally.errors,
    )


async def begin(warm_s: float, seconds: float) -> Calls:
    """Say that all is ready, and hear when the window starts."""
    answer(Ready())
    start = float(await hear()) + warm_s
    return Calls(start, start + seconds)


async def read_page(stream: AsyncStream, first: int, count: int) -> None:
    """Take some events of a stream."""
    found = 0
    async for batch in stream.read_batches(from_offset=first, limit=count):
        found += len(batch.payloads)
    if found != count:
        raise ValueError(f"{found} events instead of {count}")


async def mix_lane(
    number: int, task: Mix, own: AsyncStream, read: AsyncStream, tally: Calls
) -> None:
    """One call after the other until the window is over."""
    rng = random.Random(number)
    given = cycle(payloads.batches(1, task.payload_bytes))
    while (began := time.monotonic()) < tally.end:
        try:
            if rng.randrange(10) < READS_OF_TEN:
                await read_page(read, rng.randrange(task.events - task.page), task.page)
            else:
                await own.append(next(given))
        except VerityError as error:
            tally.failed(error)
            await asyncio.sleep(PAUSE_AFTER_ERROR_S)
            continue
        tally.took(began, time.monotonic())


async def mix(task: Mix) -> Appending:
    """Keep all lanes busy."""
    async with veritydb.aio.connect(task.url) as db:
        own = [await open_stream(db, lane) for lane in task.lanes]
        read = await open_stream(db, task.stream)
        tally = await begin(task.warm_s, task.seconds)
        lanes = [mix_lane(number, task, stream, read, tally) for number, stream in enumerate(own)]
        cpu_s, _ = await asyncio.gather(tally.cpu_seconds(), asyncio.gather(*lanes))
    return result(tally, cpu_s)


async def tail(task: Tail) -> Appending:
    """Append an event now and then; another connection reads again and again what is new."""
    sent: list[float] = []
    arrived: dict[int, float] = {}

    async def poll(stream: AsyncStream) -> None:
        next_offset = 0
        while True:
            async for batch in stream.read_batches(from_offset=next_offset):
                now = time.monotonic()
                arrived.update((payloads.number_of(one), now) for one in batch.payloads)
                next_offset = batch.offsets[-1] + 1

    async def write(stream: AsyncStream, end: float) -> None:
        while (began := time.monotonic()) < end:
            sent.append(began)
            await stream.append([payloads.numbered(len(sent) - 1, task.payload_bytes)])
            await asyncio.sleep(max(0.0, began + task.pause_s - time.monotonic()))

    async with veritydb.aio.connect(task.url) as db, veritydb.aio.connect(task.url) as other:
        stream = await open_stream(db, task.stream)
        polling = asyncio.create_task(poll(await open_stream(other, task.stream)))
        tally = await begin(task.warm_s, task.seconds)
        cpu_s, _ = await asyncio.gather(tally.cpu_seconds(), write(stream, tally.end))
        await asyncio.wait([polling], timeout=STRAGGLERS)
        if polling.done():
            polling.result()
        polling.cancel()
        await asyncio.wait([polling])
    for number, moment in arrived.items():
        tally.took(sent[number], moment)
    return result(tally, cpu_s)


def main() -> None:
    """Do one task after the other until there are no more lines."""
    for line in iter(sys.stdin.buffer.readline, b""):
        try:
            task = read_own_task(line)
            found: Answer = asyncio.run(mix(task) if isinstance(task, Mix) else tail(task))
        except (VerityError, ValueError, OSError, msgspec.MsgspecError) as error:
            found = Failed(f"{type(error).__name__}: {error}")
        answer(found)


if __name__ == "__main__":
    main()
