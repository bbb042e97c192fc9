"""Who to ask for what: pure bookkeeping of addresses, groups and primaries.

Time is a number that the caller gives, in seconds.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from veritydb.client.given import check_class, check_placement, check_type
from veritydb.client.values import GroupInfo
from veritydb.policy.placement import Directory, group_for_placement, placement_of, region_name
from veritydb.types.errors import (
    EdgeCode,
    InvalidInput,
    PlacementRefused,
    UnreachablePlacement,
)
from veritydb.types.ids import GroupId
from veritydb.types.labels import DataClass, Placement
from veritydb.types.outcome import Code

SCHEME = "veritydb"
DEFAULT_PORT = 7401
# For how long an address that failed is asked only when there is nobody else.
SUSPECT_S = 1.0


def parse_url(url: str) -> tuple[str, ...]:
    """Return the addresses of `veritydb://host:port,host:port`. Raises InvalidInput."""
    check_type(url, str, "a URL is text")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != SCHEME:
        raise InvalidInput(f"the URL does not begin with {SCHEME}://")
    addresses = [one.strip() for one in rest.rstrip("/").split(",")]
    return tuple(dict.fromkeys("{}:{}".format(*split_address(one)) for one in addresses))


def split_address(address: str) -> tuple[str, int]:
    """Return host and port. Raises InvalidInput."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or parts.query or parts.username is not None or port == 0:
        raise InvalidInput("an address is written host:port")
    return f"[{host}]" if ":" in host else host, port or DEFAULT_PORT


class Routing:
    """What one client knows of its cluster.

    A pinned client has one connection that was given to it, and asks nobody else.
    """

    def __init__(self, seeds: Sequence[str], *, pinned: bool = False) -> None:
        """Know only the addresses that the user gave."""
        assert seeds
        self._seeds = tuple(seeds)
        self._pinned = pinned
        self._groups: dict[int, GroupInfo] = {}
        self._primaries: dict[int, str] = {}
        self._failed_at: dict[str, float] = {}

    @property
    def known(self) -> bool:
        """Whether the cluster has told its directory."""
        return bool(self._groups)

    @property
    def groups(self) -> tuple[int, ...]:
        """The numbers of all groups."""
        return tuple(sorted(self._groups))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address there is, the user's own first."""
        if self._pinned:
            return self._seeds
        named = (one for group in self._groups.values() for one in group.addresses)
        return tuple(dict.fromkeys((*self._seeds, *named)))

    def learn(self, directory: Iterable[GroupInfo]) -> None:
        """Take over what the cluster says of its groups."""
        self._groups = {group.group: group for group in directory}

    # -- placement

    def directory(self) -> Directory:
        """Return the groups as policy sees them."""
        rows = [(info.group, info.region) for info in self._groups.values()]
        return Directory(tuple(sorted(rows)))

    def group_for_new(self, data_class: DataClass, placement: Placement) -> int:
        """Return the group for a new stream. Raises PlacementRefused or UnreachablePlacement."""
        check_class(data_class)
        check_placement(placement)
        group = group_for_placement(self.directory(), data_class, placement)
        if group is Code.PLACEMENT_REFUSED:
            raise PlacementRefused(f"{data_class.name} may not lie in {placement}")
        if group is Code.NO_SUCH_REGION:
            raise unserved(placement)
        return int(group)

    def group_at(self, placement: Placement) -> int:
        """Return the group that serves a placement. Raises UnreachablePlacement."""
        check_placement(placement)
        wanted = region_name(placement)
        for info in self._groups.values():
            if info.region == wanted:
                return info.group
        raise unserved(placement)

    def placement(self, group: int) -> Placement:
        """Return what a group serves."""
        region = self.directory().region_of(GroupId(group))
        if region is None:
            raise no_group(group)
        return placement_of(region)

    # -- whom to ask

    def replicas(self, group: int, now: float) -> tuple[str, ...]:
        """Return a group's addresses, those that failed lately last."""
        if self._pinned:
            return self._seeds
        info = self._groups.get(group)
        if info is None:
            raise no_group(group)
        return tuple(sorted(info.addresses, key=lambda one: self.suspect(one, now)))

    def primary(self, group: int) -> str | None:
        """Return who was last known to lead a group."""
        return self._primaries.get(group)

    def leads(self, group: int, address: str) -> None:
        """Remember that this node says it leads the group."""
        self._primaries[group] = self._seeds[0] if self._pinned else address

    def redirected(self, group: int, asked: str, to: str, now: float) -> None:
        """`asked` does not lead the group, and says that `to` does (or nobody, if empty)."""
        if self._primaries.get(group) == asked:
            del self._primaries[group]
        if to != asked:
            self.named(group, to, now)

    def named(self, group: int, address: str, now: float) -> None:
        """Somebody says that this node leads the group."""
        info = self._groups.get(group)
        # Only a node that holds the group is believed in: nothing else may get its bytes.
        if info is None or (address not in info.addresses and not self._pinned):
            return
        if self._pinned or not self.suspect(address, now):
            self.leads(group, address)

    def failed(self, address: str, now: float) -> None:
        """The address cannot be reached, or does not answer."""
        self._failed_at[address] = now
        for group in [g for g, leader in self._primaries.items() if leader == address]:
            del self._primaries[group]

    def answered(self, address: str) -> None:
        """The address is all right."""
        self._failed_at.pop(address, None)

    def suspect(self, address: str, now: float) -> bool:
        """Whether the address failed a moment ago."""
        at = self._failed_at.get(address)
        return at is not None and now - at < SUSPECT_S


def unserved(placement: Placement) -> UnreachablePlacement:
    """The cluster has no such region: certain, as against one that cannot be asked."""
    return UnreachablePlacement(f"no group serves {placement}", code=Code.NO_SUCH_REGION)


def no_group(group: int) -> UnreachablePlacement:
    """The cluster has no such group."""
    return UnreachablePlacement(f"there is no group {group}", code=EdgeCode.UNKNOWN_GROUP)
