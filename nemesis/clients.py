"""A process with clients that note each question and each answer: the history that is judged.

    python -m nemesis.clients FACE URL REGION NUMBER SEED FILE

FACE is `sync` (one client that waits), `async` (several tasks that share a connection, whose
appends travel together) or `reader` (it only reads, and so has no reason to leave a node that is
cut off from the others and does not know it). It goes on until its standard input ends. Every few
seconds the clients go on to fresh streams, so that each stream's history is short enough to be
searched.
"""

import asyncio
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from nemesis.taint import TAINT
from simulation.checkers.history import ANY as ANYWHERE
from simulation.checkers.history import EXISTS, Kind, Operation, Result
from veritydb import aio
from veritydb.aio import AsyncClient, AsyncStream
from veritydb.client.sync import Client, Stream
from veritydb.client.values import (
    ANY,
    LINEARIZABLE,
    LOCAL,
    STREAM_EXISTS,
    Appended,
    Item,
    RecordedEvent,
    Token,
)
from veritydb.types.errors import (
    Applied,
    StreamSealed,
    VerityError,
    WrongExpectedOffset,
)
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Region

TENANT = 1
TASKS = 3
SEALER = 10
EPOCH_SECONDS = 15.0
CALL_SECONDS = 5.0
PAUSE_SECONDS = (0.01, 0.08)
EVENTS_MAX = 3
BACK = 6
READS = {"fresh": 4.0, "local": 1.0}
CHANCES = {"append": 8, "exact": 4, "exists": 1, "fresh": 6, "local": 2, "own": 3, "seal": 0.05}


Answer = Appended | list[Item] | VerityError | None
"""What came of a plan; None: a stream was sealed."""


class Note(msgspec.Struct, frozen=True):
    """One line of the history. A read with a token had to show `least` events."""

    operation: Operation
    least: int = 0


class Recorder:
    """Writes the history of one process, one line per operation that came to an end."""

    def __init__(self, path: Path) -> None:
        """The file is made anew."""
        self._file = path.open("wb")
        self._lock = threading.Lock()

    def note(self, note: Note) -> None:
        """Add a line."""
        with self._lock:
            self._file.write(msgspec.json.encode(note) + b"\n")

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


class Plan(msgspec.Struct, frozen=True):
    """What a worker does next."""

    what: str
    stream: str
    values: tuple[bytes, ...]
    expected: int
    first: int
    least: int
    token: Token


class Worker:
    """One client as the judge knows it: it asks one thing at a time, and remembers what it saw."""

    def __init__(
        self, process: int, seed: str, recorder: Recorder, chances: dict[str, float] = CHANCES
    ) -> None:
        """`chances` weigh what it does."""
        self.process = process
        self._chances = chances
        self.dice = random.Random(f"{seed}/{process}")
        self._recorder = recorder
        self._made = 0
        self._epoch = -1
        self._seen: dict[str, int] = {}
        self._own: dict[str, tuple[int, Token]] = {}
        self._sealed: set[str] = set()

    def plan(self) -> Plan:
        """What to do next."""
        dice = self.dice
        epoch = int(time.monotonic() // EPOCH_SECONDS)
        if epoch != self._epoch:
            self._epoch, self._seen, self._own, self._sealed = epoch, {}, {}, set()
        where = dice.choice(("region", "global"))
        stream = f"{TAINT}-{where}-{epoch}"
        [what] = dice.choices(list(self._chances), list(self._chances.values()))
        if what == "seal" and (self.process != SEALER or stream in self._sealed):
            # A second one would be told the same as the first.
            what = "fresh"
        seen = self._seen.get(stream, 0)
        values: tuple[bytes, ...] = ()
        if what in ("append", "exact", "exists"):
            values = tuple(self._value() for _ in range(dice.randint(1, EVENTS_MAX)))
        least, token = self._own.get(stream, (0, Token()))
        return Plan(
            what=what,
            stream=stream,
            values=values,
            expected={"exact": seen, "exists": EXISTS}.get(what, ANYWHERE),
            # Below what was seen, so that a stream that has become shorter shows.
            first=dice.choice((0, max(0, seen - BACK))),
            least=least if what == "own" else 0,
            token=token if what == "own" else Token(),
        )

    def _value(self) -> bytes:
        self._made += 1
        return f"{TAINT}-{self.process}-{self._made}".encode()

    def appended(self, plan: Plan, invoked: int, answer: Appended | VerityError) -> None:
        """Note an append and what it was told."""
        result, offset = Result.UNKNOWN, 0
        if isinstance(answer, Appended):
            if answer.base is not None:
                result, offset = Result.OK, answer.base
                end = offset + len(plan.values)
                self._saw(plan.stream, end)
                self._own[plan.stream] = end, answer.token
        elif answer.applied is Applied.NO:
            result = Result.REFUSED
            if isinstance(answer, StreamSealed):
                result = Result.SEALED
            elif isinstance(answer, WrongExpectedOffset) and answer.actual is not None:
                result, offset = Result.CONFLICT, answer.actual
                self._saw(plan.stream, offset)
        self._note(plan, Kind.APPEND, invoked, result, offset=offset, values=plan.values)

    def read(self, plan: Plan, invoked: int, answer: list[Item] | VerityError) -> None:
        """Note a read and what it showed. What failed says nothing."""
        if isinstance(answer, VerityError):
            return
        values = tuple(item.payload for item in answer if isinstance(item, RecordedEvent))
        end = plan.first + len(values)
        if plan.what == "fresh":
            self._saw(plan.stream, end)
        self._note(plan, Kind.READ, invoked, Result.OK, offset=plan.first, values=values, end=end)

    def sealed(self, plan: Plan, invoked: int, error: VerityError | None) -> None:
        """Note that a stream was closed for ever."""
        self._sealed.add(plan.stream)
        self._note(plan, Kind.SEAL, invoked, Result.UNKNOWN if error else Result.OK)

    def _saw(self, stream: str, end: int) -> None:
        self._seen[stream] = max(end, self._seen.get(stream, 0))

    def _note(
        self,
        plan: Plan,
        kind: Kind,
        invoked: int,
        result: Result,
        *,
        offset: int = 0,
        values: tuple[bytes, ...] = (),
        end: int = 0,
    ) -> None:
        operation = Operation(
            process=self.process,
            stream=plan.stream,
            kind=kind,
            invoked=invoked,
            returned=time.monotonic_ns(),
            result=result,
            values=values,
            expected=plan.expected,
            offset=offset,
            next=end,
            fresh=kind is not Kind.READ or plan.what == "fresh",
        )
        self._recorder.note(Note(operation, plan.least))

    def noted(self, plan: Plan, invoked: int, answer: Answer) -> None:
        """Note what came of a plan."""
        if isinstance(answer, Appended) or plan.values:
            assert not isinstance(answer, list) and answer is not None
            self.appended(plan, invoked, answer)
        elif plan.what == "seal":
            assert not isinstance(answer, list | Appended)
            self.sealed(plan, invoked, answer)
        else:
            assert isinstance(answer, list | VerityError)
            self.read(plan, invoked, answer)


def place_of(plan: Plan, region: Region) -> dict[str, Any]:
    """What a plan's stream is."""
    if "region" in plan.stream:
        return {"tenant": TENANT, "data_class": DataClass.PHI, "placement": region}
    return {"tenant": TENANT, "data_class": DataClass.NON_PHI, "placement": GLOBAL}


def query_of(plan: Plan) -> dict[str, Any]:
    """How a plan reads."""
    if plan.what == "fresh":
        return {"consistency": LINEARIZABLE}
    return {"at_least": plan.token} if plan.what == "own" else {"consistency": LOCAL}


def append_of(plan: Plan) -> dict[str, Any]:
    """How a plan appends."""
    expected = {EXISTS: STREAM_EXISTS, ANYWHERE: ANY}.get(plan.expected, plan.expected)
    events = [Event(f"Made{TAINT}", value) for value in plan.values]
    return {"events": events, "expected": expected}


def work(url: str, region: Region, worker: Worker, over: threading.Event) -> None:
    """The client that waits."""
    handles: dict[str, Stream] = {}

    def do(plan: Plan) -> Answer:
        handle = handles[plan.stream]
        if plan.values:
            return handle.append(**append_of(plan))
        if plan.what == "seal":
            handle.seal()
            return None
        return list(handle.read(plan.first, **query_of(plan)))

    with Client(url, timeout=CALL_SECONDS) as db:
        while not over.wait(worker.dice.uniform(*PAUSE_SECONDS)):
            plan = worker.plan()
            invoked = 0
            try:
                if plan.stream not in handles:
                    handles[plan.stream] = db.create_stream(plan.stream, **place_of(plan, region))
                invoked = time.monotonic_ns()
                worker.noted(plan, invoked, do(plan))
            except VerityError as error:
                if invoked:
                    worker.noted(plan, invoked, error)


async def work_async(
    db: AsyncClient, region: Region, worker: Worker, over: threading.Event
) -> None:
    """One of several tasks with one client."""
    handles: dict[str, AsyncStream] = {}

    async def do(plan: Plan) -> Answer:
        handle = handles[plan.stream]
        if plan.values:
            return await handle.append(**append_of(plan))
        if plan.what == "seal":
            await handle.seal()
            return None
        return [item async for item in handle.read(plan.first, **query_of(plan))]

    while not over.is_set():
        await asyncio.sleep(worker.dice.uniform(*PAUSE_SECONDS))
        plan = worker.plan()
        invoked = 0
        try:
            if plan.stream not in handles:
                handles[plan.stream] = await db.create_stream(plan.stream, **place_of(plan, region))
            invoked = time.monotonic_ns()
            worker.noted(plan, invoked, await do(plan))
        except VerityError as error:
            if invoked:
                worker.noted(plan, invoked, error)


async def work_together(
    url: str, region: Region, workers: list[Worker], over: threading.Event
) -> None:
    """Tasks that share a client."""
    async with aio.connect(url, timeout=CALL_SECONDS) as db, asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(work_async(db, region, worker, over))


def main(face: str, url: str, region: str, number: str, seed: str, file: str) -> int:
    """Work until the standard input ends."""
    over = threading.Event()

    def wait() -> None:
        # Not through a buffer, whose lock would be held at the end.
        while os.read(sys.stdin.fileno(), 1):
            pass
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    recorder = Recorder(Path(file))
    try:
        first = int(number) * SEALER
        if face != "async":
            chances = READS if face == "reader" else CHANCES
            work(url, Region(region), Worker(first, seed, recorder, chances), over)
        else:
            workers = [Worker(first + task, seed, recorder) for task in range(TASKS)]
            asyncio.run(work_together(url, Region(region), workers, over))
    finally:
        recorder.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
