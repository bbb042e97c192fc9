"""The `Cluster` capability: who is where, who leads, and what operators may do about it."""

import os
from typing import Any

from veritydb import __version__
from veritydb.server.connection import Connection
from veritydb.server.edge import Edge, group_number, timeout
from veritydb.server.hosted import Hosted
from veritydb.server.refusals import Refused, directly, guarded, of_outcome
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.errors import EdgeCode
from veritydb.types.outcome import Code
from veritydb.vsr.events import StepDown
from veritydb.wire.schemas import load

SCHEMA = load("cluster")
ClusterServer: Any = SCHEMA.Cluster.Server


class ClusterHandler(ClusterServer):  # type: ignore[misc]
    """One connection's `Cluster`."""

    def __init__(self, edge: Edge, connection: Connection) -> None:
        """`connection` is whose calls these are."""
        self.log = edge.log
        self._edge = edge
        self._connection = connection

    @guarded(None)
    async def status_context(self, context: Any) -> None:
        """How this node is, as far as it can tell without asking anybody."""
        edge = self._edge
        status = context.results.init("status")
        status.name = edge.node
        status.pid = os.getpid()
        status.address = edge.config.node(edge.node).client
        status.ready = not edge.stopping and all(map(serves, edge.hosted.values()))
        status.version = __version__
        status.cluster = edge.config.cluster_id
        ones = [one for _, one in sorted(edge.hosted.items())]
        for to, one in zip(status.init("groups", len(ones)), ones, strict=True):
            put_group(to, one)
        pauses = list(edge.pauses.all())
        for to, (what, histogram) in zip(status.init("pauses", len(pauses)), pauses, strict=True):
            to.what = what
            to.longestUs = histogram.longest_ns // 1_000
            to.counts = histogram.counts

    @guarded(None)
    async def directory_context(self, context: Any) -> None:
        """Every group of the cluster, and the nodes that hold it."""
        config = self._edge.config
        parts = sorted(config.groups, key=lambda part: part.number)
        for to, part in zip(context.results.init("groups", len(parts)), parts, strict=True):
            to.group = part.number
            to.region = part.region
            to.addresses = [config.node(name).client for name in part.replicas]

    @guarded(directly)
    async def stepDown_context(self, context: Any) -> None:
        """Let another replica lead."""
        one = self._edge.group(group_number(context.params.group))
        self._edge.must_lead(one)
        if len(one.part.replicas) == 1:
            raise Refused(Code.NOT_SUPPORTED, "the group has one replica; no other can lead")
        one.group.post(StepDown())

    @guarded(directly)
    async def replace_context(self, context: Any) -> None:
        """Give an index a new incarnation, for a replica whose disk was lost."""
        params = context.params
        one = self._edge.group(group_number(params.group))
        index = params.index
        if index >= len(one.part.replicas):
            raise Refused(EdgeCode.INVALID_INPUT, "the group has no replica of this index")
        if len(one.part.replicas) == 1:
            raise Refused(Code.NOT_SUPPORTED, "the group has one replica; nobody has its data")
        self._edge.must_lead(one)
        if index == one.who.index:
            raise Refused(EdgeCode.INVALID_INPUT, "the primary does not replace itself")
        if one.group.node.replica.answers(index):
            # It would be stopped, and with the one that was meant there would be no quorum left.
            raise Refused(
                EdgeCode.INVALID_INPUT, "the replica of this index is at work; end its node first"
            )
        incarnation = one.group.node.state.members[index] + 1
        header = EntryHeader(kind=Kind.REPLACE_REPLICA, events=index, expected=incarnation)
        outcome = await one.group.submit(with_body(header, b""), timeout(params.timeoutMs))
        if not outcome.accepted:
            raise of_outcome(outcome)
        context.results.incarnation = incarnation


def serves(one: Hosted) -> bool:
    """Whether a group's replica here can do its part."""
    return one.started and one.group.serves


def put_group(to: Any, one: Hosted) -> None:
    """Write how one group's replica is."""
    node = one.group.node
    to.group = one.part.number
    to.region = one.part.region
    to.index = one.who.index
    to.role = role(one)
    to.view = node.replica.view
    to.op = node.replica.op
    to.commit = node.replica.commit
    to.primary = one.group.primary_address()
    to.ready = serves(one)
    to.incarnation = one.who.incarnation
    to.applied = node.applied
    to.rotten = node.replica.faulty


def role(one: Hosted) -> str:
    """One word for people."""
    if not one.started:
        return "unborn"
    if not one.writable() and one.group.node.role in ("primary", "backup", "backfilling"):
        return "read-only"
    return one.group.node.role
