"""What an append costs, in counts that do not depend on how fast or how busy the machine is.

Each bound stands a little above what is needed today. Whoever has to raise one says why; whoever
makes something cheaper lowers it.
"""

import asyncio
from pathlib import Path

import pytest

from tests.performance.counting import CountedMachine, Tally
from tests.performance.household import NAMES, keep_house
from veritydb.aio import AsyncClient
from veritydb.server.node_server import NodeServer
from veritydb.types.event import Event
from veritydb.types.labels import DataClass, Region

NODES = len(NAMES)
WARM = 10
# A client may have begun to hear of an op whose last writes fall behind the end of the counting.
SLACK = 1.05


class Cost:
    """What one op costs the three nodes and their client together, and what it carries."""

    def __init__(
        self, path: Path, *, batch: int, lanes: int, rounds: int, streams: int = 1
    ) -> None:
        """Have each lane append `rounds` batches one after the other; they share the streams."""
        self._events = [Event("T", bytes(256)) for _ in range(batch)]
        self._lanes, self._rounds, self._streams = lanes, rounds, streams
        with Tally() as self._tally:
            keep_house(path, CountedMachine(self._tally), self._use)

    async def _use(self, db: AsyncClient, servers: list[NodeServer]) -> None:
        streams = [
            await db.create_stream(
                f"notes-{n}", tenant=1, data_class=DataClass.PHI, placement=Region("au-syd")
            )
            for n in range(self._streams)
        ]

        async def lane(number: int, count: int) -> None:
            for _ in range(count):
                await streams[number % self._streams].append(self._events)

        async def lanes(count: int) -> None:
            await asyncio.gather(*(lane(number, count) for number in range(self._lanes)))

        def applied() -> int:
            return max(one.group.node.applied for s in servers for one in s.hosted.values())

        await lanes(WARM)
        before = applied()
        counts = await self._tally.of(lambda: lanes(self._rounds))
        ops = applied() - before
        self.requests = self._lanes * self._rounds / ops
        self.events = self.requests * len(self._events)
        self.of = {what: count / ops for what, count in counts.items()}


def test_an_append_by_itself(tmp_path: Path) -> None:
    cost = Cost(tmp_path, batch=1, lanes=1, rounds=40)
    assert cost.of["syncs"] <= 2 * NODES * SLACK, "frame and record, each on each node"
    assert cost.of["bytes"] / NODES <= 1_400
    assert cost.of["python"] <= 1_400
    assert cost.of["poll"] <= 20, "passes of the loop, those in which nobody waits included"
    assert cost.of["send"] <= 8
    assert cost.of["system"] <= 50


@pytest.mark.parametrize(
    ("batch", "python", "system", "stored"), [(100, 15.2, 0.7, 287), (1_000, 1.57, 0.075, 279)]
)
def test_an_event_of_a_batch(
    tmp_path: Path, batch: int, python: float, system: float, stored: int
) -> None:
    cost = Cost(tmp_path, batch=batch, lanes=1, rounds=20)
    assert cost.of["syncs"] <= 2 * NODES * SLACK
    assert cost.of["bytes"] / NODES / cost.events <= stored
    assert cost.of["python"] / cost.events <= python
    assert cost.of["system"] / cost.events <= system


def test_appends_to_one_stream_travel_together(tmp_path: Path) -> None:
    cost = Cost(tmp_path, batch=1, lanes=64, rounds=10)
    assert cost.requests >= 32
    assert cost.of["syncs"] <= 2 * NODES * SLACK
    assert cost.of["python"] / cost.events <= 58
    assert cost.of["system"] <= 70


def test_appends_to_many_streams_share_an_op(tmp_path: Path) -> None:
    cost = Cost(tmp_path, batch=1, lanes=64, rounds=10, streams=64)
    assert cost.requests >= 16
    assert cost.of["syncs"] <= 2 * NODES * SLACK
    assert cost.of["python"] / cost.requests <= 400


def test_batches_of_many_clients_share_an_op(tmp_path: Path) -> None:
    cost = Cost(tmp_path, batch=100, lanes=8, rounds=20, streams=8)
    assert cost.requests >= 3
    assert cost.of["syncs"] <= 2 * NODES * SLACK
    assert cost.of["python"] / cost.requests <= 650
    assert cost.of["system"] / cost.requests <= 17
