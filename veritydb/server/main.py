"""The process of a node: from its arguments to its exit status."""

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import capnp
import trio

from veritydb.server.collector import Collector
from veritydb.server.config import Config, NodePart, split_address
from veritydb.server.datadir import DataDir, open_dir
from veritydb.server.failures import (
    EXIT_DISK,
    EXIT_HALTED,
    EXIT_OK,
    AddressInUse,
    StartError,
)
from veritydb.server.gate import protocol_factory
from veritydb.server.heap import give_back_memory
from veritydb.server.host import from_trio, host
from veritydb.server.log import Log, level_from
from veritydb.server.machine import MACHINE, Machine
from veritydb.server.node_server import NodeServer
from veritydb.server.pauses import Pauses, run_timed
from veritydb.storage.disk import DiskError
from veritydb.wire.memory import keep_large_buffers

SWITCH_SECONDS = 0.0005


def tune_process() -> None:
    """Allow as many files as the system does, and keep large buffers instead of returning them.

    A thread that works for long lets others go on much sooner than Python would have it: the loop
    waits for it after each of its calls to the system, and the writer for the loop.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    keep_large_buffers()


def ending(log: Log) -> Callable[[str, BaseException | str], None]:
    """What ends this process at once, because nothing it could still do would be safe."""

    def fatal(where: str, reason: BaseException | str) -> None:
        if isinstance(reason, StartError):
            log.error("refused", where=where, reason=str(reason))
            code = reason.exit_code
        elif isinstance(reason, DiskError):
            # Its text names a file and an error number.
            log.error("disk_failed", where=where, reason=str(reason))
            code = EXIT_DISK
        elif isinstance(reason, str):
            log.error("ended", where=where, reason=reason)
            code = EXIT_HALTED
        else:
            log.error("crashed", where=where, error=type(reason).__name__, at=place(reason))
            code = EXIT_HALTED
        os._exit(code)

    return fatal


def place(error: BaseException) -> str:
    """Where in the program an exception came from."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return ""
    return f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}"


async def bind(protocol: Callable[[], Any], address: str, what: str) -> asyncio.Server:
    """Listen on an address. Raises AddressInUse."""
    name, port = split_address(address, what)
    try:
        return await asyncio.get_running_loop().create_server(protocol, name, port)
    except OSError as error:
        raise AddressInUse(f"cannot listen on {address} ({what}): {error.strerror}") from None


async def run_node(
    config: Config, name: str, data: DataDir, log: Log, machine: Machine, pauses: Pauses
) -> None:
    """Run a node on this loop until it is told to stop."""
    loop = asyncio.get_running_loop()
    part = config.node(name)
    server = NodeServer(config, name, data, log, ending(log), machine, pauses)
    listening: list[asyncio.Server] = []

    async def main(_stop: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            # Whose addresses are taken speaks to no peer: it may be somebody else's cluster.
            listening.extend(await from_trio(loop, listen_all(server, part)))
            await nursery.start(running, server)
            nursery.start_soon(give_back_memory)
            addresses = [s.getsockname()[1] for one in listening for s in one.sockets]
            log.info("listening", client=part.client, peer=part.peer, ports=str(addresses))

    try:
        await host(main)
        log.info("stopping")
    finally:
        for one in listening:
            one.close()
        server.close()
    log.info("stopped")


async def running(server: NodeServer, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Run the node's own tasks."""
    await server.run(task_status.started)


async def listen_all(server: NodeServer, part: NodePart) -> list[asyncio.Server]:
    """Open the node's addresses. Raises AddressInUse."""
    found = []
    if part.peer:
        peer = part.peer_listen or part.peer
        found.append(await bind(server.peers.accept, peer, f"node {part.name}: peer"))
    client = part.client_listen or part.client
    clients = protocol_factory(server.clients.serve)
    found.append(await bind(clients, client, f"node {part.name}: client"))
    return found


def serve(config: Config, name: str, path: Path, machine: Machine = MACHINE) -> int:
    """Run a node until SIGTERM or SIGINT; return the exit status. Raises StartError."""
    tune_process()
    log = Log(level_from(config.server.log_level), config.server.log_format, node=name)
    data = open_dir(config, name, path)
    log.info("starting", pid=os.getpid(), cluster=config.cluster_id.hex(), region=data.stamp.region)

    pauses = Pauses()
    collector = Collector(pauses.collector)

    async def main() -> None:
        await capnp.run(run_node(config, name, data, log, machine, pauses))

    try:
        run_timed(main(), pauses, collector.turn)
    except* StartError as group:
        raise first_of(group) from None
    return EXIT_OK


def first_of(group: BaseExceptionGroup[StartError]) -> StartError:
    """The first of the errors in a group."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return first_of(error)
        return error
    raise AssertionError("a group holds an exception")
