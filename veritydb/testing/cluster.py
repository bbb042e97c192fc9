"""A whole cluster in memory, as a program that uses it sees it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType

from veritydb.client.given import (
    check_class,
    check_name,
    check_placement,
    check_retention,
    check_tenant,
    check_type,
)
from veritydb.client.values import StreamInfo
from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import group_for_placement, region_name
from veritydb.policy.state import Rules
from veritydb.streams.commands import CreateStream
from veritydb.streams.state import find
from veritydb.testing.requests import Requests, error_of
from veritydb.testing.stream import Stream, info_of
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.errors import AmbiguousStream
from veritydb.types.ids import GroupId, TenantId
from veritydb.types.labels import DataClass, Placement, Region
from veritydb.types.outcome import Code
from veritydb.types.retention import Retention

REGION = Region("local")
"""Where the streams of a cluster lie that was not told its regions."""
START = datetime(2026, 1, 1, tzinfo=UTC)


class Cluster(Requests):
    """Nodes in memory, each with a replica of every group: one per region, and the global one.

    Calls wait by letting simulated time pass, and take as much real time as the work does. For one
    thread only. A context manager, but nothing is left over if it is simply dropped.
    """

    def __init__(
        self,
        replicas: int = 3,
        *,
        regions: Iterable[str] = (REGION.name,),
        start: datetime = START,
    ) -> None:
        """`replicas` is 1, 3 or 5; `start` what the clocks say at first. Raises InvalidInput."""
        super().__init__(replicas, regions, start)
        for number, _ in self.directory.groups:
            self.lead(number)

    def __enter__(self) -> "Cluster":
        """It has started already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of everything."""
        self.close()

    def primary(self, placement: Placement | None = None) -> int:
        """Wait for the node that leads a placement's group: the first region's unless told.

        Raises Unavailable.
        """
        number = GroupId(1) if placement is None else self._group_at(placement)
        return self.lead(number).index

    # -- streams

    def create_stream(
        self,
        name: str,
        *,
        tenant: int,
        data_class: DataClass,
        placement: Placement = REGION,
        retention: Retention | None = None,
    ) -> Stream:
        """As `Client.create_stream`."""
        check_name(name)
        check_tenant(tenant)
        check_class(data_class)
        check_placement(placement)
        if retention is not None:
            check_retention(retention)
        group = group_for_placement(self.directory, data_class, placement)
        if isinstance(group, Code):
            raise error_of(group)
        command = CreateStream(name, data_class, placement, retention)
        header = EntryHeader(kind=Kind.COMMAND, tenant=TenantId(tenant))
        outcome = self.command(group, header, command, also=Code.STREAM_ALREADY_EXISTS)
        return Stream(self, self.state(group, outcome.stream).info)

    def stream(self, name: str, *, tenant: int, placement: Placement | None = None) -> Stream:
        """As `Client.stream`."""
        check_name(name)
        check_tenant(tenant)
        found = [
            state.info
            for number in self._groups(placement)
            if (state := find(self.fresh(number).node.kernel.streams, TenantId(tenant), name))
        ]
        if len(found) > 1:
            raise AmbiguousStream("several groups have a stream of this name; say the placement")
        if not found:
            raise error_of(Code.NO_SUCH_STREAM)
        return Stream(self, found[0])

    def list_streams(self, *, tenant: int, placement: Placement | None = None) -> list[StreamInfo]:
        """As `Client.list_streams`."""
        check_tenant(tenant)
        return [
            info_of(state)
            for number in self._groups(placement)
            for _, state in sorted(self.fresh(number).node.kernel.streams.records.items())
            if state.info.tenant == tenant
        ]

    def set_policy(self, rules: Rules, *, placement: Placement = REGION) -> int:
        """Put rules in force in a placement's group and return their version."""
        check_type(rules, Rules, "rules are Rules")
        group = self._group_at(placement)
        version = self.fresh(group).node.kernel.policy.version
        self.command(group, EntryHeader(kind=Kind.COMMAND), SetPolicy(version, rules))
        return self.fresh(group).node.kernel.policy.version

    def _groups(self, placement: Placement | None) -> tuple[GroupId, ...]:
        if placement is not None:
            return (self._group_at(placement),)
        return tuple(GroupId(number) for number, _ in self.directory.groups)

    def _group_at(self, placement: Placement) -> GroupId:
        check_placement(placement)
        wanted = region_name(placement)
        for number, region in self.directory.groups:
            if region == wanted:
                return GroupId(number)
        raise error_of(Code.NO_SUCH_REGION)
