"""Fairness between tenants: nobody fills the queue of a group alone while others wait for it."""

from types import TracebackType

from veritydb.server.refusals import Refused
from veritydb.types.errors import EdgeCode
from veritydb.types.limits import PENDING_BYTES_MAX, PENDING_ENTRIES_MAX

RETRY_MS = 50
# Up to here anybody may take what there is; from here on everybody has a share.
FREE_ENTRIES = PENDING_ENTRIES_MAX // 2
FREE_BYTES = PENDING_BYTES_MAX // 2


class Shares:
    """What each tenant has under way in one group."""

    def __init__(self) -> None:
        self._tenants: dict[int, list[int]] = {}
        self._entries = 0
        self._bytes = 0

    def of(self, tenant: int, size: int) -> "Share":
        """Enter this around a request of a tenant. Raises Refused beyond its share."""
        mine = self._tenants.setdefault(tenant, [0, 0])
        count = len(self._tenants)
        crowded = self._entries >= FREE_ENTRIES or self._bytes + size > FREE_BYTES
        greedy = mine[0] >= FREE_ENTRIES // count or mine[1] + size > FREE_BYTES // count
        if crowded and greedy and mine[0]:
            raise Refused(
                EdgeCode.OVERLOADED,
                "this tenant has its share of the queue already",
                retry_after_ms=RETRY_MS,
                limit=PENDING_ENTRIES_MAX,
            )
        return Share(self, tenant, size)

    def add(self, tenant: int, count: int, size: int) -> None:
        """Count what a tenant has under way from now on, or no more."""
        mine = self._tenants.setdefault(tenant, [0, 0])
        mine[0] += count
        mine[1] += size
        self._entries += count
        self._bytes += size
        if not mine[0]:
            del self._tenants[tenant]


class Share:
    """One request of a tenant while it is under way."""

    __slots__ = ("_shares", "_size", "_tenant")

    def __init__(self, shares: Shares, tenant: int, size: int) -> None:
        self._shares = shares
        self._tenant = tenant
        self._size = size

    def __enter__(self) -> None:
        self._shares.add(self._tenant, 1, self._size)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shares.add(self._tenant, -1, -self._size)
