"""The front door: a connection, its handshake, its session and the capabilities that it may use."""

import asyncio
from typing import Any

from veritydb.server.audit import AuditHandler
from veritydb.server.cluster import ClusterHandler
from veritydb.server.connection import Connection
from veritydb.server.edge import Edge, group_number, timeout
from veritydb.server.gate import Gate
from veritydb.server.machine import Machine
from veritydb.server.policy import PolicyHandler
from veritydb.server.refusals import Refused, directly, guarded, of_outcome
from veritydb.server.streams import StreamsHandler
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import ClientId
from veritydb.types.limits import CONNECTIONS_MAX
from veritydb.wire.schemas import load

SCHEMA = load("veritydb")
VerityDbServer: Any = SCHEMA.VerityDb.Server
SessionServer: Any = SCHEMA.Session.Server
PROTOCOL_VERSION: int = SCHEMA.protocolVersion
HELLO_SECONDS = 10.0


class FrontDoor(VerityDbServer):  # type: ignore[misc]
    """What a connection gets before it has said who it is."""

    def __init__(self, edge: Edge, connection: Connection, machine: Machine) -> None:
        """`connection` is whose calls these are."""
        self.log = edge.log
        self.greeted = False
        self._wall = machine.wall_ns
        self._edge = edge
        self._connection = connection

    def too_late(self) -> None:
        """End the connection unless it has said who it is."""
        if not self.greeted:
            self._connection.gate.abort()

    @guarded()
    async def hello_context(self, context: Any) -> None:
        """Agree on a version; hand out the session."""
        req = context.params.req
        result = context.results.init("res")
        result.cluster = self._edge.config.cluster_id
        result.node = self._edge.node
        # Not our own clock's word: if that is wrong, the client's batches would be refused for it.
        times = [one.group.node.replica.time for one in self._edge.hosted.values()]
        result.time = max(times, default=0) or self._wall()
        if req.protocolVersion != PROTOCOL_VERSION:
            raise Refused(
                EdgeCode.UNSUPPORTED_VERSION,
                f"this node speaks protocol version {PROTOCOL_VERSION}",
                actual=PROTOCOL_VERSION,
            )
        if len(req.client) not in (0, 16):
            raise Refused(EdgeCode.INVALID_INPUT, "a client id is empty or 16 bytes")
        self.greeted = True
        self._connection.client = req.client
        result.session = SessionHandler(self._edge, self._connection)


class SessionHandler(SessionServer):  # type: ignore[misc]
    """The capabilities of a connection."""

    def __init__(self, edge: Edge, connection: Connection) -> None:
        """`connection` is whose calls these are."""
        self.log = edge.log
        self._edge = edge
        self._connection = connection

    @guarded(None)
    async def streams_context(self, context: Any) -> None:
        """Streams of events."""
        context.results.streams = StreamsHandler(self._edge, self._connection)

    @guarded(None)
    async def policy_context(self, context: Any) -> None:
        """The rules."""
        context.results.policy = PolicyHandler(self._edge, self._connection)

    @guarded(None)
    async def audit_context(self, context: Any) -> None:
        """What became of everything."""
        context.results.audit = AuditHandler(self._edge, self._connection)

    @guarded(None)
    async def cluster_context(self, context: Any) -> None:
        """The cluster itself."""
        context.results.cluster = ClusterHandler(self._edge, self._connection)

    @guarded(directly)
    async def register_context(self, context: Any) -> None:
        """Open the client's session in one group."""
        params = context.params
        client = self._connection.client
        if not client:
            raise Refused(EdgeCode.INVALID_INPUT, "a session needs a client id in the handshake")
        one = self._edge.group(group_number(params.group))
        self._edge.must_lead(one)
        header = EntryHeader(kind=Kind.REGISTER, client=ClientId(client))
        with self._connection.call():
            outcome = await one.group.submit(with_body(header, b""), timeout(params.timeoutMs))
        if not outcome.accepted:
            raise of_outcome(outcome)
        context.results.session = outcome.base


class Clients:
    """The connections of a node's clients."""

    def __init__(self, edge: Edge, machine: Machine) -> None:
        """Make it on the loop's thread."""
        self._edge = edge
        self._machine = machine
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Connection] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    async def serve(self, stream: Any, gate: Gate) -> None:
        """Serve one connection until it ends."""
        if len(self._open) >= CONNECTIONS_MAX or self._edge.stopping:
            gate.abort()
            return
        self._count += 1
        connection = Connection(gate, self._count)
        door = FrontDoor(self._edge, connection, self._machine)
        self._open[connection.number] = connection
        # Whoever connects and says nothing, or only half a message, does not stay.
        late = self._loop.call_later(HELLO_SECONDS, door.too_late)
        try:
            await self._machine.serve(stream, door)
        finally:
            late.cancel()
            del self._open[connection.number]

    def close(self) -> None:
        """End every connection."""
        for connection in list(self._open.values()):
            connection.gate.close()
