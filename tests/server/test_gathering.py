"""Which requests share an op. Time is a number here; nothing waits."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.node.lone import Site
from veritydb.node.effects import WriteFrames
from veritydb.server.gathering import PATIENCE_MAX_NS, SKIPPED_MAX, Gathering
from veritydb.server.group import WORTH_AN_OP_BYTES, Group
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.ids import ClientId
from veritydb.types.limits import MS_NS, SECOND_NS
from veritydb.vsr.events import FramesWritten

TOOK = 2 * MS_NS


def op_of(gathering: Gathering, calls: int, now: int = SECOND_NS) -> int:
    """Let an op with so many calls end, all answered; return when."""
    gathering.calls = calls
    gathering.most = max(gathering.most, calls)
    gathering.proposed(now)
    gathering.calls = 0
    gathering.ended(now + TOOK)
    return now + TOOK


def test_those_who_were_answered_are_waited_for_as_long_as_their_op_took() -> None:
    gathering = Gathering()
    ended = op_of(gathering, 8)
    assert gathering.wait_ns(1, ended) == TOOK
    assert gathering.wait_ns(7, ended + TOOK - 1) == 1
    assert gathering.wait_ns(8, ended + 1) == 0
    assert gathering.wait_ns(1, ended + TOOK) == 0, "after a silence nobody is waited for"


def test_who_is_alone_waits_for_nobody() -> None:
    gathering = Gathering()
    assert gathering.wait_ns(1, SECOND_NS) == 0
    ended = op_of(gathering, 1)
    gathering.most = 1
    assert gathering.wait_ns(1, ended) == 0


def test_a_slow_disk_makes_nobody_wait_long() -> None:
    gathering = Gathering()
    gathering.most = gathering.calls = 2
    gathering.proposed(0)
    gathering.ended(SECOND_NS)
    assert gathering.wait_ns(1, SECOND_NS) == PATIENCE_MAX_NS


def test_waits_in_vain_become_rare_until_one_is_not() -> None:
    gathering = Gathering()
    skipped = []
    for _ in range(8):
        gathering.in_vain()
        ended = op_of(gathering, 2)
        count = 0
        while not gathering.wait_ns(1, ended):
            count += 1
        skipped.append(count)
    assert skipped == [1, 3, 7, 15, 31, 31, 31, 31] and skipped[-1] == SKIPPED_MAX
    assert gathering.wait_ns(2, ended) == 0
    gathering.in_vain()
    assert [gathering.wait_ns(1, ended) for _ in range(2)] == [0, TOOK]


class Clock(Machine):
    """A machine on which time is the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.now = SECOND_NS
        self.monotonic_ns = lambda: self.now


class Held:
    """A world whose disk finishes what it was asked to write when the test says so."""

    def __init__(self) -> None:
        self.frames: list[Any] = []

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None

    def writable(self) -> bool:
        return True

    def at_once(self, work: Callable[[], None]) -> None:
        work()

    def write(self, effect: Any) -> None:
        if isinstance(effect, WriteFrames):
            self.frames += effect.frames


class Served:
    """A group of one, and clients of it that open a session each: any entry will do."""

    def __init__(self) -> None:
        self.clock, self.world = Clock(), Held()
        self.group = Group(1, Site().node, self.world, Log("error"), self.clock)
        self.asked = 0

    async def ask(self, count: int, size: int = 0) -> None:
        """So many more come, in one pass of the loop."""
        for _ in range(count):
            self.asked += 1
            client = ClientId(self.asked.to_bytes(16, "big"))
            entry = with_body(EntryHeader(kind=Kind.REGISTER, client=client), bytes(size))
            self.last = asyncio.ensure_future(self.group.submit(entry, 60_000))
        await self.passes()

    async def passes(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    async def written(self) -> None:
        """The disk has written all that it was asked to, which took a while."""
        self.clock.now += TOOK
        last = self.world.frames[-1].header
        self.group.post(FramesWritten(last.op, last.hash))
        await self.passes()

    @property
    def ops(self) -> list[int]:
        """How many entries each op so far holds."""
        return [frame.header.entry_count for frame in self.world.frames]


def test_two_halves_that_took_turns_find_together() -> None:
    async def main() -> list[int]:
        served = Served()
        await served.ask(3)
        await served.ask(5)
        assert served.ops == [3], "an op is on its way"
        await served.written()
        assert served.ops == [3], "three were answered, and may come back"
        await served.ask(2)
        assert served.ops == [3]
        await served.ask(1)
        await served.written()
        await served.ask(1)
        await served.ask(7)
        return served.ops

    assert asyncio.run(main()) == [3, 8, 8]


def test_nobody_waits_for_ever() -> None:
    async def main() -> list[int]:
        served = Served()
        await served.ask(3)
        await served.ask(5)
        await served.written()
        timer = served.group._timer
        assert timer is not None and served.ops == [3]
        # What the loop calls when the time is up.
        timer._run()
        assert served.ops == [3, 5]
        await served.written()
        await served.ask(1)
        return served.ops

    assert asyncio.run(main()) == [3, 5, 1]


def test_what_is_large_waits_for_nobody() -> None:
    async def main() -> list[int]:
        served = Served()
        await served.ask(3)
        await served.ask(1, WORTH_AN_OP_BYTES)
        assert served.ops == [3]
        await served.written()
        return served.ops

    assert asyncio.run(main()) == [3, 1]


def test_what_waits_when_the_node_stops_is_refused() -> None:
    async def main() -> None:
        served = Served()
        await served.ask(2)
        await served.ask(2)
        await served.written()
        assert served.group._timer is not None
        served.group.stop()
        await served.passes()
        assert served.last.exception() is not None and served.group._timer.cancelled()

    asyncio.run(main())
