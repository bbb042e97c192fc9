"""Somebody who asks for far more than may wait, over several connections, of a slow primary."""

from collections.abc import Callable
from typing import Any

import trio

from shell_simulation.client import GROUP, Client
from shell_simulation.cluster import Cluster
from shell_simulation.history import Request, Told
from shell_simulation.line import STREAMS, Line, Lost
from shell_simulation.rpc import new_params
from simulation.workload import TENANT, Draft, ids
from simulation.world import MS
from veritydb.types import entry as entries
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.event import Event
from veritydb.types.limits import PENDING_ENTRIES_MAX
from veritydb.types.outcome import Code
from veritydb.wire.batch import encode_batch

# Over two connections they are held back, over three refused.
MANY = (2, 3)
REQUESTS = PENDING_ENTRIES_MAX * 5 // 8
SLOW = 100
SLOW_SECONDS = 0.4
TIMEOUT_MS = 5_000
PATIENCE_SECONDS = 20.0


class Burst(Client):
    """A client that does one thing, all at once."""

    async def overload(self, cluster: Cluster, faults: bool) -> None:
        """Once there is a primary, ask it for too much while its disk is slow.

        In a run without `faults` all of it has to be answered.
        """
        while cluster.leader() is None or not self._shared.workload.streams.get(GROUP.number):
            await self.think(50 * MS)
        node = cluster.leader()
        assert node is not None
        try:
            lines = [await self._connect(node) for _ in range(self._choices.pick("burst", MANY))]
        except Lost:
            return
        self._world.note(self.name, "burst", node)
        self._world.count("bursts")
        home = cluster.homes[node]
        home.slow = SLOW
        answered = [trio.Event() for _ in range(REQUESTS)]
        for at, event in enumerate(answered):
            self._ask(lines[at % len(lines)], event)
        await trio.sleep(SLOW_SECONDS)
        home.slow = 1
        with trio.move_on_after(PATIENCE_SECONDS) as scope:
            for event in answered:
                await event.wait()
        if scope.cancelled_caught and not faults:
            left = sum(not event.is_set() for event in answered)
            self._world.fail("unanswered", f"{left} calls of a burst have no answer")
        for line in lines:
            line.close()

    def _ask(self, line: Line, answered: trio.Event) -> None:
        request = self._small()
        request.surely_not = False
        params = new_params(STREAMS, "append")
        params.entry = request.draft.entry.data
        params.timeoutMs = TIMEOUT_MS
        try:
            line.send("append", params, self._hearing(request, answered))
        except Lost:
            answered.set()

    def _hearing(self, request: Request, answered: trio.Event) -> Callable[[Any], None]:
        def hear(results: Any) -> None:
            answered.set()
            if results is None:
                self._world.count("burst.lost")
            elif str(results.res.which()) == "refused":
                refused = results.res.refused
                request.surely_not = str(refused.applied) == "no"
                self._world.count(f"burst.{refused.name}")
            else:
                self._world.count("burst.answers")
                at = results.res.appended
                told = Told(Code.OK, at.op, at.base, at.count, at.stream)
                self._shared.history.tell(request, told)

        return hear

    def _small(self) -> Request:
        """An append of one short event."""
        workload = self._shared.workload
        token = workload.token(GROUP.number)
        batch = encode_batch([Event("Noted", token)], ids((token,)))
        stream = workload.streams[GROUP.number][0].number
        header = EntryHeader(
            kind=Kind.APPEND,
            tenant=TENANT,
            stream=stream,
            parts=batch.parts,
            events=batch.events,
            body_len=len(batch.body),
            crc=batch.crc,
        )
        return self._begin(Draft("append", entries.make(header, batch.body), (token,), (stream,)))
