"""What the shell must do in a given situation, played on the simulated machine."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio
from trio.testing import MockClock

from shell_simulation.client import Client
from shell_simulation.plan import make
from shell_simulation.run import Deterministic, Run
from simulation.world import MS

SEED = 1
Script = Callable[["Scene", Client], Awaitable[None]]


class Scene(Run):
    """A run in which one client does as a script says."""

    script: Script

    async def _clients(self) -> None:
        client = Client(1, self.world, self.network, self.shared)
        await client.create()
        for _ in range(5):
            await client.append("batch")
        await self.script(self, client)


def play(script: Script) -> Scene:
    """Play a script to its end; nothing may be wrong then."""
    plan = msgspec.structs.replace(make(SEED), faults=(), bursts=False, skew=0)
    clock = MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(plan, clock, Path(folder))
        scene.script = script
        with Deterministic(SEED):
            trio.run(scene.main, clock=clock)
    assert scene.world.failure is None
    return scene


def test_a_disk_that_cannot_be_read_ends_the_process_that_reads_for_a_client() -> None:
    async def script(scene: Scene, client: Client) -> None:
        before = dict(scene.cluster.processes)
        for name, process in before.items():
            scene.cluster.homes[name].misreads = 1
            while not process.dead:
                await client.read()
        # Each was started again, and goes on.
        await client.append("batch")

    scene = play(script)
    assert scene.world.counts["fatal"] == 3
    assert "log.handler.failed" not in scene.world.counts


def test_a_primary_that_is_stopped_hands_over_before_it_ends() -> None:
    """What it says while it drains has to reach the others: they would have to find out instead."""
    took: list[int] = []

    async def script(scene: Scene, client: Client) -> None:
        leader = scene.cluster.processes[scene.cluster.leader() or ""]
        leader.stop()
        before = scene.world.now
        while scene.cluster.leader() is None:  # noqa: ASYNC110
            await trio.sleep(0.001)
        took.append(scene.world.now - before)
        await client.append("batch")

    play(script)
    assert took[0] < 50 * MS
