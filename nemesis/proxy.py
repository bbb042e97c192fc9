"""TCP links that misbehave: between every two nodes, and between the clients and each node.

A link listens where one side believes the other to be, and carries bytes to where that one really
is. All of them run on one thread with a loop of its own; `Network`'s methods may be called from
any other.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
HOST = "127.0.0.1"
CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)
CLIENTS = "clients"


class Way(Enum):
    """Directions, as seen by who connected."""

    THERE = 0
    BACK = 1


class Weather(msgspec.Struct, frozen=True):
    """What a link does to the bytes it carries, until it is told otherwise.

    `delay` and `jitter` are seconds per piece, `rate` is bytes per second (0: no limit). Bytes that
    go a way that is `held` wait, as in a partition that TCP outlives. `bent` is the chance that a
    bit of a piece is flipped, `cut` that a piece ends in its midst and the connection with it.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    held: frozenset[Way] = frozenset()
    bent: float = 0.0
    cut: float = 0.0


FAIR = Weather()


class Ends(NamedTuple):
    """Between whom a link is: the one that connects, and the one that listens."""

    near: str
    far: str


class Connection:
    """One connection over a link: both of its sockets."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        """`near` leads back to who connected, `far` on to who listens."""
        self.near = near
        self.far = far
        self.swallowed = False

    def reset(self) -> None:
        """End it as a machine does that knows nothing of it."""
        for writer in (self.near, self.far):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    def swallow(self) -> None:
        """Leave it half open: its far end is gone, and its near end hears nothing of that."""
        self.swallowed = True
        self.far.transport.abort()

    def end(self) -> None:
        """End it in order."""
        self.near.close()
        self.far.close()


class Link:
    """Carries the connections that one side makes to another. Lives on the network's loop."""

    def __init__(self, ends: Ends, dice: random.Random) -> None:
        """It has an address at once, so that configurations can be written."""
        self.ends = ends
        self.weather = FAIR
        self.carried = 0
        self.damaged = 0
        self.target: tuple[str, int] = (HOST, 0)
        self._dice = dice
        self._changed = asyncio.Event()
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server((HOST, 0))
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self._listener.getsockname()[1]}"

    async def open(self) -> None:
        """Carry from now on."""
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    async def close(self) -> None:
        """Carry no more."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def become(self, weather: Weather) -> None:
        """Change how it carries, connections that exist included."""
        self.weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    def reset(self) -> None:
        """End all connections."""
        for connection in list(self._connections):
            connection.reset()

    def swallow(self) -> None:
        """Leave all connections half open; new ones are carried as ever."""
        for connection in list(self._connections):
            connection.swallow()

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far = await asyncio.open_connection(*self.target)
        except OSError:
            # Nobody listens there: whoever connected is refused, a moment late.
            near.transport.abort()
            return
        connection = Connection(near, far)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(connection, reader, far, Way.THERE))
                pumps.create_task(self._pump(connection, far_reader, near, Way.BACK))
        except* (OSError, EOFError):
            pass
        finally:
            self._connections.discard(connection)
            connection.end()

    async def _pump(
        self,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Way,
    ) -> None:
        """Carry one way until either side ends, which ends the connection."""
        while True:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            if connection.swallowed:
                if way is Way.BACK:
                    return
                if not data:
                    raise EOFError
                continue
            while way in self.weather.held:
                await self._changed.wait()
            if not data:
                raise EOFError
            await self._carry(connection, data, writer)

    async def _carry(
        self, connection: Connection, data: bytes, writer: asyncio.StreamWriter
    ) -> None:
        weather, dice = self.weather, self._dice
        pause = weather.delay + dice.random() * weather.jitter
        if weather.rate:
            pause += len(data) / weather.rate
        if pause:
            await asyncio.sleep(pause)
        if dice.random() < weather.bent:
            data = bend(data, dice)
            self.damaged += 1
        if dice.random() < weather.cut:
            writer.write(data[: dice.randrange(len(data))])
            self.damaged += 1
            raise EOFError
        writer.write(data)
        self.carried += len(data)
        await writer.drain()


def bend(data: bytes, dice: random.Random) -> bytes:
    """The same bytes with one bit flipped."""
    bent = bytearray(data)
    bent[dice.randrange(len(bent))] ^= 1 << dice.randrange(8)
    return bytes(bent)


class Network:
    """All links of a cluster. Leaving it ends them."""

    def __init__(self, names: Iterable[str], seed: int) -> None:
        """Every two of the nodes are linked both ways, and the clients with each of them."""
        self.names = tuple(names)
        self._loop = asyncio.new_event_loop()
        # Made on the loop's thread, as whatever is used there.
        self._links: dict[Ends, Link] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        every = [Ends(CLIENTS, far) for far in self.names]
        every += [Ends(a, b) for a in self.names for b in self.names if a != b]
        for ends in every:
            self._links[ends] = self._do(partial(Link, ends, random.Random(f"{seed}/{ends}")))

    def __enter__(self) -> "Network":
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all links."""
        for link in self._links.values():
            asyncio.run_coroutine_threadsafe(link.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _each(self, links: Iterable[Ends], do: Callable[[Link], None]) -> None:
        found = [self._links[ends] for ends in links]

        def all_of_them() -> None:
            for link in found:
                do(link)

        self._do(all_of_them)

    def address(self, near: str, far: str) -> str:
        """Where `near` (a node, or CLIENTS) is to connect when it means `far`."""
        return self._links[Ends(near, far)].address

    def lead(self, far: str, clients: tuple[str, int], peers: tuple[str, int]) -> None:
        """Say where a node really listens, and begin to carry."""
        for ends, link in self._links.items():
            if ends.far == far:
                link.target = clients if ends.near == CLIENTS else peers
                asyncio.run_coroutine_threadsafe(link.open(), self._loop).result()

    def links(self, *names: str, near: str | None = None) -> list[Ends]:
        """The links that touch any of these, or only those of them on which `near` connects."""
        return [
            ends
            for ends in self._links
            if (ends.near in names or ends.far in names) and near in (None, ends.near)
        ]

    def become(self, links: Iterable[Ends], weather: Weather) -> None:
        """Change the weather of some links."""
        self._each(links, lambda link: link.become(weather))

    def partition(self, blocked: Iterable[Ends]) -> None:
        """Let nothing get from one to the other, whoever of them connected; for each of these."""
        held: dict[Ends, set[Way]] = {}
        for source, sink in blocked:
            for ends, way in ((Ends(source, sink), Way.THERE), (Ends(sink, source), Way.BACK)):
                if ends in self._links:
                    held.setdefault(ends, set()).add(way)
        for ends, ways in held.items():
            self.become([ends], Weather(held=frozenset(ways)))

    def reset(self, links: Iterable[Ends]) -> None:
        """End all connections over some links."""
        self._each(links, Link.reset)

    def swallow(self, links: Iterable[Ends]) -> None:
        """Leave all connections over some links half open."""
        self._each(links, Link.swallow)

    def storm(self, links: Iterable[Ends], every: float) -> Callable[[], None]:
        """End all connections over some links again and again, until what is returned is called."""
        found = [self._links[ends] for ends in links]

        async def blow() -> None:
            while True:
                for link in found:
                    link.reset()
                await asyncio.sleep(every)

        blowing = asyncio.run_coroutine_threadsafe(blow(), self._loop)

        def end() -> None:
            blowing.cancel()

        return end

    def heal(self) -> None:
        """All links carry what they are given. What is half open stays so."""
        self.become(self._links, FAIR)

    def counts(self) -> Iterator[tuple[Ends, int, int]]:
        """Each link with the bytes it carried and the pieces it damaged."""
        return iter([(ends, one.carried, one.damaged) for ends, one in self._links.items()])
