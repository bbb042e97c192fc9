"""Calls over simulated connections, in the place of pycapnp's RPC.

Parameters and results are messages of the real schemas, handlers are the server's own, and so is
the gate that joins writes and holds back who sends too much. Only the encoding of messages on a
wire, and the capabilities in them, are left out.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, NamedTuple

from capnp.lib.capnp import _MallocMessageBuilder

from shell_simulation.loop import Died, ProcessLoop
from shell_simulation.network import Connection
from veritydb.server.gate import Gate
from veritydb.server.rpc import PROTOCOL_VERSION

Ended = Callable[[int], None]
"""Gets how long a call took on the server, in ns."""

Work = Callable[[], Coroutine[Any, Any, None]]


def new(struct: Any) -> Any:
    """An empty message of a struct of the schema."""
    return _MallocMessageBuilder().init_root(struct)


def new_params(interface: Any, method: str) -> Any:
    """The empty parameters of a method."""
    return new(interface.schema.methods[method].param_type)


class Results:
    """Stands for results that hold capabilities, which no message can do without a connection."""

    def init(self, name: str) -> "Results":
        """Make a part of it."""
        part = Results()
        setattr(self, name, part)
        return part


class Transport:
    """What the server's gate writes to and can stop reading from: our side of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox: deque[tuple[int, Callable[[], None]]] = deque()
        self._written = 0

    def reply(self, gate: Gate, size: int, arrive: Callable[[], None]) -> None:
        """Write an answer of this size through the gate."""
        self._outbox.append((size, arrive))
        gate.write(bytes(size))

    def write(self, data: bytes) -> None:
        """See asyncio: what the gate lets through, perhaps several answers at once."""
        self._written += len(data)
        while self._outbox and self._outbox[0][0] <= self._written:
            size, arrive = self._outbox.popleft()
            self._written -= size
            self._connection.send(0, arrive)

    def get_write_buffer_size(self) -> int:
        """See asyncio. The other side takes everything at once."""
        return 0

    def get_extra_info(self, name: str) -> None:
        """See asyncio. There is no socket."""

    def pause_reading(self) -> None:
        """See asyncio."""
        self._connection.pause(1)

    def resume_reading(self) -> None:
        """See asyncio."""
        self._connection.resume(1)

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._connection.sides[1].closed

    def close(self) -> None:
        """See asyncio."""
        self._connection.close(1)

    def abort(self) -> None:
        """See asyncio."""
        self._connection.close(1)


class Underway(NamedTuple):
    """A call that is being carried out."""

    task: asyncio.Task[None]
    came: int
    patience: int
    """It is to be answered within so many ns."""


class Stream:
    """A connection as the process sees it that accepted it."""

    def __init__(
        self,
        connection: Connection,
        loop: ProcessLoop,
        escaped: Callable[[str, BaseException], None],
    ) -> None:
        """`escaped` gets exceptions that leave a handler, which none may."""
        self.connection = connection
        self.offered: Any = None
        self.transport = Transport(connection)
        self.gate = Gate(self.transport, loop)
        # As the protocol does from the beginning.
        self.gate.resume_reading()
        self._loop = loop
        self._escaped = escaped
        self._over: asyncio.Future[None] = loop.create_future()
        self.calls: dict[int, Underway] = {}
        connection.sides[1].ended = self._ended

    def _ended(self) -> None:
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        # Calls of a connection that is gone are cancelled, as the RPC library does it.
        for call in list(self.calls.values()):
            call.task.cancel()
        if not self._over.done():
            self._over.set_result(None)

    async def serve(self, offered: Any) -> None:
        """Let the other side call `offered` until it is gone."""
        self.offered = offered
        try:
            await self._over
        finally:
            self.connection.close(1)

    def begin(self, key: int, work: Work, end: Ended, patience: int) -> None:
        """A call arrived, which is to be answered within `patience` ns."""
        self._loop.call_soon(self._begin, key, work, end, self._loop.now, patience)

    def _begin(self, key: int, work: Work, end: Ended, came: int, patience: int) -> None:
        if self.offered is None or self._over.done():
            return
        task = self._loop.create_task(work())
        self.calls[key] = Underway(task, came, patience)

        def done(task: asyncio.Task[None]) -> None:
            self.calls.pop(key, None)
            if task.cancelled():
                return
            error = task.exception()
            if error is None:
                end(self._loop.now - came)
            elif not isinstance(error, Died):
                self._escaped("handler", error)

        task.add_done_callback(done)

    def cancel(self, key: int) -> None:
        """The other side does not want to know any more."""
        call = self.calls.get(key)
        if call is not None:
            call.task.cancel()


async def opened(door: Any, client: bytes, found: list[Any]) -> None:
    """Go through the handshake of a client; append its `Streams` to `found`, if it gets them."""
    hello = SimpleNamespace(protocolVersion=PROTOCOL_VERSION, client=client)
    greeted = Results()
    await door.hello_context(SimpleNamespace(params=SimpleNamespace(req=hello), results=greeted))
    session = getattr(greeted.res, "session", None)  # type: ignore[attr-defined]
    if session is not None:
        offered = Results()
        await session.streams_context(SimpleNamespace(results=offered))
        found.append(offered.streams)  # type: ignore[attr-defined]
