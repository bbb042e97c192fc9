"""Connections between simulated processes: ordered while they last, as TCP's are.

What is sent arrives later; where a way is cut, it waits until the cut has healed or the connection
has ended. A connection ends for both sides, but not in the same moment.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from shell_simulation.world import World
from simulation.world import MS, SECOND, US

LATENCY_MEAN = 150 * US
LATENCY_LEAST = 30 * US
SLOW_PPM = 20_000
SLOW_MEAN = 20 * MS
DEAF_AFTER = 5 * SECOND
"""When a system gives up a connection whose other side takes nothing."""


class End(Protocol):
    """Who has connections."""

    name: str


class Server(End, Protocol):
    """Who accepts them."""

    def accept(self, connection: "Connection", address: str) -> None:
        """Somebody connected to this address of ours."""


class Side:
    """One end of a connection: what it does with what arrives, and with its end."""

    def __init__(self, owner: End) -> None:
        self.owner = owner
        self.closed = False
        self.ended: Callable[[], object] = lambda: None
        self.stream: Any = None
        """What serves the calls of the other side."""
        self.held: deque[Callable[[], object]] = deque()
        """What waits to be taken by this side."""
        self.paused = False
        self.busy_until = 0


class Connection:
    """Two sides; 0 is who connected."""

    def __init__(self, network: "Network", number: int, caller: End, listener: End) -> None:
        """Use `Network.connect`."""
        self.number = number
        self.sides = (Side(caller), Side(listener))
        self._network = network
        self._world = network.world

    def ways(self) -> tuple[str, str]:
        """The names of both ends."""
        return self.sides[0].owner.name, self.sides[1].owner.name

    # -- what is under way

    def send(self, to: int, arrive: Callable[[], object]) -> None:
        """Have `arrive()` happen on the other side, after all that was sent there before."""
        if self.sides[1 - to].closed:
            return
        side = self.sides[to]
        delay = self._network.delay(self.sides[1 - to].owner.name, side.owner.name)
        side.busy_until = max(side.busy_until, self._world.now + delay)
        self._world.after(side.busy_until - self._world.now, self._arrive, to, arrive)

    def _arrive(self, to: int, arrive: Callable[[], object]) -> None:
        side = self.sides[to]
        if side.closed:
            return
        if side.held or side.paused or self._cut(to):
            side.held.append(arrive)
        else:
            arrive()

    def _cut(self, to: int) -> bool:
        return self._network.is_cut(self.sides[1 - to].owner.name, self.sides[to].owner.name)

    def flush(self, to: int) -> None:
        """Hand over what was held, if nothing stands in the way any more."""
        side = self.sides[to]
        while side.held and not side.closed and not side.paused and not self._cut(to):
            side.held.popleft()()

    def pause(self, to: int) -> None:
        """This side takes nothing for now."""
        self.sides[to].paused = True

    def resume(self, to: int) -> None:
        """This side takes again."""
        if self.sides[to].paused:
            self.sides[to].paused = False
            self._world.after(0, self.flush, to)

    # -- the end

    def close(self, by: int) -> None:
        """End it; the other side hears of it after all that was sent to it."""
        side = self.sides[by]
        if side.closed:
            return
        self.send(1 - by, lambda: self._gone(1 - by))
        if self._cut(1 - by):
            self._world.after(DEAF_AFTER, self._gone, 1 - by)
        self._gone(by)

    def reset(self) -> None:
        """End it for both sides at once; what was under way is lost."""
        for number in (0, 1):
            self._gone(number)

    def silence(self, by: int) -> None:
        """The machine of this side is gone without a word; the other one finds out later."""
        self._gone(by)
        self._world.after(DEAF_AFTER, self._gone, 1 - by)

    def _gone(self, number: int) -> None:
        side = self.sides[number]
        if not side.closed:
            side.closed = True
            side.held.clear()
            self._network.forget(self)
            side.ended()


class Network:
    """Who listens where, which connections there are, and which ways are cut."""

    def __init__(self, world: World) -> None:
        """Nobody listens."""
        self.world = world
        self._listening: dict[str, Server] = {}
        self._connections: dict[int, Connection] = {}
        self._count = 0
        self._cuts: dict[tuple[str, str], None] = {}
        self.slow = 1
        """How many times slower than usual everything is."""

    # -- faults

    def cut(self, source: str, target: str) -> None:
        """Nothing comes through this way."""
        self._cuts[source, target] = None

    def heal(self) -> None:
        """All ways are open."""
        self._cuts.clear()
        for connection in list(self._connections.values()):
            connection.flush(0)
            connection.flush(1)

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing comes through."""
        return bool(self._cuts) and (source, target) in self._cuts

    def reset(self, one: str, other: str) -> int:
        """End all connections between two; how many there were."""
        found = [c for c in self._connections.values() if {one, other} == set(c.ways())]
        for connection in found:
            connection.reset()
        return len(found)

    def delay(self, source: str, target: str) -> int:
        """How long something takes this way."""
        choices, label = self.world.choices, f"net.{source}-{target}"
        slow = choices.chance(label, SLOW_PPM * self.slow)
        return LATENCY_LEAST + choices.exponential(label, SLOW_MEAN if slow else LATENCY_MEAN)

    # -- connecting

    def listen(self, address: str, server: Server) -> None:
        """Accept connections there."""
        self._listening[address] = server

    def leave(self, end: End, *, silently: bool) -> None:
        """A process ends: nobody listens there, and its connections end."""
        for address in [a for a, server in self._listening.items() if server is end]:
            del self._listening[address]
        for connection in list(self._connections.values()):
            for number in (0, 1):
                if connection.sides[number].owner is end:
                    connection.silence(number) if silently else connection.close(number)

    def connect(
        self,
        caller: End,
        address: str,
        made: Callable[[Connection], None],
        refused: Callable[[], object],
    ) -> None:
        """Connect. Where the way is cut neither is ever called."""
        host = address.partition("/")[0]
        delay = self.delay(caller.name, host)
        self.world.after(delay, self._knock, caller, address, made, refused)

    def _knock(
        self,
        caller: End,
        address: str,
        made: Callable[[Connection], None],
        refused: Callable[[], object],
    ) -> None:
        host = address.partition("/")[0]
        if self.is_cut(caller.name, host) or self.is_cut(host, caller.name):
            return
        server = self._listening.get(address)
        back = self.delay(host, caller.name)
        if server is None:
            self.world.after(back, refused)
            return
        self._count += 1
        connection = Connection(self, self._count, caller, server)
        self._connections[connection.number] = connection
        server.accept(connection, address)
        self.world.after(back, made, connection)

    def forget(self, connection: Connection) -> None:
        """Both sides know that it is over."""
        if all(side.closed for side in connection.sides):
            self._connections.pop(connection.number, None)
