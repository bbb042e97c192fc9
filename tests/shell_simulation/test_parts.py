"""The machine under the shell: threads in lockstep, a loop turned by Trio, ordered connections."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from shell_simulation.loop import Died, ProcessLoop
from shell_simulation.network import Connection, Network
from shell_simulation.pipe import Pipe
from shell_simulation.threads import Readers, SimCondition, Threads, current
from shell_simulation.world import World
from simulation.world import MS


class Site:
    """A world with one process's loop and threads."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed, clock := MockClock(autojump_threshold=0))
        self.clock = clock
        self.dead = False
        self.raised: list[BaseException] = []
        self.loop = ProcessLoop(self.world, self.note)  # type: ignore[abstract]
        self.threads = Threads(self.world, "n1", lambda: self.dead, self.note)

    def note(self, error: BaseException, where: str) -> None:
        self.raised.append(error)

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.world.drive)
                nursery.start_soon(self.loop.run)
                await main()
                nursery.cancel_scope.cancel()

        trio.run(all_of_it, clock=self.clock)


def order(seed: int) -> list[str]:
    """In which order two threads come forward that do three things each."""
    site, seen = Site(seed), list[str]()

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            for _ in range(3):
                thread = current()
                assert thread is not None
                thread.park(site.world.choices.exponential(name, MS))
                seen.append(name)

        return run

    async def main() -> None:
        site.threads.start(work("a"), "a")
        site.threads.start(work("b"), "b")
        await trio.sleep(1)
        assert not len(site.threads) and not site.raised

    site.run(main)
    return seen


def test_a_seed_decides_which_thread_runs_when() -> None:
    orders = ["".join(order(seed)) for seed in range(12)]
    assert len(set(orders)) > 3
    assert orders == ["".join(order(seed)) for seed in range(12)]


def test_whoever_waits_at_a_condition_is_woken_or_goes_on_in_time() -> None:
    site, woken = Site(), list[int]()
    condition = SimCondition(site.threads)

    def wait() -> None:
        with condition:
            condition.wait()
            woken.append(site.world.now)
            condition.wait(0.25)
            woken.append(site.world.now)

    async def main() -> None:
        site.threads.start(wait, "waits")
        await trio.sleep(1)
        assert not woken
        condition.notify()
        await trio.sleep(1)

    site.run(main)
    assert 1000 * MS <= woken[0] < 1001 * MS
    assert woken[1] == woken[0] + 250 * MS


def test_to_join_a_thread_that_nobody_wakes_is_an_error() -> None:
    site = Site()
    condition = SimCondition(site.threads)

    async def main() -> None:
        thread = site.threads.start(condition.wait, "waits")
        await trio.sleep(1)
        with pytest.raises(Died):
            thread.join()
        site.dead = True
        site.threads.unwind()

    site.run(main)
    assert "waits for ever" in str(site.raised[0])


def test_the_loop_runs_what_asyncio_is_made_of() -> None:
    site, seen = Site(), list[str]()
    readers = Readers(site.threads)

    async def work() -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.5))
            seen.append(await asyncio.get_running_loop().run_in_executor(readers, str, 7))
        try:
            async with asyncio.timeout(2):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("late")
        return "done"

    async def main() -> None:
        task = site.loop.create_task(work())
        await trio.sleep(3)
        assert task.result() == "done" and not site.loop.tasks

    site.run(main)
    assert seen == ["7", "late"] and not site.raised


class Listener:
    """Notes who connects."""

    name = "n2"

    def __init__(self) -> None:
        self.found: list[Connection] = []

    def accept(self, connection: Connection, address: str) -> None:
        self.found.append(connection)


class Caller:
    """Connects."""

    name = "n1"


def test_a_connection_keeps_its_order_also_over_a_cut() -> None:
    site = Site()
    network, listener = Network(site.world), Listener()
    network.listen("n2/peer", listener)
    made: list[Connection] = []
    seen: list[int] = []

    async def main() -> None:
        network.connect(Caller(), "n2/peer", made.append, lambda: seen.append(-1))
        await trio.sleep(1)
        assert made == listener.found
        for number in range(20):
            if number == 10:
                network.cut("n1", "n2")
            made[0].send(1, lambda number=number: seen.append(number))
            await trio.sleep(0.2)
        assert seen == list(range(10))
        network.heal()
        assert seen == list(range(20))
        made[0].close(0)
        await trio.sleep(1)
        assert made[0].sides[1].closed and not network.reset("n1", "n2")

    site.run(main)


class Bytes(asyncio.BufferedProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.buffer = bytearray(100)
        self.pieces: list[bytes] = []
        self.over = False

    def get_buffer(self, _sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, size: int) -> None:
        self.pieces.append(bytes(self.buffer[:size]))

    def connection_lost(self, _error: Exception | None) -> None:
        self.over = True


@pytest.mark.parametrize("whole", [True, False])
def test_bytes_arrive_in_their_order_in_pieces_or_end_in_the_midst(whole: bool) -> None:
    site = Site()
    network, listener, made = Network(site.world), Listener(), list[Connection]()
    network.listen("n2/peer", listener)
    here, there = Bytes(), Bytes()
    said = [bytes([number]) * (number + 1) for number in range(200)]

    def pipe(number: int, protocol: Bytes) -> Pipe:
        return Pipe(made[0], number, site.world, site.loop, protocol, lambda data: data)

    async def main() -> None:
        network.connect(Caller(), "n2/peer", made.append, lambda: None)
        await trio.sleep(1)
        one, _ = pipe(0, here), pipe(1, there)
        for data in said:
            one.write(data)
            await trio.sleep(0.000_01)
        if whole:
            one.close()
            await trio.sleep(1)
        else:
            network.reset("n1", "n2")
        await trio.sleep(1)

    site.run(main)
    came = b"".join(there.pieces)
    assert here.over and there.over and not site.raised
    assert len(there.pieces) > 20 and b"".join(said).startswith(came)
    assert (came == b"".join(said)) == whole


def test_nobody_listens_there() -> None:
    site = Site()
    network, refused = Network(site.world), list[bool]()

    async def main() -> None:
        network.connect(Caller(), "n2/peer", lambda made: None, lambda: refused.append(True))
        await trio.sleep(1)

    site.run(main)
    assert refused == [True]
