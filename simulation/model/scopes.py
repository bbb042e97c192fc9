"""Within which bounds is searched."""

from enum import Enum

import msgspec

BITS = 4
"""Of each count in a budget."""
KINDS = ("requests", "timeouts", "crashes", "heartbeats", "rots", "reads")


class Begin(Enum):
    """Where a search begins."""

    START = "with the first start of all"
    REST = "at rest in view 1"
    DIVIDED = "in view 2, with the primary of view 1 left behind"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What may happen how often, all replicas together. Messages are never bounded.

    `views`: none later than this is entered. Replicas are born in view `born`: which makes no
    difference, but that numbers are others. `depth` and `states` end a search that is not complete
    by then.
    """

    name: str
    views: int
    requests: int = 0
    timeouts: int = 0
    crashes: int = 0
    heartbeats: int = 0
    rots: int = 0
    reads: int = 0
    begin: Begin = Begin.REST
    born: int = 0
    depth: int = 1_000
    states: int = 1 << 40

    def budget(self) -> int:
        """All counts in one number, as states carry it."""
        counts = [getattr(self, kind) for kind in KINDS]
        assert all(0 <= count < 1 << BITS for count in counts)
        return sum(count << BITS * at for at, count in enumerate(counts))


def one(kind: str) -> int:
    """What one use of a kind takes off a budget."""
    return 1 << BITS * KINDS.index(kind)


def left(budget: int, kind: str) -> int:
    """How many of a kind are left."""
    return budget >> BITS * KINDS.index(kind) & (1 << BITS) - 1
