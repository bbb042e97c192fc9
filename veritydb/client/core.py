"""Getting one call done: by the right node, again if need be, within its time.

Everything that may be asked twice without harm is asked until it is answered or its time is up.
What is known when it fails is kept exact: *not applied* only if no attempt can have succeeded.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import capnp

from veritydb.client.connection import Connection, Lost
from veritydb.client.convert import group_infos, node_status
from veritydb.client.deadline import DEFAULT_TIMEOUT_S, Deadline, Watch
from veritydb.client.fresh import FreshIds
from veritydb.client.pool import CannotConnect, Pool
from veritydb.client.refusal import ASK_ANOTHER, TRY_AGAIN, Refusal, RefusedBy
from veritydb.client.routing import Routing
from veritydb.client.transport import Dial
from veritydb.client.values import NodeStatus
from veritydb.types.errors import (
    Applied,
    DeadlineExceeded,
    EdgeCode,
    OutcomeUnknown,
    Unavailable,
    VerityError,
    WrongCluster,
)

T = TypeVar("T")
Attempt = Callable[[Connection, Deadline], Awaitable[T]]

PAUSE_MIN_S = 0.01
PAUSE_MAX_S = 0.1
STATUS_TIMEOUT_S = 0.5
REDIRECTS_AT_ONCE = 3


class Core:
    """What all handles of one client share."""

    def __init__(self, routing: Routing, dial: Dial, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """Know the addresses; `start` connects."""
        Deadline(timeout)
        self.fresh = FreshIds()
        self.client = self.fresh.take(1)
        self.routing = routing
        self.timeout = timeout
        self.pool = Pool(routing, dial, self.client)
        self.background: set[asyncio.Task[Any]] = set()
        """What runs ahead of what was asked for; ended with the client."""
        self._watch = Watch()
        self._looking: dict[int, asyncio.Task[None]] = {}
        self._names: dict[str, str] = {}

    def deadline(self, timeout: float | None) -> Deadline:
        """Begin a call's time."""
        self.pool.check()
        return Deadline(self.timeout if timeout is None else timeout)

    def now(self) -> int:
        """The cluster's time as far as this client can tell, ns since 1970."""
        return time.time_ns() + self.pool.clock_offset

    async def start(self) -> None:
        """Find a node that answers and learn what groups there are. Raises Unavailable."""
        await self.learn(self.deadline(None))

    async def learn(self, deadline: Deadline) -> None:
        """Ask any node for the directory."""

        async def ask(connection: Connection, deadline: Deadline) -> None:
            answer = await connection.call("cluster", "directory")
            self.routing.learn(group_infos(answer.groups))

        await self.on_any(self.routing.addresses, ask, deadline)

    async def close(self) -> None:
        """End everything."""
        self.pool.closed = True
        self._watch.close()
        running = [*self._looking.values(), *self.background]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.pool.close()

    # -- one node of several

    async def on_any(
        self, addresses: tuple[str, ...], attempt: Attempt[T], deadline: Deadline
    ) -> T:
        """Have any of these nodes do something harmless, trying them in turn."""
        pause = PAUSE_MIN_S
        refused: Refusal | None = None
        wrong: VerityError | None = None
        while not deadline.passed:
            for address in addresses:
                try:
                    async with asyncio.timeout(deadline.left):
                        connection = await self.pool.get(address)
                        return await self._tried(connection, attempt, deadline)
                except RefusedBy as error:
                    refused = error.refusal
                    if refused.code not in TRY_AGAIN:
                        raise refused.error() from None
                except WrongCluster as error:
                    wrong = error
                except (CannotConnect, Lost, TimeoutError):
                    continue
            if wrong is not None:
                raise wrong
            await asyncio.sleep(min(pause, deadline.left))
            pause = min(2 * pause, PAUSE_MAX_S)
        if refused is not None:
            raise refused.error()
        raise Unavailable("no node answered in time")

    async def _tried(self, connection: Connection, attempt: Attempt[T], deadline: Deadline) -> T:
        try:
            return await attempt(connection, deadline)
        except Lost:
            self.pool.failed(connection)
            raise
        except (capnp.KjException, UnicodeDecodeError):
            # What came is no answer: it was damaged on the way, and so may be what follows it.
            self.pool.failed(connection)
            raise Lost from None

    # -- the primary of a group

    async def on_primary(
        self,
        group: int,
        attempt: Attempt[T],
        deadline: Deadline,
        *,
        once: bool = False,
        harmless: bool = False,
    ) -> T:
        """Have the group's primary do something, following it wherever it goes.

        With `once` nothing is repeated that may have had an effect; what is `harmless` has none.
        """
        known = _Known(harmless)
        try:
            async with asyncio.timeout(None) as call:
                self._watch.begin(call, deadline)
                try:
                    return await self._primary_does(group, attempt, deadline, once, known)
                finally:
                    self._watch.end(call)
        except TimeoutError:
            raise known.gave_up(group) from None

    async def _primary_does(
        self, group: int, attempt: Attempt[T], deadline: Deadline, once: bool, known: "_Known"
    ) -> T:
        while True:
            try:
                connection = await self._primary(group)
            except VerityError as error:
                raise known.ended(error) from None
            if connection is not None:
                known.in_flight = True
                try:
                    return await self._tried(connection, attempt, deadline)
                except Lost:
                    known.lost()
                except RefusedBy as error:
                    known.refused(error.refusal)
                    self._heed(group, connection, error.refusal, known.maybe)
                if once and known.maybe:
                    raise OutcomeUnknown("the connection was lost before the answer came")
            await asyncio.sleep(known.pause())

    def _heed(self, group: int, connection: Connection, refusal: Refusal, maybe: bool) -> None:
        """Remember what a refusal tells, and raise if it is the last word."""
        if refusal.code not in TRY_AGAIN:
            raise refusal.error(maybe_applied=maybe) from None
        if refusal.code in ASK_ANOTHER:
            now = time.monotonic()
            self.routing.redirected(group, connection.address, refusal.redirect, now)

    async def _primary(self, group: int) -> Connection | None:
        """Return a connection to the node that leads a group, None if there is none just now."""
        address = self.routing.primary(group)
        if address is not None:
            connection = self.pool.at_hand(address)
            if connection is not None:
                return connection
            try:
                return await self.pool.get(address)
            except CannotConnect:
                pass
        looking = self._looking.get(group)
        if looking is None:
            looking = asyncio.create_task(self._look_for_primary(group))
            self._looking[group] = looking
            looking.add_done_callback(lambda _: self._looking.pop(group, None))
        await asyncio.wait([looking])
        self.pool.check()
        looking.result()
        address = self.routing.primary(group)
        return None if address is None else self.pool.at_hand(address)

    async def _look_for_primary(self, group: int) -> None:
        """Ask all of a group's nodes who leads it; the first that says it does is taken."""
        now = time.monotonic()
        asking = [
            asyncio.create_task(self.status_of(address))
            for address in self.routing.replicas(group, now)
        ]
        hearsay: tuple[int, str, str] | None = None
        try:
            for answer in asyncio.as_completed(asking):
                status = await answer
                for one in status.groups:
                    if one.group != group:
                        continue
                    if one.role == "primary":
                        # The others are not waited for: one of them may be dead and silent.
                        self.routing.leads(group, status.address)
                        return
                    if one.primary and (hearsay is None or one.view > hearsay[0]):
                        hearsay = one.view, status.address, one.primary
            if hearsay is not None:
                self.routing.named(group, hearsay[2], time.monotonic())
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def address_of(self, name: str, deadline: Deadline) -> str:
        """Return where the node of this name is. Raises Unavailable."""
        address = self._names.get(name)
        if address is None:
            timeout = min(STATUS_TIMEOUT_S, deadline.left)
            every = (self.status_of(one, timeout) for one in self.routing.addresses)
            for status in await asyncio.gather(*every):
                if status.reachable:
                    self._names[status.name] = status.address
            address = self._names.get(name)
        if address is None:
            raise Unavailable("no node of this name was found")
        return address

    async def status_of(self, address: str, timeout: float = STATUS_TIMEOUT_S) -> NodeStatus:
        """Ask one node how it is. Never raises: one that cannot be asked is not reachable."""
        try:
            async with asyncio.timeout(timeout):
                connection = await self.pool.get(address)
                return await self._tried(connection, _ask_status, Deadline(timeout))
        except (CannotConnect, Lost, TimeoutError, VerityError):
            return NodeStatus(address=address, reachable=False)


async def _ask_status(connection: Connection, deadline: Deadline) -> NodeStatus:
    answer = await connection.call("cluster", "status")
    return node_status(connection.address, answer.status)


class _Known:
    """What the attempts of one call have shown so far."""

    def __init__(self, harmless: bool = False) -> None:
        self.maybe = False
        self.in_flight = False
        self._harmless = harmless
        self._last: Refusal | None = None
        self._pause = PAUSE_MIN_S
        self._redirects = 0

    def lost(self) -> None:
        """The connection ended before the answer."""
        self.in_flight = False
        self.maybe = not self._harmless

    def refused(self, refusal: Refusal) -> None:
        """A node said no."""
        self.in_flight = False
        self.maybe = self.maybe or (refusal.unknown and not self._harmless)
        self._last = refusal

    def ended(self, error: VerityError) -> VerityError:
        """What the caller gets when there is nobody any more to ask. Others may get the same."""
        found = error.copy()
        if self.maybe:
            found.applied = Applied.UNKNOWN
        return found

    def pause(self) -> float:
        """How long to wait before the next attempt."""
        last = self._last
        if last is not None and last.redirect and self._redirects < REDIRECTS_AT_ONCE:
            self._redirects += 1
            return 0
        asked_for = last.retry_after_ms / 1000 if last is not None else 0.0
        pause = self._pause
        self._pause = min(2 * pause, PAUSE_MAX_S)
        self._redirects = 0
        return max(pause, asked_for) * random.uniform(0.75, 1.25)

    def gave_up(self, group: int) -> VerityError:
        """What the caller gets when the time is up."""
        if self.maybe or (self.in_flight and not self._harmless):
            # An attempt that was cut off by the clock may still succeed.
            return DeadlineExceeded(
                "the answer did not come in time", applied=Applied.UNKNOWN, code=EdgeCode.DEADLINE
            )
        if self._last is not None:
            return self._last.error()
        return Unavailable(f"group {group} had no primary that could be reached in time")
