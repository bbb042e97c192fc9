"""Connections between nodes: one each way for every two nodes that share a group.

Messages may be lost, and are when a peer does not take them fast enough; order is kept while a
connection lasts. Nothing here decides anything: what it learns of connections are hints for the
protocol's failure detector.
"""

import asyncio
from collections.abc import Callable

from veritydb.server.config import Config, split_address
from veritydb.server.datadir import DataDir
from veritydb.server.failures import LostDisk
from veritydb.server.hosted import Hosted
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.peer_hello import (
    PROTOCOL_VERSION,
    Answer,
    Hello,
    read_hello,
    write_answer,
    write_hello,
)
from veritydb.server.peer_memory import PeerMemory, enough
from veritydb.server.peer_stream import SILENT_MS, Incoming, Outgoing, Pieces, pack
from veritydb.vsr.events import PeerLost, PeerReached, Received
from veritydb.vsr.messages import BadMessage, Message

CONNECT_SECONDS = 2.0
RETRY_FIRST = 0.02
RETRY_MAX = 0.5
LOOKS = 10
LOOK_SECONDS = SILENT_MS / 1000 / LOOKS


class Link:
    """Our side of the connection to one peer: we speak, it listens."""

    def __init__(self, peers: "Peers", name: str, address: str) -> None:
        """There is no connection before `keep`."""
        self.name = name
        self._peers = peers
        self._host, self._port = split_address(address)
        self.stream: Outgoing | None = None
        self.dropped = 0

    @property
    def up(self) -> bool:
        """Whether messages get through, as far as we know."""
        return self.stream is not None

    def send(self, pieces: Pieces) -> None:
        """Send soon, or drop: when there is no connection, or too much is under way already."""
        if self.stream is None or not self.stream.send(pieces):
            self.dropped += 1

    async def keep(self) -> None:
        """Connect, and again whenever the connection ends, until cancelled."""
        delay, machine = RETRY_FIRST, self._peers.machine
        while True:
            stream = Outgoing(self._peers.log, self._peers.hello())
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await machine.dial(self._host, self._port, stream)
                    answer = await stream.answer
                if self._peers.answered(self, answer):
                    self.stream, delay = stream, RETRY_FIRST
                    self._peers.reached(self)
                    await self._lasts(stream)
            except (OSError, TimeoutError):
                # Whatever it was, the next attempt comes soon.
                pass
            finally:
                self.stream = None
                stream.abort()
            self._peers.lost(self)
            await asyncio.sleep(delay * machine.random.uniform(0.5, 1.5))
            delay = min(delay * 2, RETRY_MAX)

    async def _lasts(self, stream: Outgoing) -> None:
        """Wait until the connection ends, or the other side takes nothing of what is under way.

        That can go on for ever: of its end we may not be told, and what stands between may go on
        taking what nobody gets. How often we looked is what counts, and not the time: it may have
        been we who stood still.
        """
        silent = 0
        while not stream.over.done():
            taken, waits = stream.taken, stream.sent > stream.taken
            await asyncio.wait([stream.over], timeout=LOOK_SECONDS)
            silent = silent + 1 if waits and stream.taken == taken else 0
            if silent == LOOKS:
                self._peers.log.warning("peer.takes_nothing", peer=self.name)
                return


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
        self._last: tuple[Message, Pieces] | None = None
        self._serving: dict[Incoming, None] = {}
        # What is said by something that is to be heard at once, and by which connections.
        self._gathering = False
        self._gathered: list[Outgoing] = []

    # -- out

    def send(self, group: int, to: int, message: Message) -> None:
        """Send a message to a replica of a group."""
        if self._last is None or self._last[0] is not message:
            self._last = (message, pack(message))
        link = self._links.get(self._config.group(group).replicas[to])
        if link is None:
            return
        if self._gathering and link.stream is not None:
            link.stream.gather()
            self._gathered.append(link.stream)
        link.send(self._last[1])

    def send_at_once(self, work: Callable[[], None]) -> None:
        """Do something, and send what it has to say before anything else is done."""
        if self._gathering:
            work()
            return
        self._gathering = True
        try:
            work()
        finally:
            self._gathering = False
            self.let_go()

    def let_go(self) -> None:
        """Send what was said so far in `send_at_once`."""
        gathered, self._gathered = self._gathered, []
        for stream in gathered:
            stream.let_go()

    def hello(self) -> bytes:
        """What we say of ourselves."""
        replicas = tuple(
            (one.part.number, one.who.index, one.who.incarnation) for one in self._hosted.values()
        )
        return write_hello(
            Hello(
                version=PROTOCOL_VERSION,
                cluster=self._config.cluster_id,
                node=self._name,
                instance=self._data.instance,
                replicas=replicas,
            )
        )

    def answered(self, link: Link, answer: Answer) -> bool:
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

    def greet(self, data: bytes) -> tuple[bytes, bool]:
        """Answer a peer's hello; whether its messages are taken from now on. Raises BadMessage.

        Its directory is remembered before any of them counts.
        """
        try:
            hello, sound = read_hello(data)
            answer = self._judge(hello, sound)
        except BadMessage:
            raise
        except Exception as error:
            self.log.error("peer.hello_failed", error=type(error).__name__)
            answer = Answer("internal error")
        return write_answer(answer), answer.accepted

    def _judge(self, hello: Hello, sound: bool) -> Answer:
        if hello.version != PROTOCOL_VERSION:
            return Answer(f"this node speaks protocol version {PROTOCOL_VERSION}")
        if hello.cluster != self._config.cluster_id:
            return Answer("another cluster, or another layout of it")
        if not sound:
            return Answer("damaged on the way")
        if hello.node not in self._links or len(hello.instance) != 16:
            return Answer("no peer of this node")
        replicas = []
        for number, index, incarnation in hello.replicas:
            hosted = self._hosted.get(number)
            if hosted is None:
                continue
            names = hosted.part.replicas
            if index >= len(names) or names[index] != hello.node:
                return Answer("another layout of the cluster")
            replicas.append((number, index, incarnation))
        if self._memory.stranger(replicas, hello.instance):
            self.log.error("peer.lost_disk", peer=hello.node)
            return Answer("known with another data directory", True, hello.instance)
        self._memory.remember(replicas, hello.instance)
        return Answer("")

    def received(self, message: Message) -> None:
        """Hand a message to its group, if that is here and takes part."""
        one = self._hosted.get(message.group)
        if one is not None and one.started:
            one.group.post(Received(message))

    def accept(self) -> Incoming:
        """Return the protocol for a connection that a peer makes."""
        return Incoming(self.log, self._serving, self.greet, self.received)

    def close(self) -> None:
        """End the connections that peers made to us."""
        for stream in list(self._serving):
            stream.close()

    # -- the whole

    async def keep(self) -> None:
        """Keep a connection to every peer, until cancelled."""
        for one in self._hosted.values():
            self.bear(one)
        async with asyncio.TaskGroup() as tasks:
            for link in self._links.values():
                tasks.create_task(link.keep())
