"""The nodes of a cluster in memory, the network between them, and their time."""

import heapq
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from veritydb.client.given import check_number, check_type
from veritydb.policy.placement import Directory
from veritydb.testing.replica import Group, Replica
from veritydb.types.errors import Closed, InvalidInput
from veritydb.types.ids import GroupId
from veritydb.types.labels import Region
from veritydb.types.limits import MS_NS, SECOND_NS
from veritydb.vsr.events import Tick

REPLICAS = (1, 3, 5)
TICK = 10 * MS_NS
DELAY = MS_NS // 10
"""How long a message is under way. The same for all, so that nothing is left to chance."""
ADVANCE_MAX = timedelta(days=365 * 100)
SETTLE_SECONDS = 2
"""The nodes ask each other for the time twice a second, and act on it once they agree."""
NO_TIME = "the time a cluster starts at is a datetime with a time zone"
RUN_SECONDS_MAX = 3_600


class _Due(NamedTuple):
    at: int
    number: int
    call: Callable[[], None]


class World:
    """Machines that can be cut off and crashed, and clocks that can be set forward."""

    def __init__(self, replicas: int, regions: Iterable[str], start: datetime) -> None:
        """Start all nodes. Raises InvalidInput for what no cluster can be."""
        if replicas not in REPLICAS or isinstance(replicas, bool):
            raise InvalidInput("a cluster in memory has 1, 3 or 5 replicas")
        check_type(start, datetime, NO_TIME)
        if start.tzinfo is None:
            raise InvalidInput(NO_TIME)
        try:
            named = [(number, Region(name).name) for number, name in enumerate(regions, 1)]
            self.directory = Directory(((0, ""), *named))
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        self.replicas = replicas
        self._now = SECOND_NS
        self._wall_ahead = int(start.timestamp()) * SECOND_NS - self._now
        self._due: list[_Due] = []
        self._numbers = 0
        self._flying = 0
        self._cut: set[tuple[int, int]] = set()
        self._closed = False
        self._nodes = [
            {
                number: Replica(
                    Group(GroupId(number), region, replicas, self.directory), index, self._send
                )
                for number, region in self.directory.groups
            }
            for index in range(replicas)
        ]
        for index in range(replicas):
            self.start(index)
            self._tick(index)

    def close(self) -> None:
        """Let go of everything. May be called again."""
        self._closed = True
        self._due.clear()
        self._nodes = []

    # -- time

    @property
    def now(self) -> datetime:
        """What the nodes' clocks say."""
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.wall // 1_000)

    @property
    def wall(self) -> int:
        """The same in ns since 1970."""
        return self._now + self._wall_ahead

    def advance(self, by: timedelta) -> None:
        """Set the clocks of all nodes forward, and let what then is due happen.

        Costs the same for a second and for years: no time passes for timeouts between the nodes.
        Raises InvalidInput unless `by` is from 0 to 100 years.
        """
        check_type(by, timedelta, "the clocks are set forward by a timedelta")
        if not timedelta(0) <= by <= ADVANCE_MAX:
            raise InvalidInput("the clocks can be set forward by 0 to 100 years")
        # A message under way would carry the old time, and its receiver take that for an offset.
        self._wait(lambda: self._flying == 0, SECOND_NS)
        self._wall_ahead += (by // timedelta(microseconds=1)) * 1_000
        for index in range(self.replicas):
            self._tick_replicas(index)
        self.run(SETTLE_SECONDS)

    def run(self, seconds: float) -> None:
        """Let simulated time pass, timers and all: 0 to 3,600 seconds. Raises InvalidInput."""
        check_type(seconds, (int, float), "time passes in seconds")
        if not 0 <= seconds <= RUN_SECONDS_MAX:
            raise InvalidInput(f"time passes by 0 to {RUN_SECONDS_MAX} seconds")
        self._wait(lambda: False, int(seconds * SECOND_NS))

    def _wait(self, condition: Callable[[], bool], at_most: int) -> bool:
        """Let things happen until something is so. Returns whether it is."""
        self._check()
        until = self._now + at_most
        while not condition():
            if not self._due or self._due[0].at > until:
                self._now = until
                return condition()
            due = heapq.heappop(self._due)
            self._now = due.at
            due.call()
        return True

    def _after(self, delay: int, call: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._due, _Due(self._now + delay, self._numbers, call))

    def _tick(self, index: int) -> None:
        self._after(TICK, lambda: self._tick(index))
        self._tick_replicas(index)

    def _tick_replicas(self, index: int) -> None:
        for replica in self._nodes[index].values():
            if replica.up:
                replica.step(Tick(self._now, self.wall))

    # -- the network

    def _send(self, group: int, source: int, target: int, data: bytes) -> None:
        if (source, target) in self._cut:
            return
        self._flying += 1

        def arrive() -> None:
            self._flying -= 1
            replica = self._nodes[target][group]
            if replica.up and (source, target) not in self._cut:
                replica.receive(data)

        self._after(DELAY, arrive)

    def isolate(self, node: int) -> None:
        """Cut a node off from all others until `heal`."""
        self._check_node(node)
        for other in range(self.replicas):
            self._cut |= {(node, other), (other, node)}

    def heal(self) -> None:
        """Let every node reach every other again."""
        self._cut.clear()

    # -- processes

    def crash(self, node: int) -> None:
        """Take away a node's power: what it had not synced is lost. Harmless if it is down."""
        self._check_node(node)
        for replica in self._nodes[node].values():
            if replica.up:
                replica.crash()

    def start(self, node: int) -> None:
        """Start a node again from what its disk holds. Harmless if it runs."""
        self._check_node(node)
        for replica in self._nodes[node].values():
            if not replica.up:
                replica.start()

    def _check(self) -> None:
        if self._closed:
            raise Closed("the cluster was closed")

    def _check_node(self, node: int) -> None:
        self._check()
        check_number(node, "a node", high=self.replicas - 1)
