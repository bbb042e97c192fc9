"""What must hold of the servers at every moment; looked at now and then while they run."""

from itertools import islice

import trio

from shell_simulation.cluster import Cluster
from shell_simulation.process import Process
from shell_simulation.world import World
from veritydb.server.shares import FREE_ENTRIES

EVERY_SECONDS = 0.02
# Calls are kept in the order in which they came: of many, the first ones tell.
FIRST = 32
# Calls that have just arrived have not been counted by the server yet.
JUST_ARRIVED = 512


async def look(world: World, cluster: Cluster) -> None:
    """Look at every process, for ever."""
    while True:
        await trio.sleep(EVERY_SECONDS)
        for process in cluster.up():
            answers_in_time(world, process)
            bounds_hold(world, process)


def answers_in_time(world: World, process: Process) -> None:
    """Every call is answered within the time that it was given."""
    rested = process.loop.stalled_until
    for stream in process.streams.values():
        for call in islice(stream.calls.values(), FIRST):
            waited = world.now - max(call.came, rested)
            if waited > call.patience:
                world.fail("unanswered", f"{process.name} owes an answer for {waited} ns")


def bounds_hold(world: World, process: Process) -> None:
    """No more wait for a node than may."""
    calls = sum(len(stream.calls) for stream in process.streams.values())
    if calls > FREE_ENTRIES + JUST_ARRIVED:
        world.fail("overload", f"{process.name} lets {calls} calls wait")
