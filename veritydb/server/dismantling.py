"""Letting go of a state whose place a peer's snapshot took.

Freed at once, a million streams hold the loop up for more than a second. So they are taken out one
by one, in slices between other work.
"""

import asyncio
from collections.abc import Iterator

from veritydb.server.machine import Machine
from veritydb.server.pauses import Pauses
from veritydb.server.slices import Slices
from veritydb.streams.state import Streams, name_key
from veritydb.types.ids import stream_id

AT_A_TIME = 100
END = object()


def dismantle(
    streams: Streams, loop: asyncio.AbstractEventLoop, machine: Machine, pauses: Pauses
) -> None:
    """Let go of a state. Whoever else holds it must have done so before the first slice."""
    going = steps(streams)
    next(going)
    Slices(lambda: next(going, END) is not END, loop, machine, pauses.snapshot).go_on()


def steps(streams: Streams) -> Iterator[None]:
    """Take a state apart, some streams at a time. The first step only loosens it."""
    group, created, known = streams.group, streams.created, len(streams.origins)
    # To change a copy frees, node by node, what only the original held.
    records, names = streams.records.mutate(), streams.names.mutate()
    origins, numbers = streams.origins.mutate(), streams.origin_numbers.mutate()
    del streams
    yield
    for counter in range(1, created + 1):
        info = records.pop(stream_id(group, counter)).info
        names.pop(name_key(info.tenant, info.name))
        if counter % AT_A_TIME == 0:
            yield
    for number in range(known):
        numbers.pop(origins.pop(number).key)
        if number % AT_A_TIME == 0:
            yield
