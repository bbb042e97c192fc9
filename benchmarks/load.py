"""A client process: `python -m benchmarks.load` reads a task, does it, and answers.

It uses the SDK as anybody would, with one connection to the cluster.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from itertools import cycle

import msgspec
from crc32c import crc32c

import veritydb.aio
from benchmarks import accounting, payloads
from benchmarks.spread import soak, spread
from benchmarks.streams import open_stream
from benchmarks.tasks import (
    Acknowledged,
    Answer,
    Append,
    Appending,
    CatchUp,
    Check,
    Content,
    Failed,
    Fill,
    Numbers,
    Ready,
    Soak,
    Spread,
    Steady,
    Task,
    read_task,
    to_line,
)
from veritydb.aio import AsyncStream
from veritydb.client.values import RecordedEvent
from veritydb.types.errors import VerityError
from veritydb.types.event import Event

PAUSE_AFTER_ERROR_S = 0.01
ERRORS_KEPT = 3
PIECE = 1000


def answer(value: Answer) -> None:
    """Say one line to whoever started this process."""
    sys.stdout.buffer.write(to_line(value) + b"\n")
    sys.stdout.buffer.flush()


async def hear() -> bytes:
    """The next line of whoever started this process.

    None may have come before it is waited for, or it would already be in the buffer.
    """
    loop = asyncio.get_running_loop()
    came = loop.create_future()

    def arrived() -> None:
        if not came.done():
            came.set_result(None)

    loop.add_reader(sys.stdin.fileno(), arrived)
    try:
        await came
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.buffer.readline()


class Tally:
    """What the lanes of one client have done in the window."""

    def __init__(self, start: float, end: float) -> None:
        """Count what is acknowledged from `start` to `end`."""
        self.start = start
        self.end = end
        self.durations_us: list[int] = []
        self.errors: list[str] = []

    async def lane(self, stream: AsyncStream, given: Sequence[Sequence[Event]]) -> None:
        """Append one batch after the other until the window is over."""
        now = time.monotonic
        for batch in cycle(given):
            began = now()
            if began >= self.end:
                return
            try:
                await stream.append(batch)
            except VerityError as error:
                if len(self.errors) < ERRORS_KEPT:
                    self.errors.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                continue
            done = now()
            if self.start <= done < self.end:
                self.durations_us.append(int((done - began) * 1e6))

    async def cpu_seconds(self) -> float:
        """The processor time this process uses in the window."""
        await asyncio.sleep(max(0.0, self.start - time.monotonic()))
        before = time.process_time()
        await asyncio.sleep(max(0.0, self.end - time.monotonic()))
        return time.process_time() - before


async def append(task: Append) -> Appending:
    """Keep every lane busy."""
    given = payloads.batches(task.batch, task.payload_bytes)
    async with veritydb.aio.connect(task.url, coalesce=task.coalesce) as db:
        # One handle per stream, shared by its lanes, as a program would have it.
        names = dict.fromkeys(task.lanes)
        streams = {name: await open_stream(db, name) for name in names}
        answer(Ready())
        start = float(await hear()) + task.warm_s
        tally = Tally(start, start + task.seconds)
        lanes = [tally.lane(streams[name], given) for name in task.lanes]
        cpu_s, _ = await asyncio.gather(tally.cpu_seconds(), asyncio.gather(*lanes))
    return Appending(
        requests=len(tally.durations_us),
        events=len(tally.durations_us) * task.batch,
        durations_us=tally.durations_us,
        cpu_s=cpu_s,
        resident_bytes=accounting.resident_bytes(os.getpid()) or 0,
        errors=tally.errors,
    )


class Contents:
    """Adds up what goes through: the sum of lengths, and a digest of all payloads in order."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.events = 0
        self.payload_bytes = 0
        self._digest = 0
        self._began = time.monotonic()
        self._cpu = time.process_time()

    def add(self, given: Sequence[bytes]) -> None:
        """Take some more payloads."""
        self.events += len(given)
        self.payload_bytes += sum(map(len, given))
        # One that costs next to nothing, so that the database is measured and not the digest.
        self._digest = crc32c(b"".join(given), self._digest)

    def content(self) -> Content:
        """All there was, and what it has taken since the beginning."""
        return Content(
            events=self.events,
            payload_bytes=self.payload_bytes,
            digest=self._digest,
            seconds=time.monotonic() - self._began,
            cpu_s=time.process_time() - self._cpu,
        )


async def fill(task: Fill) -> Content:
    """Append so many events in sequence."""
    given = payloads.stream_of_batches(task.events, task.batch, task.payload_bytes)
    async with veritydb.aio.connect(task.url) as db:
        stream = await open_stream(db, task.stream)
        contents = Contents()
        for batch in given:
            await stream.append(batch)
            contents.add([event.payload for event in batch])
        return contents.content()


async def catch_up(task: CatchUp) -> Content:
    """Read a stream from its beginning, taking offset, type and payload of every event."""
    async with veritydb.aio.connect(task.url) as db:
        stream = await open_stream(db, task.stream)
        contents = Contents()
        expected = 0
        if task.batches:
            async for batch in stream.read_batches(from_offset=0):
                for offset, _type, _payload in zip(
                    batch.offsets, batch.types, batch.payloads, strict=True
                ):
                    expected += offset == expected
                contents.add(batch.payloads)
        else:
            taken: list[bytes] = []
            async for event in stream.read(from_offset=0):
                if not isinstance(event, RecordedEvent):
                    raise ValueError(f"offset {event.offset} holds no event")
                offset, _type, payload = event.offset, event.type, event.payload
                expected += offset == expected
                taken.append(payload)
                if len(taken) == PIECE:
                    contents.add(taken)
                    taken.clear()
            contents.add(taken)
        if expected != contents.events:
            raise ValueError(f"{contents.events} events, but only {expected} offsets in order")
        return contents.content()


async def steady(task: Steady) -> Acknowledged:
    """Append one numbered event after the other until the next line comes."""
    times: list[float] = []
    unknown: list[int] = []
    errors: list[str] = []
    async with veritydb.aio.connect(task.url) as db:
        stream = await open_stream(db, task.stream)
        answer(Ready())
        enough = asyncio.create_task(hear())
        number = 0
        while not enough.done():
            try:
                await stream.append([payloads.numbered(number, task.payload_bytes)])
                times.append(time.monotonic())
            except VerityError as error:
                unknown.append(number)
                if len(errors) < ERRORS_KEPT:
                    errors.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)
            number += 1
    return Acknowledged(times=times, count=number, unknown=unknown, errors=errors)


async def check(task: Check) -> Numbers:
    """Read the numbers of a stream."""
    async with veritydb.aio.connect(task.url) as db:
        stream = await open_stream(db, task.stream)
        found: list[int] = []
        async for batch in stream.read_batches(from_offset=0):
            found += map(payloads.number_of, batch.payloads)
        return Numbers(found=found)


async def do(task: Task) -> Answer:
    """Do what the task says."""
    match task:
        case Append():
            return await append(task)
        case Fill():
            return await fill(task)
        case CatchUp():
            return await catch_up(task)
        case Spread():
            return await spread(task)
        case Soak():
            return await soak(task, lambda: answer(Ready()), hear)
        case Steady():
            return await steady(task)
        case Check():
            return await check(task)


def main() -> None:
    """Do one task after the other until there are no more lines."""
    veritydb.keep_large_buffers()
    for line in iter(sys.stdin.buffer.readline, b""):
        try:
            result: Answer = asyncio.run(do(read_task(line)))
        except (VerityError, ValueError, OSError, msgspec.MsgspecError) as error:
            result = Failed(f"{type(error).__name__}: {error}")
        answer(result)


if __name__ == "__main__":
    main()
