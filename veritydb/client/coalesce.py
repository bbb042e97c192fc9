"""Joining the appends that one process makes to one stream at the same time.

While a batch is on its way, the requests that come meanwhile wait and then go together. Only one
batch per stream is on its way, so the order of the requests is the order of their events.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from veritydb.client.deadline import Deadline
from veritydb.client.given import events_of
from veritydb.client.values import Appended
from veritydb.types.errors import Applied, Closed, DeadlineExceeded, InvalidInput, VerityError
from veritydb.types.event import Event
from veritydb.types.limits import BATCH_EVENTS_MAX, MIB
from veritydb.wire.batch import Batch
from veritydb.wire.batch_wrong import describe

# A joined batch ends here; a request that is larger by itself goes alone.
JOINED_BYTES_MAX = 1 * MIB
# What an event takes besides its payload and metadata, roughly.
EVENT_OVERHEAD = 64

Encode = Callable[[Sequence[Event]], Batch]
Send = Callable[[Batch, Deadline], Awaitable[Appended]]


class Request(msgspec.Struct, eq=False):
    """One caller's events, and where the answer goes.

    `covered`: the batch that it is in has the same deadline, and knows better what to say then.
    """

    events: Sequence[Event]
    size: int
    deadline: Deadline
    answer: "asyncio.Future[Appended]"
    sent: bool = False
    covered: bool = False

    @property
    def at_risk(self) -> bool:
        """Whether somebody has to see to it that the caller does not wait too long."""
        return not (self.covered or self.answer.done())

    def expire(self) -> None:
        """The caller's time is up."""
        if self.at_risk:
            applied = Applied.UNKNOWN if self.sent else Applied.NO
            self.answer.set_exception(
                DeadlineExceeded("the answer did not come in time", applied=applied)
            )


def size_of(events: Sequence[Event]) -> int:
    """Estimate the bytes of events, whatever nonsense they may hold."""
    try:
        payloads = sum(map(len, [e.payload for e in events]))
        return payloads + sum(map(len, [e.metadata for e in events])) + EVENT_OVERHEAD * len(events)
    except (TypeError, AttributeError):
        raise InvalidInput(describe(events)) from None


def take_together(waiting: "deque[Request]") -> list[Request]:
    """Take off the front what goes into one batch. What nobody waits for is dropped."""
    taken: list[Request] = []
    events = size = 0
    while waiting:
        request = waiting[0]
        if not request.answer.done():
            events += len(request.events)
            size += request.size
            if taken and (events > BATCH_EVENTS_MAX or size > JOINED_BYTES_MAX):
                break
            taken.append(request)
        waiting.popleft()
    return taken


class Coalescer:
    """The appends to one stream that may be joined."""

    def __init__(self, encode: Encode, send: Send) -> None:
        """Have nothing to do."""
        self._encode = encode
        self._send = send
        self._waiting: deque[Request] = deque()
        self._on_their_way: list[Request] = []
        self._runner: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return self._runner is None

    async def append(self, events: Sequence[Event], deadline: Deadline) -> Appended:
        """Append, together with whoever else is appending."""
        # A copy: what the caller does to a list meanwhile must not change what is sent or counted.
        events = events_of(events)
        if not events:
            raise InvalidInput("a batch without events")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Appended] = loop.create_future()
        request = Request(events, size_of(events), deadline, answer)
        self._waiting.append(request)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        self._watch(request)
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken = take_together(self._waiting)
                if taken:
                    self._on_their_way = taken
                    await self._deliver(taken)
                    # Those who were answered go on now; what they ask for next goes along.
                    await asyncio.sleep(0)
        finally:
            self._on_their_way = []
            self._runner = None

    # -- whose time is up: one timer, set for the first of them

    def _watch(self, request: Request) -> None:
        if self._timer is not None:
            if self._timer_at <= request.deadline.at:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_at = request.deadline.at
        self._timer = loop.call_later(request.deadline.left, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for request in (*self._waiting, *self._on_their_way):
            if request.deadline.passed:
                request.expire()
            elif request.at_risk:
                self._watch(request)

    # -- one batch

    async def _deliver(self, taken: list[Request]) -> None:
        try:
            batch = self._encode(
                taken[0].events
                if len(taken) == 1
                else [event for request in taken for event in request.events]
            )
        except InvalidInput as error:
            if len(taken) > 1:
                # One request's mistake must not be the others' failure.
                for request in taken:
                    await self._deliver([request])
            else:
                settle(taken, error)
            return
        deadline = max((request.deadline for request in taken), key=lambda one: one.at)
        for request in taken:
            request.sent = True
            request.covered = request.deadline.at == deadline.at
        try:
            appended = await self._send(batch, deadline)
        except VerityError as error:
            settle(taken, error)
        except asyncio.CancelledError:
            settle(taken, Closed("the client was closed", applied=Applied.UNKNOWN))
            raise
        except Exception as error:
            settle(taken, error)
        else:
            share_out(taken, appended)

    async def close(self) -> None:
        """Give up what waits or is on its way."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            # It may have been cancelled before it had begun.
            self._runner = None
        if self._timer is not None:
            self._timer.cancel()
        settle(self._waiting, Closed("the client is closed"))
        self._waiting.clear()


def settle(taken: Iterable[Request], error: Exception) -> None:
    """Tell all of them what went wrong, each with an exception of its own."""
    for request in taken:
        if request.answer.done():
            continue
        if isinstance(error, VerityError):
            request.answer.set_exception(error.copy())
        else:
            request.answer.set_exception(error)


def share_out(taken: Sequence[Request], appended: Appended) -> None:
    """Tell each where its own events are."""
    base = appended.base
    for request in taken:
        count = len(request.events)
        if not request.answer.done():
            request.answer.set_result(
                Appended(appended.stream, base, count, appended.duplicate, appended.token)
            )
        if base is not None:
            base += count
