"""One node: its groups, its threads, and everything that has to be started and ended in order.

The order of a start is: directory, files, nodes, peers, clients. The order of an end is the
reverse, so that whoever got an answer got a true one.
"""

import asyncio
import sqlite3
from collections.abc import Callable

import trio

from veritydb.kernel.state import genesis
from veritydb.node.config import NodeConfig
from veritydb.node.state import BadSnapshot
from veritydb.policy.placement import Directory
from veritydb.server.config import Config, GroupPart
from veritydb.server.datadir import DataDir, identity
from veritydb.server.edge import Edge
from veritydb.server.failures import DataDirError, DiskFailed
from veritydb.server.host import from_trio
from veritydb.server.hosted import Hosted
from veritydb.server.index import StreamIndex
from veritydb.server.log import Log
from veritydb.server.machine import MACHINE, Machine, OpenDisk
from veritydb.server.maintenance import keep_index, reclaim_space, scrub, watch_disk
from veritydb.server.pauses import Pauses
from veritydb.server.peers import Peers
from veritydb.server.rpc import Clients
from veritydb.storage.disk import DiskError, DiskFull
from veritydb.storage.errors import StorageError
from veritydb.storage.names import INDEX
from veritydb.storage.store import Store
from veritydb.types.durable import Identity, Recovered
from veritydb.types.ids import GroupId
from veritydb.vsr.config import Config as VsrConfig
from veritydb.vsr.events import StepDown
from veritydb.wire import log as codec

HAND_OVER_SECONDS = 0.5
Fatal = Callable[[str, BaseException | str], None]


class NodeServer:
    """A node that runs in this process. Make and use it on the thread of its asyncio loop."""

    def __init__(
        self,
        config: Config,
        name: str,
        data: DataDir,
        log: Log,
        fatal: Fatal,
        machine: Machine = MACHINE,
        pauses: Pauses | None = None,
    ) -> None:
        """`fatal` ends this process or, where it is not ours to end, this node. Any thread.

        `pauses` are those of the loop, where somebody counts its turns.
        """
        self.config = config
        self.name = name
        self.log = log
        self._data = data
        self._fatal = fatal
        self._machine = machine
        self._pauses = pauses or Pauses()
        self._loop = asyncio.get_running_loop()
        self.pool = machine.readers()
        self.hosted: dict[int, Hosted] = {}
        self.peers = Peers(config, name, data, self.hosted, log, fatal, machine)
        for part in config.groups_of(name):
            self.hosted[part.number] = self._host(part)
        self.edge = Edge(config, name, self.hosted, self.pool, log, self._pauses)
        self.clients = Clients(self.edge, machine)
        self._ticking: asyncio.TimerHandle | None = None
        self._due = 0.0

    def _host(self, part: GroupPart) -> Hosted:
        """Open one group's files. Raises DataDirError for what is not usable."""
        folder = self._data.group(part.name)
        incarnation = self._data.stamp.incarnation(part.number)
        who = identity(self.config, self.name, part.number, incarnation)
        disk = self._machine.disk(folder)
        try:
            opened = Store.open(disk, who)
            index = StreamIndex(folder / INDEX, who.cluster + bytes([part.number % 256]))
            return self._begin(part, who, disk, opened, index)
        except (StorageError, BadSnapshot, DiskError, DiskFull, sqlite3.Error) as error:
            disk.close()
            kind = DataDirError if isinstance(error, StorageError | BadSnapshot) else DiskFailed
            raise kind(f"{folder}: {error}") from error

    def _begin(
        self,
        part: GroupPart,
        who: Identity,
        disk: OpenDisk,
        opened: tuple[Store, Recovered],
        index: StreamIndex,
    ) -> Hosted:
        """Begin with what the files hold. Raises what reading the snapshot raises."""
        pairs = sorted((group.number, group.region) for group in self.config.groups)
        directory = Directory(tuple(pairs))
        start = genesis(GroupId(part.number), part.placement, directory)
        vsr = VsrConfig(
            cluster=who.cluster,
            group=who.group,
            index=who.index,
            replicas=who.replicas,
            kernel=start.kernel,
            transfer_ops=self.config.server.transfer_ops,
        )
        return Hosted(
            config=self.config,
            part=part,
            who=who,
            disk=disk,
            snapshot_disk=self._machine.disk(self._data.group(part.name)),
            opened=opened,
            node_config=NodeConfig(
                vsr=vsr,
                genesis=start,
                decode=codec.decode,
                snapshot_entries=self.config.server.snapshot_entries,
            ),
            index=index,
            pool=self.pool,
            peers=self.peers,
            fatal=self._fatal,
            log=self.log,
            machine=self._machine,
            pauses=self._pauses,
        )

    # -- time

    def _tick(self) -> None:
        now = self._loop.time()
        self._pauses.late.add(int((now - self._due) * 1e9))
        self._due = now + self.config.server.tick_ms / 1000
        self._ticking = self._loop.call_at(self._due, self._tick)
        for one in self.hosted.values():
            one.tick()

    # -- the life of a node, under Trio

    async def run(self, started: Callable[[], None]) -> None:
        """Run until cancelled. `started` is called once everything has been set going."""
        self._pauses.forget()
        self._due = self._loop.time()
        self._tick()
        peers = trio.CancelScope(shield=True)
        async with trio.open_nursery() as outer:
            outer.start_soon(self._keep_peers, peers)
            try:
                await self._work(started)
            finally:
                peers.cancel()

    async def _keep_peers(self, scope: trio.CancelScope) -> None:
        """Also through the drain: without peers nothing is agreed on, and nobody takes over."""
        with scope:
            await from_trio(self._loop, self.peers.keep())

    async def _work(self, started: Callable[[], None]) -> None:
        """Do the rest until cancelled, and then drain."""
        try:
            async with trio.open_nursery() as nursery:
                for one in self.hosted.values():
                    nursery.start_soon(keep_index, one)
                    nursery.start_soon(reclaim_space, one)
                    nursery.start_soon(scrub, one)
                reserve = self.config.server.disk_reserve_mib
                path = str(self._data.path)
                ones = list(self.hosted.values())
                nursery.start_soon(watch_disk, ones, self._machine, path, reserve)
                started()
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._drain()

    async def _drain(self) -> None:
        """Take nothing new; give what was taken a while to be answered; let others lead."""
        self.edge.stopping = True
        drain = self.config.server.drain_ms / 1000
        await self._until(lambda: not self._outstanding(), drain)
        for one in self.hosted.values():
            if one.group.leads and len(one.part.replicas) > 1:
                one.group.post(StepDown())
        ones = self.hosted.values()
        await self._until(lambda: not any(map(leads_others, ones)), HAND_OVER_SECONDS)

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds on the asyncio side, which knows nothing of Trio's events."""
        now = self._machine.monotonic_ns
        end = now() + seconds * 1e9
        while not holds() and now() < end:  # noqa: ASYNC110
            await trio.sleep(0.01)

    def _outstanding(self) -> int:
        return sum(one.group.outstanding() for one in self.hosted.values())

    def close(self) -> None:
        """End connections and threads, close the files. Who still waits is told that it stops."""
        self.clients.close()
        self.peers.close()
        if self._ticking is not None:
            self._ticking.cancel()
        for one in self.hosted.values():
            one.stop()
        self.pool.shutdown(wait=True)
        for one in self.hosted.values():
            one.close_files()
        self._data.close()


def leads_others(one: Hosted) -> bool:
    """Whether others would have to notice that this replica is gone."""
    return one.started and len(one.part.replicas) > 1 and one.group.leads
