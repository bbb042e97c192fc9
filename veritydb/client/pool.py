"""The connections of one client: one per address, opened when needed, forgotten when they fail."""

import asyncio
import os
import time

from veritydb.client.connection import (
    SILENT_AFTER_MAX_S,
    SILENT_AFTER_S,
    Connection,
    Lost,
)
from veritydb.client.routing import Routing
from veritydb.client.transport import Dial
from veritydb.types.errors import Closed, VerityError, WrongCluster

# A connection that lasted this long was not given up by mistake.
STEADY_S = 10.0


class CannotConnect(Exception):
    """Nobody answers at an address."""


class Pool:
    """Opens each address once, however many calls wait for it."""

    def __init__(self, routing: Routing, dial: Dial, client: bytes) -> None:
        """Connect to nothing yet."""
        self._routing = routing
        self._dial = dial
        self._client = client
        self._open: dict[str, Connection] = {}
        self._opening: dict[str, asyncio.Task[Connection]] = {}
        self._patience: dict[str, float] = {}
        self._cluster = b""
        self._pid = os.getpid()
        self.clock_offset = 0
        self.closed = False

    def check(self) -> None:
        """Raise Closed if this client may not be used."""
        if self.closed:
            raise Closed("the client is closed")
        if os.getpid() != self._pid:
            raise Closed("the client was opened before a fork; open one in each process")

    def at_hand(self, address: str) -> Connection | None:
        """Return the connection to an address, if there is one."""
        connection = self._open.get(address)
        return connection if connection is not None and not connection.closed else None

    async def get(self, address: str) -> Connection:
        """Return a connection. Raises CannotConnect, or WrongCluster."""
        connection = self.at_hand(address)
        if connection is not None:
            return connection
        self.check()
        opening = self._opening.get(address)
        if opening is None:
            opening = asyncio.create_task(self._connect(address))
            self._opening[address] = opening
            opening.add_done_callback(lambda done: self._opened(address, done))
        try:
            # Shielded: the others who wait for it still want it.
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():
                raise Closed("the client is closed") from None
            raise

    async def _connect(self, address: str) -> Connection:
        patience = self._patience.get(address, SILENT_AFTER_S)
        try:
            connection = await Connection.open(address, self._dial, self._client, patience)
        except (OSError, TimeoutError, Lost):
            self._routing.failed(address, time.monotonic())
            raise CannotConnect(address) from None
        except VerityError:
            self._routing.failed(address, time.monotonic())
            raise
        if self._cluster and connection.cluster != self._cluster:
            connection.close()
            self._routing.failed(address, time.monotonic())
            raise WrongCluster("the addresses belong to different clusters")
        self._cluster = connection.cluster
        self.clock_offset = connection.clock_offset
        self._open[address] = connection
        self._routing.answered(address)
        return connection

    def _opened(self, address: str, done: "asyncio.Task[Connection]") -> None:
        self._opening.pop(address, None)
        if not done.cancelled():
            # Those who waited got it; if all of them were cancelled, nobody else asks for it.
            done.exception()

    def failed(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        now = time.monotonic()
        if connection.gave_up:
            # It may only have been slow. The next time it gets longer to answer.
            patience = self._patience.get(connection.address, SILENT_AFTER_S)
            steady = now - connection.opened_at > STEADY_S
            self._patience[connection.address] = (
                SILENT_AFTER_S if steady else min(2 * patience, SILENT_AFTER_MAX_S)
            )
        connection.close()
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]
            self._routing.failed(connection.address, now)

    async def close(self) -> None:
        """End every connection."""
        self.closed = True
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for connection in self._open.values():
            connection.close()
        self._open.clear()
