"""Fairness between tenants: nobody fills the queue of a group alone while others wait for it."""

from collections.abc import Iterator
from contextlib import contextmanager

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

    @contextmanager
    def of(self, tenant: int, size: int) -> Iterator[None]:
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
        mine[0] += 1
        mine[1] += size
        self._entries += 1
        self._bytes += size
        try:
            yield
        finally:
            mine[0] -= 1
            mine[1] -= size
            self._entries -= 1
            self._bytes -= size
            if not mine[0]:
                self._tenants.pop(tenant, None)
