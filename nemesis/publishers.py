"""Tasks that append without a pause, each in its own way, and note every answer.

`any`       ANY, repeated by the client's session until it is answered
`origin`    an origin and its sequence, repeated by the publisher until it is acknowledged
`exact`     the exact offset; after an unknown outcome the stream itself is asked
"""

import asyncio
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable

import msgspec

from nemesis.ledger import Ledger, digest_of
from nemesis.taint import TAINT
from veritydb import aio
from veritydb.aio import AsyncClient, AsyncStream
from veritydb.client.values import LINEARIZABLE, RecordedEvent
from veritydb.types.errors import Applied, InvalidInput, VerityError, WrongExpectedOffset, code_name
from veritydb.types.event import Event
from veritydb.types.labels import GLOBAL, DataClass, Placement, Region
from veritydb.types.limits import MIB
from veritydb.types.retention import Retention

TENANT = 1
BATCH_MAX = 20
KEPT = 8 * MIB
CALL_SECONDS = 10.0


class Stream(msgspec.Struct, frozen=True):
    """A stream to publish to: where it lies, how it is appended to, and by how many tasks."""

    name: str
    data_class: DataClass
    placement: Placement
    way: str
    tasks: int = 1
    payload_max: int = 1_500
    pause: float = 0.05
    retention: Retention | None = None


def streams(region: Region) -> list[Stream]:
    """PHI in a region and other data in the global group, appended to in every way."""
    return [
        Stream("charts", DataClass.PHI, region, "any", 3),
        Stream("orders", DataClass.PHI, region, "origin"),
        Stream("ledger", DataClass.PHI, region, "exact"),
        # Fills segments, and has most of them given back while nodes die.
        Stream("scans", DataClass.PHI, region, "any", 1, 30_000, 0.2, Retention(max_bytes=KEPT)),
        Stream("stock", DataClass.NON_PHI, GLOBAL, "any"),
        Stream("prices", DataClass.NON_PHI, GLOBAL, "origin"),
        Stream("shifts", DataClass.NON_PHI, GLOBAL, "exact"),
    ]


class Publishers:
    """All publishers, on a thread of their own."""

    def __init__(self, url: str, plan: list[Stream], seed: int) -> None:
        """Nothing is published before `start`."""
        self.plan = plan
        self.ledgers = {one.name: Ledger() for one in plan}
        self.failure: BaseException | None = None
        self.errors: dict[str, int] = {}
        self.wronged: list[str] = []
        self.silence = 0.0
        self._url = url
        self._seed = seed
        self._last = 0.0
        self._window = 0.0
        self._stopping = False
        self._begun = threading.Event()
        # Nobody waits for it if the run is broken off.
        self._thread = threading.Thread(target=self._run, name="publishers", daemon=True)

    def start(self) -> None:
        """Create the streams and begin; returns once all publish."""
        self._thread.start()
        self._begun.wait()
        self.check()

    def stop(self) -> None:
        """Let every publisher finish the append it is at."""
        self._stopping = True
        self._thread.join()
        self.check()

    def leave(self) -> None:
        """Let no append begin any more, and wait for none."""
        self._stopping = True

    def check(self) -> None:
        """Raise what ended the publishers, if something did."""
        if self.failure is not None:
            raise self.failure

    @property
    def count(self) -> int:
        """Events acknowledged so far."""
        return sum(ledger.count for ledger in self.ledgers.values())

    def _run(self) -> None:
        try:
            asyncio.run(self._publish())
        except BaseException as error:
            self.failure = error
        finally:
            self._begun.set()

    async def _publish(self) -> None:
        async with aio.connect(self._url, timeout=CALL_SECONDS) as db, asyncio.TaskGroup() as group:
            self._last = time.monotonic()
            for one in self.plan:
                stream = await self._create(db, one)
                for number in range(one.tasks):
                    # Strings seed the same in every process.
                    dice = random.Random(f"{self._seed}/{one.name}/{number}")
                    writer = Writer(self, one, stream, self.ledgers[one.name], dice)
                    group.create_task(writer.publish())
            self._begun.set()

    async def _create(self, db: AsyncClient, one: Stream) -> AsyncStream:
        return await db.create_stream(
            f"{TAINT}-{one.name}",
            tenant=TENANT,
            data_class=one.data_class,
            placement=one.placement,
            retention=one.retention,
            timeout=60.0,
        )

    @property
    def stopping(self) -> bool:
        """Whether no further append is to begin."""
        return self._stopping

    def succeeded(self) -> None:
        """Note that somebody was served just now."""
        now = time.monotonic()
        self.silence = max(self.silence, now - self._last)
        self._window = max(self._window, now - self._last)
        self._last = now

    def silence_since(self) -> float:
        """The longest time without service since this was last asked, that of now included."""
        longest = max(self._window, time.monotonic() - self._last)
        self._window = 0.0
        return longest

    def met(self, error: VerityError) -> None:
        """Note an error. What is sent here is in order, so nobody may call it wrong."""
        code = code_name(error.code) if error.code else type(error).__name__
        name = f"{code} ({error.applied.value})"
        self.errors[name] = self.errors.get(name, 0) + 1
        if isinstance(error, InvalidInput):
            self.wronged.append(f"a sound append was refused: {error}")


class Writer:
    """One task that appends to one stream."""

    def __init__(
        self,
        publishers: Publishers,
        plan: Stream,
        stream: AsyncStream,
        ledger: Ledger,
        dice: random.Random,
    ) -> None:
        """See the class."""
        self._publishers = publishers
        self._plan = plan
        self._stream = stream
        self._ledger = ledger
        self._dice = dice
        self._me = os.urandom(8).hex()
        self._made = 0
        self._origin_id = os.urandom(16)
        self._sequence = 0
        self._next = 0

    async def publish(self) -> None:
        """Append one batch after the other until told to stop."""
        ways: dict[str, Callable[[list[bytes], list[bytes]], Awaitable[None]]] = {
            "any": self._any,
            "origin": self._origin,
            "exact": self._exact,
        }
        append = ways[self._plan.way]
        while not self._publishers.stopping:
            payloads = [self._payload() for _ in range(self._dice.randint(1, BATCH_MAX))]
            await append(payloads, [digest_of(payload) for payload in payloads])
            await asyncio.sleep(self._plan.pause)

    def _payload(self) -> bytes:
        self._made += 1
        head = f"{TAINT}-{self._me}-{self._made}-".encode()
        return head + self._dice.randbytes(self._dice.randint(0, self._plan.payload_max))

    async def _any(self, payloads: list[bytes], digests: list[bytes]) -> None:
        try:
            appended = await self._stream.append(events(payloads))
        except VerityError as error:
            self._publishers.met(error)
            self._ledger.failed(digests, error.applied)
        else:
            self._ledger.answered(digests, appended)
            self._publishers.succeeded()

    async def _origin(self, payloads: list[bytes], digests: list[bytes]) -> None:
        while True:
            try:
                appended = await self._stream.append(
                    events(payloads), origin=self._origin_id, origin_seq=self._sequence
                )
            except VerityError as error:
                self._publishers.met(error)
                if self._publishers.stopping and error.applied is Applied.UNKNOWN:
                    self._ledger.failed(digests, error.applied)
                    return
                continue
            self._ledger.answered(digests, appended)
            self._sequence += len(payloads)
            self._publishers.succeeded()
            return

    async def _exact(self, payloads: list[bytes], digests: list[bytes]) -> None:
        while True:
            try:
                appended = await self._stream.append(events(payloads), expected=self._next)
            except WrongExpectedOffset as error:
                # An earlier attempt arrived after all, or somebody else wrote: the stream knows.
                self._publishers.met(error)
                if await self._stands(payloads):
                    self._ledger.found(self._next, digests)
                    self._next += len(payloads)
                    return
                self._ledger.conflicts.append(
                    f"expected {self._next}, refused with {error.actual}, and not by our own events"
                )
                self._next = error.actual or 0
                continue
            except VerityError as error:
                self._publishers.met(error)
                if self._publishers.stopping:
                    self._ledger.failed(digests, Applied.UNKNOWN)
                    return
                continue
            self._ledger.answered(digests, appended)
            self._next += len(payloads)
            self._publishers.succeeded()
            return

    async def _stands(self, payloads: list[bytes]) -> bool:
        """Whether the stream holds these events at the offset where they were to go."""
        while True:
            try:
                found = [
                    item.payload
                    async for item in self._stream.read(
                        self._next, limit=len(payloads), consistency=LINEARIZABLE
                    )
                    if isinstance(item, RecordedEvent)
                ]
            except VerityError as error:
                self._publishers.met(error)
                continue
            return found == payloads


def events(payloads: list[bytes]) -> list[Event]:
    """Payloads as events."""
    return [Event(f"Made{TAINT}", payload) for payload in payloads]
