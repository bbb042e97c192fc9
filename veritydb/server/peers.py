"""Connections between nodes: one each way for every two nodes that share a group.

Messages may be lost, and are when a peer does not take them fast enough; order is kept while a
connection lasts. Nothing here decides anything: what it learns of connections are hints for the
protocol's failure detector.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

import capnp
from crc32c import crc32c

from veritydb.server.config import Config, split_address
from veritydb.server.datadir import DataDir
from veritydb.server.failures import LostDisk
from veritydb.server.gate import Gate
from veritydb.server.hosted import Hosted
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.peer_memory import PeerMemory, enough
from veritydb.server.transport import Line
from veritydb.types.limits import CONNECTIONS_MAX, PEER_QUEUE_BYTES_MAX
from veritydb.vsr.events import PeerLost, PeerReached, Received
from veritydb.vsr.messages import BadMessage, Message, decode, encode
from veritydb.wire.schemas import load

SCHEMA = load("replica")
PeersServer: Any = SCHEMA.Peers.Server
PROTOCOL_VERSION = 1
# Calls on their way. More would only queue inside the RPC library, where nothing can be dropped.
WINDOW_CALLS = 256
WINDOW_BYTES = 32 << 20
CONNECT_SECONDS = 2.0
RETRY_FIRST = 0.02
RETRY_MAX = 0.5
SILENT_MS = 5_000
HELLO_SECONDS = 10.0

Buffers = tuple[bytes, bytes]


def pack(message: Message) -> Buffers:
    """A message as the two fields of a call."""
    first, *rest = encode(message)
    return first, b"".join(rest)


def check_of(hello: Any) -> int:
    """The checksum of what a hello says. Its texts and lists are short; their lengths count too."""
    words = [hello.protocolVersion, len(hello.replicas)]
    for one in hello.replicas:
        words += [one.group, one.index, one.incarnation]
    name = hello.node.encode()
    sizes = [len(hello.cluster), len(name), len(hello.instance)]
    numbers = struct.pack(f"<{len(words) + len(sizes)}I", *words, *sizes)
    return int(crc32c(b"".join((numbers, hello.cluster, name, hello.instance))))


class Flight:
    """The calls of one connection that are not answered yet."""

    def __init__(self) -> None:
        self.calls: set[Any] = set()
        self.bytes = 0
        self.answered = 0
        self.failed = asyncio.Event()


class Link:
    """Our side of the connection to one peer: we call, it listens."""

    def __init__(self, peers: "Peers", name: str, address: str) -> None:
        self.name = name
        self.up = False
        self._peers = peers
        self._host, self._port = split_address(address)
        self._cap: Any = None
        self._queue: deque[Buffers] = deque()
        self._queued = 0
        self._flight = Flight()
        self.dropped = 0

    # -- sending, on the loop's thread and never waiting

    def send(self, buffers: Buffers) -> None:
        """Send soon, or drop: when there is no connection, or too much waits already."""
        size = len(buffers[1]) + len(buffers[0])
        if not self.up or self._queued + size > PEER_QUEUE_BYTES_MAX:
            self.dropped += 1
            return
        self._queue.append(buffers)
        self._queued += size
        self._pump()

    def _pump(self) -> None:
        flight = self._flight
        while self._queue and self.up:
            if flight.bytes > WINDOW_BYTES or len(flight.calls) >= WINDOW_CALLS:
                return
            header, body = self._queue.popleft()
            self._queued -= len(header) + len(body)
            self._call(header, body)

    def _call(self, header: bytes, body: bytes) -> None:
        # The future under the promise, without a task of its own around it. It has to be kept:
        # a promise that is dropped cancels its call.
        call = next(self._cap.deliver(header=header, body=body).__await__())
        call._asyncio_future_blocking = False
        size = len(header) + len(body)
        flight = self._flight
        flight.calls.add(call)
        flight.bytes += size

        def done(future: Any) -> None:
            flight.calls.discard(future)
            flight.bytes -= size
            flight.answered += 1
            if not future.cancelled() and future.exception() is not None:
                flight.failed.set()
                return
            self._pump()

        call.add_done_callback(done)

    # -- the connection

    async def keep(self) -> None:
        """Connect, and again whenever the connection ends, until cancelled."""
        delay, machine = RETRY_FIRST, self._peers.machine
        while True:
            line = None
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    line = await machine.dial(self._host, self._port, SCHEMA.Peers)
                    keep_alive(line.gate)
                    answer = await line.capability.hello(req=self._peers.hello())
                    accepted = self._peers.answered(self, answer)
                if accepted:
                    self._cap, self.up, delay = line.capability, True, RETRY_FIRST
                    self._peers.reached(self)
                    await self._lasts(line)
            except (OSError, TimeoutError, capnp.KjException):
                # Whatever it was, the next attempt comes soon.
                pass
            finally:
                self._ended()
                if line is not None:
                    line.close()
            self._peers.lost(self)
            await asyncio.sleep(delay * machine.random.uniform(0.5, 1.5))
            delay = min(delay * 2, RETRY_MAX)

    async def _lasts(self, line: Line) -> None:
        """Wait until the connection ends, fails a call, or leaves all unanswered for a while.

        It can go on like that for ever. Where the length of a message was damaged on the way, all
        that follows is taken for the rest of it; where it was the name of what is called, each call
        fails and the connection stays, since no call is refused by a peer itself.
        """
        flight = self._flight
        ended = asyncio.ensure_future(line.ended())
        failed = asyncio.ensure_future(flight.failed.wait())
        try:
            while not (ended.done() or failed.done()):
                waited_for, answered = bool(flight.calls), flight.answered
                over, _ = await asyncio.wait(
                    [ended, failed],
                    timeout=SILENT_MS / 1000,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if waited_for and flight.answered == answered and not over:
                    self._peers.log.warning("peer.answers_nothing", peer=self.name)
                    return
            if ended.done():
                ended.result()
        finally:
            ended.cancel()
            failed.cancel()

    def _ended(self) -> None:
        self.up = False
        # Calls that were never answered belong to a connection that is no more.
        self._flight = Flight()
        self._cap = None
        self._queue.clear()
        self._queued = 0


def keep_alive(gate: Gate) -> None:
    """Have the kernel end a connection whose other side takes nothing any more."""
    sock = gate.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class PeerHandler(PeersServer):  # type: ignore[misc]
    """What a peer's connection to us may do."""

    def __init__(self, peers: "Peers", gate: Gate) -> None:
        """`gate` is its connection, to be closed when it sends what is no message."""
        self.greeted = False
        self._peers = peers
        self._gate = gate

    async def hello_context(self, context: Any) -> None:
        """Check who it is, and remember its directory before any of its messages counts."""
        try:
            reason, lost = self._peers.judge(context.params.req)
        except (capnp.KjException, UnicodeDecodeError):
            self._peers.log.warning("peer.bad_message")
            self._gate.abort()
            return
        except Exception as error:
            self._peers.log.error("peer.hello_failed", error=type(error).__name__)
            reason, lost = "internal error", False
        result = context.results
        result.accepted = not reason
        result.reason = reason
        result.lost = lost
        if lost:
            result.instance = context.params.req.instance
        self.greeted = not reason

    async def deliver_context(self, context: Any) -> None:
        """Take one message."""
        params = context.params
        try:
            if not self.greeted:
                raise BadMessage("no handshake")
            message = decode(b"".join((params.header, params.get_data_as_view("body"))))
        except BadMessage:
            self._peers.log.warning("peer.bad_message")
            self._gate.abort()
            return
        self._peers.received(message)

    def too_late(self) -> None:
        """End the connection unless it has said who it is."""
        if not self.greeted:
            self._gate.abort()


class Peers:
    """All connections of a node to its peers, and the birth of its replicas."""

    def __init__(
        self,
        config: Config,
        name: str,
        data: DataDir,
        hosted: dict[int, Hosted],
        log: Log,
        fatal: Callable[[str, BaseException | str], None],
        machine: Machine,
    ) -> None:
        """`hosted` may still be empty; it is filled before `run`."""
        self.log = log
        self.machine = machine
        self._config = config
        self._name = name
        self._data = data
        self._hosted = hosted
        self._fatal = fatal
        self._memory = PeerMemory(data.path)
        if self._memory.damaged:
            log.warning("peers.forgotten")
        self._known: dict[int, set[str]] = {}
        shared = {
            other for part in config.groups_of(name) for other in part.replicas if other != name
        }
        self._links = {
            other: Link(self, other, config.node(other).peer) for other in sorted(shared)
        }
        self._last: tuple[Message, Buffers] | None = None
        self._serving: set[Gate] = set()

    # -- out

    def send(self, group: int, to: int, message: Message) -> None:
        """Send a message to a replica of a group."""
        if self._last is None or self._last[0] is not message:
            self._last = (message, pack(message))
        link = self._links.get(self._config.group(group).replicas[to])
        if link is not None:
            link.send(self._last[1])

    def hello(self) -> Any:
        """What we say of ourselves."""
        req = SCHEMA.PeerHello.new_message()
        req.protocolVersion = PROTOCOL_VERSION
        req.cluster = self._config.cluster_id
        req.node = self._name
        req.instance = self._data.instance
        ones = list(self._hosted.values())
        for to, one in zip(req.init("replicas", len(ones)), ones, strict=True):
            to.group = one.part.number
            to.index = one.who.index
            to.incarnation = one.who.incarnation
        req.check = check_of(req)
        return req

    def answered(self, link: Link, answer: Any) -> bool:
        """Take a peer's answer to our hello; whether it takes messages from us."""
        if answer.lost and answer.instance == self._data.instance:
            self._fatal(
                "lost_disk",
                LostDisk(
                    f"{link.name} knows this node with another data directory: what that one "
                    "promised is lost. Use `veritydb replica replace` for each of its groups"
                ),
            )
            return False
        if not answer.accepted:
            self.log.warning("peer.refused_us", peer=link.name, reason=answer.reason)
            return False
        for number, one in self._hosted.items():
            if link.name in one.part.replicas:
                self._known.setdefault(number, set()).add(link.name)
                self.bear(one)
        return True

    def bear(self, one: Hosted) -> None:
        """Let a replica take part, if it has before or if enough peers know it by now."""
        if one.started:
            return
        name = one.part.name
        if not self._data.is_born(name):
            known = len(self._known.get(one.part.number, ()))
            if known < enough(len(one.part.replicas)):
                return
            self._data.set_born(name)
            one.log.info("born", peers=known)
        one.started = True
        for index, other in enumerate(one.part.replicas):
            if other in self._links and self._links[other].up:
                one.group.post(PeerReached(index))

    def reached(self, link: Link) -> None:
        """A connection was made."""
        self.log.info("peer.reached", peer=link.name)
        self._tell(link, PeerReached)

    def lost(self, link: Link) -> None:
        """A connection ended, or could not be made."""
        self._tell(link, PeerLost)

    def _tell(self, link: Link, event: type[PeerReached] | type[PeerLost]) -> None:
        for one in self._hosted.values():
            if one.started and link.name in one.part.replicas:
                one.group.post(event(one.part.replicas.index(link.name)))

    # -- in

    def judge(self, req: Any) -> tuple[str, bool]:
        """Why a peer is refused ("" if it is not), and whether it lost its disk."""
        if req.protocolVersion != PROTOCOL_VERSION:
            return f"this node speaks protocol version {PROTOCOL_VERSION}", False
        if req.cluster != self._config.cluster_id:
            return "another cluster, or another layout of it", False
        if req.check != check_of(req):
            return "damaged on the way", False
        name, instance = req.node, req.instance
        if name not in self._links or len(instance) != 16:
            return "no peer of this node", False
        replicas = []
        for one in req.replicas:
            hosted = self._hosted.get(one.group)
            if hosted is None:
                continue
            names = hosted.part.replicas
            if one.index >= len(names) or names[one.index] != name:
                return "another layout of the cluster", False
            replicas.append((int(one.group), int(one.index), int(one.incarnation)))
        if self._memory.stranger(replicas, instance):
            self.log.error("peer.lost_disk", peer=name)
            return "known with another data directory", True
        self._memory.remember(replicas, instance)
        return "", False

    def received(self, message: Message) -> None:
        """Hand a message to its group, if that is here and takes part."""
        one = self._hosted.get(message.group)
        if one is not None and one.started:
            one.group.post(Received(message))

    async def serve(self, stream: Any, gate: Gate) -> None:
        """Serve one peer's connection until it ends."""
        if len(self._serving) >= CONNECTIONS_MAX:
            gate.abort()
            return
        keep_alive(gate)
        handler = PeerHandler(self, gate)
        self._serving.add(gate)
        late = asyncio.get_running_loop().call_later(HELLO_SECONDS, handler.too_late)
        try:
            await self.machine.serve(stream, handler)
        finally:
            late.cancel()
            self._serving.discard(gate)

    def close(self) -> None:
        """End the connections that peers made to us."""
        for gate in list(self._serving):
            gate.close()

    # -- the whole

    async def keep(self) -> None:
        """Keep a connection to every peer, until cancelled."""
        for one in self._hosted.values():
            self.bear(one)
        async with asyncio.TaskGroup() as tasks:
            for link in self._links.values():
                tasks.create_task(link.keep())
