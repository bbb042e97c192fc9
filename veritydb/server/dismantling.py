"""Letting go of a state whose place a peer's snapshot took.

Freed at once, a million streams hold the loop up for more than a second. So they are taken out one
by one, in slices between other work.
"""

import asyncio
from collections.abc import Iterator

from veritydb.server.machine import Machine
from veritydb.server.pauses import Pauses
from veritydb.streams.state import Streams, name_key
from veritydb.types.ids import stream_id

SLICE_NS = 2_000_000
REST_SECONDS = 0.005
AT_A_TIME = 100


class Dismantling:
    """One state. Whoever else holds it must let go of it before the first slice."""

    def __init__(
        self,
        streams: Streams,
        loop: asyncio.AbstractEventLoop,
        machine: Machine,
        pauses: Pauses,
    ) -> None:
        """Begin soon."""
        self._loop = loop
        self._now = machine.monotonic_ns
        self._pauses = pauses
        self._steps = steps(streams)
        # What holds all of it is gone with this step, and with whoever called.
        next(self._steps)
        loop.call_soon(self._slice)

    def _slice(self) -> None:
        began = self._now()
        for _ in self._steps:
            if self._now() - began > SLICE_NS:
                self._loop.call_later(REST_SECONDS, self._slice)
                break
        self._pauses.snapshot.add(self._now() - began)


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
