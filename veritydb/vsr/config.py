"""What a replica is told once, when it starts."""

from enum import IntEnum
from typing import Protocol

import msgspec

from veritydb.types.ids import GroupId
from veritydb.types.limits import MIB, MS_NS, SECOND_NS


class Random(Protocol):
    """Dice. All of the protocol's randomness comes from here."""

    def randrange(self, stop: int) -> int:
        """Return a number from 0 to `stop` - 1."""


class Status(IntEnum):
    """What a replica may do. Only in NORMAL does it acknowledge."""

    NORMAL = 1
    VIEW_CHANGE = 2
    RECOVERING_HEAD = 3
    """It may have forgotten what it acknowledged: it follows, but does not vote or acknowledge."""
    JOINING = 4
    """A replacement with an empty disk, until it holds all its predecessor may have promised."""
    HALTED = 5


# Every step asks for the status several times, and each look into the class costs like a call.
NORMAL, VIEW_CHANGE, HALTED = Status.NORMAL, Status.VIEW_CHANGE, Status.HALTED
RECOVERING_HEAD, JOINING = Status.RECOVERING_HEAD, Status.JOINING


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Identity and times (ns). Those that replicas could share are jittered where they are used.

    A backup that heard nothing from its primary for `suspect` votes to leave the view, after
    `suspect_lost` already if the connection broke too. `eager_bytes` must wait before another op is
    proposed while some are on their way.

    A replica that lags by more than `transfer_ops` takes a peer's snapshot instead of all these
    ops. Snapshots and history travel in parts of about `part_bytes`.
    """

    cluster: bytes
    group: GroupId
    index: int
    replicas: int
    kernel: int
    heartbeat: int = 50 * MS_NS
    suspect: int = 500 * MS_NS
    suspect_lost: int = 200 * MS_NS
    view_change: int = 600 * MS_NS
    abdicate: int = 800 * MS_NS
    resend: int = 100 * MS_NS
    fetch: int = 250 * MS_NS
    ping: int = 500 * MS_NS
    sample_age: int = 20 * SECOND_NS
    eager_bytes: int = MIB
    transfer_ops: int = 20_000
    part_bytes: int = MIB
