"""One seed: three servers, their clients, what goes wrong, and the verdict."""

import tempfile
from pathlib import Path
from traceback import format_exc
from typing import NamedTuple

import trio
from trio._core import _run as trio_run
from trio.testing import MockClock

from shell_simulation.burst import Burst
from shell_simulation.client import GROUP, Client, Shared
from shell_simulation.cluster import NODES, Cluster, config
from shell_simulation.judge import judge
from shell_simulation.nemesis import Nemesis
from shell_simulation.network import Network
from shell_simulation.plan import Plan, make
from shell_simulation.watch import look
from shell_simulation.world import World
from simulation.world import SECOND, Failure

SAFETY_SECONDS = 60
CONVERGE_SECONDS = 30
END_SECONDS = 30
ANSWERS_FLOOR = 0.5


class Result(NamedTuple):
    """What became of a run. `failure` is (checker, what) or None; `empty` says what was missing."""

    seed: int
    failure: tuple[str, str] | None
    empty: str
    trace: str
    time: int
    counts: dict[str, int]
    timeline: list[str]


class Run:
    """Everything of one run."""

    def __init__(self, plan: Plan, clock: MockClock, folder: Path) -> None:
        self.plan = plan
        self.world = World(plan.seed, clock)
        self.network = Network(self.world)
        self.cluster = Cluster(self.world, self.network, folder, plan.skew)
        nodes = config().nodes
        self.shared = Shared(self.world, NODES, {node.client: node.name for node in nodes})
        self.shared.left = plan.requests

    async def main(self) -> None:
        """Run all phases. Raises Failure, or notes it in `world.failure`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.world.drive)
            with trio.CancelScope() as scope:
                nursery.start_soon(self._until_over, scope)
                await self._phases(nursery)
            self.cluster.ending = True
            for process in self.cluster.processes.values():
                process.die()
                await process.ended.wait()
            nursery.cancel_scope.cancel()

    async def _until_over(self, scope: trio.CancelScope) -> None:
        await self.world.over.wait()
        scope.cancel()

    async def _phases(self, nursery: trio.Nursery) -> None:
        cluster = self.cluster
        for name in NODES:
            nursery.start_soon(cluster.keep, name)
        nursery.start_soon(look, self.world, cluster)
        nemesis = Nemesis(cluster, self.plan)
        async with trio.open_nursery() as faults:
            faults.start_soon(nemesis.work)
            with trio.move_on_after(SAFETY_SECONDS):
                await self._clients()
            faults.cancel_scope.cancel()
        nemesis.calm()
        committed = await self._converge()
        await self._end()
        part = config().group(GROUP.number).name
        judge([cluster.homes[name].disks[part] for name in NODES], committed, self.shared.history)
        self.world.count("ops", committed)

    async def _clients(self) -> None:
        async with trio.open_nursery() as clients:
            for number in range(1, self.plan.clients + 1):
                client = Client(number, self.world, self.network, self.shared)
                clients.start_soon(client.work)
            if self.plan.bursts:
                burst = Burst(0, self.world, self.network, self.shared)
                clients.start_soon(burst.overload, self.cluster, bool(self.plan.faults))

    def empty(self) -> str:
        """Say what was missing for this run to count, or nothing."""
        counts = self.world.counts
        answers = counts.get("client.answers", 0) + counts.get("client.reads", 0)
        if answers < self.plan.requests * ANSWERS_FLOOR:
            return f"{answers} answers to {self.plan.requests} requests"
        if self.plan.faults and not any(name.startswith("fault.") for name in counts):
            return "no fault struck"
        return ""

    async def _converge(self) -> int:
        end = self.world.now + CONVERGE_SECONDS * SECOND
        while self.world.now < end:
            committed = self.cluster.converged()
            if committed is not None:
                return committed
            await trio.sleep(0.05)
        raise Failure("liveness", "the replicas do not become alike")

    async def _end(self) -> None:
        """Stop all nodes in order."""
        self.cluster.ending = True
        for process in self.cluster.processes.values():
            process.stop()
        with trio.move_on_after(END_SECONDS) as scope:
            for process in self.cluster.processes.values():
                await process.ended.wait()
        if scope.cancelled_caught:
            raise Failure("shutdown", f"a node does not end within {END_SECONDS} s")


def simulate(seed: int, plan: Plan | None = None) -> Result:
    """Run one seed, or a plan of it that was changed by hand, and say what became of it."""
    plan = plan or make(seed)
    clock = MockClock(autojump_threshold=0)
    failure: tuple[str, str] | None = None
    with tempfile.TemporaryDirectory(prefix="shell-sim-") as folder:
        run = Run(plan, clock, Path(folder))
        try:
            with Deterministic(seed):
                trio.run(run.main, clock=clock)
        except BaseException as error:
            failure = first_of(error)
    if run.world.failure is not None:
        failure = (run.world.failure.checker, run.world.failure.what)
    return Result(
        seed=seed,
        failure=failure,
        empty="" if failure else run.empty(),
        trace=run.world.trace,
        time=run.world.now,
        counts=dict(sorted(run.world.counts.items())),
        timeline=list(run.world.timeline) if failure else [],
    )


def first_of(error: BaseException) -> tuple[str, str]:
    """What to say of an error that ended a run."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, Failure):
        return error.checker, error.what
    return f"raised-{type(error).__name__}", format_exc()


class Deterministic:
    """Makes Trio's scheduler follow a seed. Trio offers this to its own testing tools."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._before = False

    def __enter__(self) -> None:
        self._before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        self._set(True)
        trio_run._r.seed(f"{self._seed}/trio")

    def __exit__(self, *_: object) -> None:
        self._set(self._before)

    def _set(self, value: bool) -> None:
        setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", value)  # noqa: B010
