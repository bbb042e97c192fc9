"""What all handlers share: which groups are here, and the way from a request to an outcome.

Everything a client asks for is checked here, before the log: form, limits, and placement. A request
that may not lie where it was sent is never proposed; what is proposed in its stead is a record of
fixed fields that it was refused (audit.py).
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from veritydb.kernel.admission import Command, admit
from veritydb.server.audited import Audited
from veritydb.server.config import Config
from veritydb.server.connection import Connection
from veritydb.server.convert import placement, stream_name
from veritydb.server.hosted import Hosted
from veritydb.server.index import is_damage
from veritydb.server.log import Log
from veritydb.server.pauses import Pauses
from veritydb.server.reading import LogReader, NotIndexed, Unreadable, WrongIndex
from veritydb.server.refusals import Refused, of_outcome
from veritydb.server.shares import Shares
from veritydb.streams.state import Stream, find
from veritydb.types.entry import Entry, EntryHeader, Kind, with_body
from veritydb.types.errors import EdgeCode
from veritydb.types.ids import GROUP_ID_MAX, NO_ID, ClientId, GroupId, StreamId, TenantId, group_of
from veritydb.types.labels import Placement, Region
from veritydb.types.limits import COMMAND_BYTES_MAX
from veritydb.types.outcome import Code, Outcome
from veritydb.wire.log import BadCommand, encode

T = TypeVar("T")
TIMEOUT_DEFAULT_MS = 10_000
TIMEOUT_MAX_MS = 60_000


def timeout(asked: int) -> int:
    """How long a call may take."""
    return min(asked or TIMEOUT_DEFAULT_MS, TIMEOUT_MAX_MS)


class Edge:
    """The node as its handlers see it."""

    def __init__(
        self,
        config: Config,
        node: str,
        hosted: dict[int, Hosted],
        pool: Executor,
        log: Log,
        pauses: Pauses,
    ) -> None:
        """`hosted` are the groups of this node, by number."""
        self.config = config
        self.node = node
        self.hosted = hosted
        self.log = log
        self.pauses = pauses
        self.stopping = False
        self._pool = pool
        self._readers = {
            number: LogReader(one.recent, one.index_file) for number, one in hosted.items()
        }
        self._shares = {number: Shares() for number in hosted}
        self._audited = {number: Audited(one.group, one.machine) for number, one in hosted.items()}
        self._loop = asyncio.get_running_loop()

    # -- which group

    def group(self, number: int) -> Hosted:
        """A group of this node. Raises Refused, saying which node has it."""
        if self.stopping:
            raise Refused(EdgeCode.STOPPING)
        found = self.hosted.get(number)
        if found is None:
            raise self.elsewhere(number)
        return found

    def elsewhere(self, number: int) -> Refused:
        """The refusal for a group that is not on this node."""
        for part in self.config.groups:
            if part.number == number:
                address = self.config.node(part.replicas[0]).client
                return Refused(EdgeCode.UNKNOWN_GROUP, redirect=address, actual=number)
        return Refused(EdgeCode.UNKNOWN_GROUP, "the cluster has no such group")

    def group_of_placement(self, where: Placement) -> Hosted:
        """The group that holds a placement. Raises Refused."""
        region = where.name if isinstance(where, Region) else ""
        for part in self.config.groups:
            if part.region == region:
                return self.group(part.number)
        raise Refused(Code.NO_SUCH_REGION)

    # -- which stream

    def find(self, ref: Any) -> tuple[Hosted, Stream]:
        """The stream that a `StreamRef` means, as far as this node has applied. Raises Refused."""
        tenant = TenantId(ref.tenant)
        if str(ref.which()) == "id":
            one = self.group(group_of(ref.id))
            stream = one.group.node.kernel.streams.records.get(ref.id)
            if stream is None or stream.info.tenant != tenant:
                raise Refused(Code.NO_SUCH_STREAM)
            return one, stream
        name = stream_name(ref.named.name)
        where = placement(ref.named.placement)
        if where is not None:
            one = self.group_of_placement(where)
            stream = find(one.group.node.kernel.streams, tenant, name)
            if stream is None:
                raise Refused(Code.NO_SUCH_STREAM)
            return one, stream
        if self.stopping:
            raise Refused(EdgeCode.STOPPING)
        matches = [
            (one, stream)
            for one in self.hosted.values()
            if (stream := find(one.group.node.kernel.streams, tenant, name)) is not None
        ]
        if not matches:
            raise Refused(Code.NO_SUCH_STREAM)
        if len(matches) > 1:
            raise Refused(EdgeCode.AMBIGUOUS_STREAM, "several groups have a stream of this name")
        return matches[0]

    async def find_fresh(self, ref: Any, timeout_ms: int) -> tuple[Hosted, Stream]:
        """The same for whoever is about to change the stream: on its primary. Raises Refused."""
        try:
            one, stream = self.find(ref)
        except Refused as refused:
            if refused.code == Code.NO_SUCH_STREAM:
                self.blame_the_backup(ref)
            raise
        self.must_lead(one)
        return one, stream

    def blame_the_backup(self, ref: Any) -> None:
        """A stream that a backup does not know may exist: raise Refused, naming the primary."""
        if str(ref.which()) == "id":
            self.must_lead(self.group(group_of(ref.id)))
            return
        where = placement(ref.named.placement)
        ones = [self.group_of_placement(where)] if where is not None else self.hosted.values()
        for one in ones:
            self.must_lead(one)

    def must_lead(self, one: Hosted) -> None:
        """Raise Refused unless this node is the group's primary and serves."""
        if not one.group.leads:
            raise one.group.not_primary()

    # -- how fresh

    async def fresh(self, one: Hosted, linearizable: bool, at_least: int, timeout_ms: int) -> None:
        """Wait until reads of a group are as fresh as asked for. Raises Refused."""
        if linearizable:
            await one.group.read_index(timeout_ms)
        elif at_least:
            await one.group.reached(at_least, timeout_ms)

    # -- from a request to an outcome

    async def submit(
        self, one: Hosted, entry: Entry, command: Command | None, timeout_ms: int
    ) -> Outcome:
        """Check that an entry belongs here, have it agreed on. Raises Refused unless accepted."""
        outcome = await self.propose(one, entry, command, timeout_ms)
        if not outcome.accepted:
            raise of_outcome(outcome)
        return outcome

    async def propose(
        self, one: Hosted, entry: Entry, command: Command | None, timeout_ms: int
    ) -> Outcome:
        """The same, and return refusals of the log as the outcomes that they are."""
        self.must_lead(one)
        kernel = one.group.node.kernel
        code = admit(kernel, entry.header, command)
        if code is not Code.OK:
            self._audited[one.part.number].note(entry.header, code, kernel.policy.version)
            raise Refused(code)
        with self._shares[one.part.number].of(entry.header.tenant, len(entry.data)):
            return await one.group.submit(entry, timeout_ms)

    async def command(
        self,
        one: Hosted,
        command: Command,
        *,
        tenant: int,
        stream: int = 0,
        timeout_ms: int,
        connection: Connection,
    ) -> Outcome:
        """Have a command agreed on. Raises Refused unless it was accepted or already so."""
        header = EntryHeader(
            kind=Kind.COMMAND,
            client=ClientId(connection.client or NO_ID),
            tenant=TenantId(tenant),
            stream=StreamId(stream),
        )
        try:
            body = encode(command)
        except BadCommand as error:
            raise Refused(EdgeCode.TOO_LARGE, str(error), limit=COMMAND_BYTES_MAX) from None
        with connection.call(len(body)):
            return await self.propose(one, with_body(header, body), command, timeout_ms)

    # -- reading

    async def read(self, one: Hosted, work: Callable[[LogReader], T]) -> T:
        """Run a read on a reader thread. Raises Refused for what cannot be read here and now."""
        reader = self._readers[one.part.number]
        try:
            return await self._loop.run_in_executor(self._pool, one.stopping(lambda: work(reader)))
        except Unreadable as found:
            if one.missing(found.op):
                raise not_here_yet() from None
            one.rotten(found.op)
            raise Refused(EdgeCode.CORRUPT, retry_after_ms=200) from None
        except NotIndexed:
            if one.group.node.replica.missing[1]:
                raise not_here_yet() from None
            raise Refused(
                EdgeCode.NOT_READY, "the stream index is being rebuilt", retry_after_ms=200
            ) from None
        except (WrongIndex, sqlite3.Error) as error:
            if isinstance(error, WrongIndex) or is_damage(error):
                one.index_damaged(type(error).__name__)
            raise Refused(
                EdgeCode.NOT_READY, "the stream index is being rebuilt", retry_after_ms=200
            ) from None


def group_number(value: int) -> GroupId:
    """Check a group's number. Raises Refused."""
    if not 0 <= value <= GROUP_ID_MAX:
        raise Refused(EdgeCode.UNKNOWN_GROUP)
    return GroupId(value)


def not_here_yet() -> Refused:
    """The refusal of a read that reaches into what is still being fetched from other nodes."""
    return Refused(
        EdgeCode.NOT_READY,
        "this node is still fetching that part of the log; another node has it",
        retry_after_ms=200,
    )
