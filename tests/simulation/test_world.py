"""Time, and what a run leaves behind of itself."""

from simulation.choices import Choices
from simulation.clocks import EPOCH, TICK, Clock
from simulation.world import SECOND, World


def test_things_happen_in_order_of_time_and_then_of_asking() -> None:
    world = World(Choices(1))
    seen: list[str] = []
    world.after(20, seen.append, "late")
    world.after(10, seen.append, "first")
    world.after(10, seen.append, "second")
    assert not world.run(15)
    assert seen == ["first", "second"] and world.now == 15
    world.run(30)
    assert seen[-1] == "late" and world.events == 3


def test_running_stops_where_it_is_enough() -> None:
    world = World(Choices(1))
    for at in range(5):
        world.after(at, world.count, "ticks")
    assert world.run(100, lambda: world.counts.get("ticks") == 3)
    assert world.pending == 2


def test_the_trace_tells_runs_apart() -> None:
    def trace(detail: str) -> str:
        world = World(Choices(1))
        world.note("node", (), "did", detail)
        return world.trace

    assert trace("this") == trace("this") != trace("that")


def test_clocks_lie_as_they_are_told() -> None:
    world = World(Choices(1))
    clock = Clock(world, rate_ppm=1_500_000, offset=-5, drift_ppm=100_000)
    world.run(SECOND)
    assert clock.mono() == 1_500_000_000
    assert clock.wall() == EPOCH + 1_100_000_000 - 5
    assert clock.tick_delay == TICK * 2 // 3
    clock.freeze()
    frozen = clock.wall()
    world.run(2 * SECOND)
    assert clock.wall() == frozen
    clock.correct()
    assert clock.wall() == EPOCH + 2 * SECOND
    clock.jump(-3 * SECOND)
    assert clock.wall() == EPOCH - SECOND
    assert clock.highest == EPOCH + 2 * SECOND
