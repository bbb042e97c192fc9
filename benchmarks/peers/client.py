"""A Python client of the peers: `python -m benchmarks.peers.client` does tasks.

Each uses the library that Python programs use, in the way that is fastest with it.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from itertools import cycle

from benchmarks import accounting, payloads
from benchmarks.load import ERRORS_KEPT, Contents, answer
from benchmarks.peers import etcd_client, jetstream_client, postgresql_client
from benchmarks.tasks import (
    Answer,
    Append,
    Appending,
    CatchUp,
    Content,
    Failed,
    Fill,
    Ready,
    Task,
    read_task,
)

# Every library has errors of its own; each of them is a task that failed.
Connection = postgresql_client.Connection


def split(url: str) -> tuple[str, str, str]:
    """The scheme of an address, its hosts, and the way to use them."""
    scheme, _, rest = url.partition("://")
    hosts, _, way = rest.partition("?")
    return scheme, hosts, way


def connect(url: str) -> Connection:
    """Connect to the only peer whose appends are made from Python."""
    scheme, hosts, way = split(url)
    if scheme != "postgresql":
        raise ValueError(f"no appends to {scheme} from Python")
    return postgresql_client.Connection(hosts, way)


def append(task: Append) -> Appending:
    """Append in sequence: a client process has one lane."""
    [lane] = task.lanes
    given = [
        [event.payload for event in batch]
        for batch in payloads.batches(task.batch, task.payload_bytes)
    ]
    durations: list[int] = []
    errors: list[str] = []
    with connect(task.url) as connection:
        write = connection.writer(lane)
        answer(Ready())
        start = float(sys.stdin.buffer.readline()) + task.warm_s
        end = start + task.seconds
        cpu = 0.0
        counting = False
        for batch in cycle(given):
            began = time.monotonic()
            if not counting and began >= start:
                cpu, counting = time.process_time(), True
            if began >= end:
                break
            write(batch)
            done = time.monotonic()
            if start <= done < end:
                durations.append(int((done - began) * 1e6))
        cpu = time.process_time() - cpu
    return Appending(
        requests=len(durations),
        events=len(durations) * task.batch,
        durations_us=durations,
        cpu_s=cpu,
        resident_bytes=accounting.resident_bytes(os.getpid()) or 0,
        errors=errors[:ERRORS_KEPT],
    )


def fill(task: Fill) -> Content:
    """Append so many events in sequence."""
    given = payloads.stream_of_batches(task.events, task.batch, task.payload_bytes)
    with connect(task.url) as connection:
        write = connection.writer(task.stream)
        contents = Contents()
        for events in given:
            batch = [event.payload for event in events]
            write(batch)
            contents.add(batch)
        return contents.content()


Reader = Callable[[str, str, str, Contents], None]
READERS: dict[str, Reader] = {
    "postgresql": postgresql_client.read,
    "etcd": etcd_client.read,
    "jetstream": lambda *given: asyncio.run(jetstream_client.read(*given)),
}


def catch_up(task: CatchUp) -> Content:
    """Read a stream from its beginning, taking offset, type and payload of every event."""
    scheme, hosts, way = split(task.url)
    contents = Contents()
    READERS[scheme](hosts, way, task.stream, contents)
    return contents.content()


def do(task: Task) -> Answer:
    """Do what the task says."""
    match task:
        case Append():
            return append(task)
        case Fill():
            return fill(task)
        case CatchUp():
            return catch_up(task)
    raise ValueError(f"no {type(task).__name__} from Python")


def main() -> None:
    """Do one task after the other until there are no more lines."""
    for line in iter(sys.stdin.buffer.readline, b""):
        try:
            result: Answer = do(read_task(line))
        except Exception as error:
            # Four libraries have errors of their own, and whoever told us to has to hear of any.
            result = Failed(f"{type(error).__name__}: {error}")
        answer(result)


if __name__ == "__main__":
    main()
