"""A client's connection to a node: the handshake, and calls of `Streams`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import trio

from shell_simulation.network import Connection
from shell_simulation.rpc import Stream, new, opened
from shell_simulation.world import World
from simulation.world import MS, SECOND
from veritydb.server.streams import SCHEMA
from veritydb.types.errors import EdgeCode

STREAMS = SCHEMA.Streams
HELLO_BYTES = 64
AT_ONCE = 50 * MS
PATIENCE = {"hello": 1 * SECOND, "append": 500 * MS, "create": 500 * MS, "read": 5 * SECOND}
"""By how much the server may exceed what a call gives it."""


class Lost(Exception):
    """The connection ended before the answer came, or none could be made."""


class Line:
    """A client's connection to one node."""

    def __init__(self, world: World, connection: Connection, number: int) -> None:
        self.ended = False
        self._world = world
        self._connection = connection
        self._keys = 0
        self._waiting: dict[int, Callable[[bool], None]] = {}
        self._handler: Any = None
        self._identity = number.to_bytes(16, "big")
        connection.sides[0].ended = self._end

    def _end(self) -> None:
        self.ended = True
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for end in waiting:
            end(False)

    def close(self) -> None:
        """Go away without a word about what is under way."""
        self._connection.close(0)

    async def open(self) -> None:
        """Greet. Raises Lost."""
        found: list[Any] = []
        over = trio.Event()
        key = self._send(
            lambda stream: opened(stream.offered, self._identity, found),
            lambda took: HELLO_BYTES,
            lambda came: over.set(),
            PATIENCE["hello"],
        )
        await self._answer(key, over)
        if not found:
            raise Lost
        self._handler = found[0]

    async def call(self, method: str, params: Any) -> Any:
        """Call a method of `Streams`. Raises Lost."""
        over, box = trio.Event(), list[Any]()

        def end(results: Any) -> None:
            box.append(results)
            over.set()

        key = self.send(method, params, end)
        await self._answer(key, over)
        if box[0] is None:
            raise Lost
        return box[0]

    def send(self, method: str, params: Any, end: Callable[[Any], None]) -> int:
        """Call a method of `Streams`; `end` gets its results, or None. Raises Lost."""
        results = new(STREAMS.schema.methods[method].result_type)
        context = Context(params.as_reader(), results)
        call = getattr(self._handler, f"{method}_context")
        wait = PATIENCE[method] + MS * (
            params.timeoutMs if method == "append" else params.req.timeoutMs
        )

        def answered(took: int) -> int:
            if method == "append":
                self._check(results, took)
            return 8 * int(results.total_size.word_count)

        return self._send(
            lambda _: call(context),
            answered,
            lambda came: end(results.as_reader() if came else None),
            wait,
        )

    def _check(self, results: Any, took: int) -> None:
        """Whoever asks for too much hears so at once."""
        refused = results.res.refused if str(results.res.which()) == "refused" else None
        if refused is None:
            self._world.acknowledged()
        elif refused.code == EdgeCode.OVERLOADED and took > AT_ONCE:
            self._world.fail("overload", f"refused after {took} ns, not at once")

    def _send(
        self,
        work: Callable[[Stream], Any],
        size: Callable[[int], int],
        end: Callable[[bool], None],
        patience: int,
    ) -> int:
        if self.ended:
            raise Lost
        self._keys += 1
        key, connection = self._keys, self._connection
        self._waiting[key] = end

        def answered() -> None:
            heard = self._waiting.pop(key, None)
            if heard is not None:
                heard(True)

        def done(took: int) -> None:
            stream: Stream = connection.sides[1].stream
            stream.transport.reply(stream.gate, size(took), answered)

        def arrive() -> None:
            stream: Stream = connection.sides[1].stream
            stream.begin(key, lambda: work(stream), done, patience)

        connection.send(1, arrive)
        return key

    async def _answer(self, key: int, over: trio.Event) -> None:
        """Wait for an answer; who does not wait any longer says so."""
        try:
            await over.wait()
        except trio.Cancelled:
            self._waiting.pop(key, None)
            connection = self._connection
            connection.send(1, lambda: connection.sides[1].stream.cancel(key))
            raise


class Context(NamedTuple):
    """What a handler gets."""

    params: Any
    results: Any
