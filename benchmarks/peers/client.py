"""A Python client of the peers: `python -m benchmarks.peers.client` does tasks.

Each uses the library that Python programs use, in the way that is fastest with it.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import cycle

import msgspec

from benchmarks import accounting, payloads
from benchmarks.load import Contents, answer
from benchmarks.peers import etcd_client, jetstream_client, postgresql_client
from benchmarks.peers.tasks import Mix, Tail, read_own_task
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


def split(url: str) -> tuple[str, str, str]:
    """The scheme of an address, its hosts, and the way to use them."""
    scheme, _, rest = url.partition("://")
    hosts, _, way = rest.partition("?")
    return scheme, hosts, way


def postgresql(url: str) -> tuple[str, str]:
    """Hosts and way of the only peer whose appends are made from Python."""
    scheme, hosts, way = split(url)
    if scheme != "postgresql":
        raise ValueError(f"no appends to {scheme} from Python")
    return hosts, way


class Clock:
    """Counts what falls into a window, and the processor time used in it."""

    def __init__(self, warm_s: float, seconds: float) -> None:
        """Say that all is ready, and hear when to begin."""
        answer(Ready())
        self.start = float(sys.stdin.buffer.readline()) + warm_s
        self.end = self.start + seconds
        self.durations: list[int] = []
        self._cpu: float | None = None
        self._used = 0.0

    def goes_on(self, now: float) -> bool:
        """Whether there is more time. To be asked before every call."""
        if self._cpu is None and now >= self.start:
            self._cpu = time.process_time()
        if now >= self.end and self._cpu is not None:
            self._used = time.process_time() - self._cpu
        return now < self.end

    def took(self, began: float, done: float) -> None:
        """Count a call by when it ended."""
        if self.start <= done < self.end:
            self.durations.append(int((done - began) * 1e6))

    def result(self, events: int) -> Appending:
        """Calls of so many events each."""
        return Appending(
            requests=len(self.durations),
            events=len(self.durations) * events,
            durations_us=self.durations,
            cpu_s=self._used,
            resident_bytes=accounting.resident_bytes(os.getpid()) or 0,
            errors=[],
        )


def append(task: Append) -> Appending:
    """Append in sequence: a client process has one lane."""
    [lane] = task.lanes
    made = payloads.batches(task.batch, task.payload_bytes)
    given = cycle([[event.payload for event in batch] for batch in made])
    with postgresql_client.Connection(*postgresql(task.url)) as connection:
        write = connection.writer(lane)
        clock = Clock(task.warm_s, task.seconds)
        while clock.goes_on(began := time.monotonic()):
            write(next(given))
            clock.took(began, time.monotonic())
    return clock.result(task.batch)


def tail(task: Tail) -> Appending:
    """Append an event now and then, and see when it comes back to a thread that listens."""
    hosts, _ = postgresql(task.url)
    sent: dict[int, float] = {}
    arrived: dict[int, float] = {}

    def came(number: int) -> None:
        arrived[number] = time.monotonic()

    listening = threading.Event()
    listener = threading.Thread(
        target=postgresql_client.follow, args=(hosts, task, came, listening), daemon=True
    )
    with postgresql_client.open_session(hosts) as session:
        tell = postgresql_client.teller(session, task)
        listener.start()
        if not listening.wait(postgresql_client.OPEN_SECONDS):
            raise TimeoutError("nobody listens")
        clock = Clock(task.warm_s, task.seconds)
        while clock.goes_on(began := time.monotonic()):
            sent[len(sent)] = began
            tell(len(sent) - 1)
            time.sleep(max(0.0, began + task.pause_s - time.monotonic()))
        listener.join()
    for number, moment in arrived.items():
        clock.took(sent[number], moment)
    return clock.result(1)


def fill(task: Fill) -> Content:
    """Append so many events in sequence."""
    given = payloads.stream_of_batches(task.events, task.batch, task.payload_bytes)
    with postgresql_client.Connection(*postgresql(task.url)) as connection:
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


def do(task: Task | Mix | Tail) -> Answer:
    """Do what the task says."""
    match task:
        case Append():
            return append(task)
        case Fill():
            return fill(task)
        case CatchUp():
            return catch_up(task)
        case Tail():
            return tail(task)
    raise ValueError(f"no {type(task).__name__} from Python")


def read(line: bytes) -> Task | Mix | Tail:
    """A task of either kind."""
    try:
        return read_own_task(line)
    except msgspec.ValidationError:
        return read_task(line)


def main() -> None:
    """Do one task after the other until there are no more lines."""
    for line in iter(sys.stdin.buffer.readline, b""):
        try:
            result: Answer = do(read(line))
        except Exception as error:
            # Four libraries have errors of their own, and whoever told us to has to hear of any.
            result = Failed(f"{type(error).__name__}: {error}")
        answer(result)


if __name__ == "__main__":
    main()
