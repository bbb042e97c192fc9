"""One life of a node: the process that runs the server, from its start to its end."""

import asyncio
import contextlib
import sqlite3

import trio

from shell_simulation.home import Home
from shell_simulation.loop import Died, ProcessLoop
from shell_simulation.machine import SimMachine
from shell_simulation.network import Connection, Network
from shell_simulation.pipe import Pipe
from shell_simulation.rpc import Stream
from shell_simulation.threads import Threads
from shell_simulation.world import World
from veritydb.server.failures import StartError
from veritydb.server.log import Log
from veritydb.server.node_server import NodeServer

TO_END_SECONDS = 20.0
"""How long a graceful end may take."""


class Quiet:
    """A log nobody reads; its lines become part of the record."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def write(self, text: str) -> None:
        """See `TextIO`. The time is the real one, so it stays out."""
        words = text.split()[1:]
        self._world.note(self._name, "log:", *words)
        self._world.count(f"log.{words[1]}")

    def flush(self) -> None:
        """See `TextIO`."""


class Process:
    """One life of a node. `live` runs it; `die` ends it, whatever it is doing."""

    def __init__(self, home: Home, network: Network, life: int) -> None:
        self.home = home
        self.world = home.world
        self.network = network
        self.name = home.name
        self.life = life
        self.dead = False
        self.broken = False
        self.stopping = False
        self.lost_power = False
        self.flips = 0
        self.streams: dict[int, Stream] = {}
        self.server: NodeServer | None = None
        self.ended = trio.Event()
        self.loop = ProcessLoop(self.world, self._raised)  # type: ignore[abstract]
        self.threads = Threads(self.world, self.name, lambda: self.dead, self._raised)
        self._scope = trio.CancelScope()
        self._loop_scope = trio.CancelScope()

    # -- life

    async def live(self) -> None:
        """Run the server until it is stopped or dies."""
        self.world.note(self.name, "starts", self.life)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._turn)
                try:
                    await self._serve()
                finally:
                    self._loop_scope.cancel()
        except* Died:
            pass
        except* Exception as group:
            # Raised here, it would take with it what the others need in order to end.
            self.world.fail(f"raised-{type(group.exceptions[0]).__name__}", repr(group))
        finally:
            self._bury()
            self.ended.set()

    async def _turn(self) -> None:
        with self._loop_scope:
            await self.loop.run()

    async def _serve(self) -> None:
        log = Log("info", "plain", Quiet(self.world, self.name))  # type: ignore[arg-type]
        try:
            with self.loop.running():
                machine = SimMachine(self)
                self.server = NodeServer(
                    self.home.config,
                    self.name,
                    self.home.directory(),
                    log,
                    self.fatal,
                    machine,
                )
            with self._scope:
                await self.server.run(self._started)
            self.world.note(self.name, "stopped")
            self.network.leave(self, silently=False)
            with self.loop.running():
                self.server.close()
        except* Died:
            pass
        except* StartError as group:
            self.world.note(self.name, "does not start", repr(group.exceptions[0]))
            if not (self.broken or self.home.free == 0):
                raise
        self.loop.cancel_all()
        with trio.move_on_after(TO_END_SECONDS):
            await self.loop.settled()
        for task in self.loop.tasks.values():
            self.world.fail("task-leak", f"{self.name}: {task!r} does not end")
        self._check_the_end()

    def _check_the_end(self) -> None:
        """Nobody may wait any more, and nothing go on."""
        if self.dead or self.server is None:
            return
        waiting = sum(one.group.outstanding() for one in self.server.hosted.values())
        if waiting:
            self.world.fail("unanswered", f"{self.name}: {waiting} wait when it has stopped")
        if len(self.threads):
            self.world.fail("thread-leak", f"{self.name}: {len(self.threads)} threads do not end")

    def _started(self) -> None:
        self.network.listen(f"{self.name}/peer", self)
        self.network.listen(f"{self.name}/client", self)
        self.world.note(self.name, "serves")

    def stop(self) -> None:
        """End it as SIGTERM does."""
        self.stopping = True
        self._scope.cancel()

    def stall(self, length: int) -> None:
        """Keep the loop from running for so long, as SIGSTOP does."""
        self.loop.stall(self.world.now + length)

    def die(self, *, silently: bool = False) -> None:
        """End it as SIGKILL does, or (silently) as a machine that loses power does."""
        if self.dead:
            return
        self.lost_power = silently
        self.dead = True
        self.world.note(self.name, "dies", "silently" if silently else "")
        self.world.after(0, self._unwind, silently)

    def _unwind(self, silently: bool) -> None:
        """On the main thread: let everything in it come to its end, without any effect."""
        self.network.leave(self, silently=silently)
        self.threads.unwind()
        self.loop.cancel_all()
        self._scope.cancel()

    def _bury(self) -> None:
        self.dead = True
        self.network.leave(self, silently=False)
        self.threads.unwind()
        self.loop.close()
        for one in self.server.hosted.values() if self.server is not None else ():
            with contextlib.suppress(sqlite3.Error):
                one.index_file.close()
        self.world.note(self.name, "is gone")

    # -- what the server may do to its machine

    def alive(self) -> None:
        """Raise Died if it is not."""
        if self.dead:
            raise Died

    def fatal(self, where: str, reason: BaseException | str) -> None:
        """End this process from within, as `os._exit` does: this never returns."""
        self.alive()
        why = reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}"
        self.world.note(self.name, "fatal", where, why)
        self.world.count("fatal")
        if not self.broken:
            self.world.fail("ended", f"{self.name} ended itself: {where}: {why}")
        self.die()
        raise Died

    def _raised(self, error: BaseException, where: str) -> None:
        if not isinstance(error, Died) and not self.dead:
            self.world.fail(f"raised-{type(error).__name__}", f"{self.name}: {where}: {error!r}")

    def disk_delay(self, mean: int) -> int:
        """How long an operation of the disk takes."""
        label = f"disk.{self.name}"
        return mean // 4 + self.world.choices.exponential(label, mean * self.home.slow)

    def misread(self) -> bool:
        """Whether the medium cannot be read just now."""
        if self.home.misreads:
            self.home.misreads -= 1
            return True
        return False

    def disk_failed(self) -> None:
        """A read, write or sync reported an error: what may follow is the end, and nothing else."""
        self.broken = True
        self.world.note(self.name, "disk error")

    # -- connections

    async def dial(self, port: int, protocol: asyncio.BufferedProtocol) -> None:
        """Connect to a peer."""
        self.alive()
        target = next(n for n in self.home.config.nodes if n.peer.endswith(f":{port}"))
        answer = self.loop.create_future()

        def made(connection: Connection) -> None:
            if answer.done() or self.dead:
                connection.close(0)
            else:
                Pipe(connection, 0, self.world, self.loop, protocol, self._sending)
                answer.set_result(None)

        def refused() -> None:
            if not answer.done():
                answer.set_exception(ConnectionRefusedError("nobody listens there"))

        self.network.connect(self, f"{target.name}/peer", made, refused)
        await answer

    def _sending(self, data: bytes) -> bytes:
        """Something is sent to a peer; a bit of it is flipped, if that is due. Raises Died."""
        self.alive()
        self.world.count("messages")
        if self.broken:
            self.world.fail("fail-stop", f"{self.name} goes on after its disk failed")
        if not self.flips:
            return data
        self.flips -= 1
        at = self.world.choices.choose("flip", 8 * len(data))
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        return bytes(flipped)

    def accept(self, connection: Connection, address: str) -> None:
        """Somebody connected to us."""
        if self.dead or self.server is None:
            connection.close(1)
            return
        if address.endswith("/peer"):
            with self.loop.running():
                protocol = self.server.peers.accept()
                Pipe(connection, 1, self.world, self.loop, protocol, self._sending)
            return
        stream = Stream(connection, self.loop, self._escaped)
        connection.sides[1].stream = stream
        self.streams[connection.number] = stream
        self.loop.create_task(self.server.clients.serve(stream, stream.gate))

    def _escaped(self, where: str, error: BaseException) -> None:
        if not self.dead:
            self.world.fail("escaped", f"{self.name}: {where}: {error!r}")
