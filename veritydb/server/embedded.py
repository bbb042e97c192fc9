"""A whole cluster inside this process: one replica of each group, on a thread of its own.

The same node as `veritydb server` runs, with the same files, so that either can open a directory
that the other has closed. Its client reaches it over a socket pair instead of a port.
"""

import asyncio
import contextlib
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import capnp
import trio

from veritydb.server.config import Config, ServerPart, one_node
from veritydb.server.datadir import STAMP, DataDir, init, open_dir, read_stamp
from veritydb.server.failures import StartError, WrongRegion
from veritydb.server.gate import adopt
from veritydb.server.host import host
from veritydb.server.log import Log, level_from
from veritydb.server.node_server import NodeServer
from veritydb.server.pauses import Pauses, run_timed

DEFAULT_REGION = "local"
DRAIN_MS = 1_000
LEVEL = "warning"


def settle(path: Path, region: str | None) -> tuple[Config, str]:
    """The configuration of the node in a directory, which is made if it is missing or empty.

    Raises StartError.
    """
    server = ServerPart(data_dir=str(path.parent), drain_ms=DRAIN_MS)
    if not (path / STAMP).exists() and (not path.exists() or not any(path.iterdir())):
        config = one_node(secrets.token_bytes(16), region or DEFAULT_REGION, "", server)
        init(config, config.nodes[0].name, path)
        return config, config.nodes[0].name
    stamp = read_stamp(path)
    if region is not None and region != stamp.region:
        raise WrongRegion(f"{path} was made for region {stamp.region}, not {region}")
    config = one_node(bytes.fromhex(stamp.cluster), stamp.region, "", server)
    return config, config.nodes[0].name


class EmbeddedNode:
    """A node in this process. Open it, hand `dial` to a client, and close it after the client."""

    def __init__(self, path: str | Path, region: str | None = None) -> None:
        """Open a directory and start its node; it can be used at once. Raises StartError."""
        folder = Path(path)
        config, name = settle(folder, region)
        self._data = open_dir(config, name, folder)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: NodeServer | None = None
        self._stop: Callable[[], None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._started: Future[None] = Future()
        self.failure: str | None = None
        self._thread = threading.Thread(
            target=self._main, args=(config, name), name="veritydb-node", daemon=True
        )
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.close()
            raise

    # -- the node's thread

    def _main(self, config: Config, name: str) -> None:
        log = Log(level_from(LEVEL), node=name)
        try:
            pauses = Pauses()
            run_timed(capnp.run(self._run(config, name, self._data, log, pauses)), pauses)
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error.with_traceback(None))
            else:
                self.failure = type(error).__name__
        finally:
            self._loop = None

    async def _run(
        self, config: Config, name: str, data: DataDir, log: Log, pauses: Pauses
    ) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            server = NodeServer(config, name, data, log, self._fatal, pauses=pauses)
        except BaseException:
            data.close()
            raise
        self._server = server

        async def main(stop: Callable[[], None]) -> None:
            self._stop = stop
            await server.run(lambda: self._started.set_result(None))

        try:
            await host(main, signals=False)
        finally:
            self._stop = None
            server.close()

    def _fatal(self, where: str, reason: BaseException | str) -> None:
        """This process is not ours to end. The node is: nothing it does counts any more."""
        text = reason if isinstance(reason, str | StartError) else type(reason).__name__
        self.failure = f"{where}: {text}"
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._server is not None:
            for one in self._server.hosted.values():
                one.group.stop()
        if self._stop is not None:
            self._stop()

    def _adopt(self, sock: socket.socket) -> None:
        assert self._server is not None and self._loop is not None
        task = self._loop.create_task(adopt(sock, self._server.clients.serve))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    # -- whoever uses it

    def connect(self) -> socket.socket:
        """One end of a new connection to the node. Raises ConnectionError after its end."""
        loop = self._loop
        if loop is None or self.failure is not None:
            raise ConnectionError("the node inside this process has stopped")
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        theirs.setblocking(False)
        try:
            loop.call_soon_threadsafe(self._adopt, theirs)
        except RuntimeError:
            mine.close()
            theirs.close()
            raise ConnectionError("the node inside this process has stopped") from None
        return mine

    def close(self) -> None:
        """Stop the node and wait until its files are closed. May be called again."""
        loop = self._loop
        if loop is not None:
            # It may just have ended by itself.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end_by_request)
        self._thread.join()

    def _end_by_request(self) -> None:
        if self._stop is not None:
            self._stop()

    async def aclose(self) -> None:
        """`close` for asyncio."""
        await asyncio.to_thread(self.close)

    async def trio_close(self) -> None:
        """`close` for Trio."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.close)


def dialer(node: EmbeddedNode, over: Callable[[socket.socket], Any]) -> Callable[[str], Any]:
    """A client's `Dial` that reaches the node. `over` makes one for a single socket."""

    async def dial(address: str) -> Any:
        return await over(node.connect())(address)

    return dial
