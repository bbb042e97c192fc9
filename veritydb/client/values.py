"""What goes into the client's calls and what comes out of them. The same for all three faces."""

from collections.abc import Sequence
from enum import Enum

import msgspec

from veritydb.client.given import check_number, check_type
from veritydb.policy.state import Rules
from veritydb.types.entry import EXPECT_ANY, EXPECT_EXISTS, EXPECT_NO_STREAM, OFFSET_MAX
from veritydb.types.errors import InvalidInput
from veritydb.types.event import Event
from veritydb.types.ids import NO_ID
from veritydb.types.labels import DataClass, Placement
from veritydb.types.retention import Retention


class Expected(Enum):
    """Where a stream may be for an append to be applied. An exact offset is written as a number."""

    ANY = EXPECT_ANY
    NO_STREAM = EXPECT_NO_STREAM
    """Nothing was ever appended."""
    STREAM_EXISTS = EXPECT_EXISTS
    """At least one event was appended."""


ANY = Expected.ANY
NO_STREAM = Expected.NO_STREAM
STREAM_EXISTS = Expected.STREAM_EXISTS


def expectation(expected: Expected | int) -> int:
    """Return how an entry spells it. Raises InvalidInput."""
    if isinstance(expected, Expected):
        return int(expected.value)
    check_number(expected, "an expected offset", high=OFFSET_MAX)
    return expected


class Durability(Enum):
    """What an acknowledgement means."""

    LOCAL_QUORUM = 0
    """On the disks of a quorum of the stream's group."""
    GEO_DURABLE = 1
    """Refused with NotSupported until there is replication across regions."""


class Consistency(Enum):
    """How fresh a read is."""

    LOCAL = 0
    """What the node that answers has applied."""
    LINEARIZABLE = 1
    """No older than the moment of the call. Only a primary can answer."""


LOCAL = Consistency.LOCAL
LINEARIZABLE = Consistency.LINEARIZABLE


class Token(msgspec.Struct, frozen=True):
    """Points in the logs of some groups, (group, op) ascending. Tokens are joined with `|`."""

    marks: tuple[tuple[int, int], ...] = ()

    def __or__(self, other: "Token") -> "Token":
        """The later point of each group."""
        latest = dict(self.marks)
        for group, op in other.marks:
            latest[group] = max(op, latest.get(group, 0))
        return Token(tuple(sorted(latest.items())))

    def __str__(self) -> str:
        """As text that `parse` reads."""
        return ",".join(f"{group}:{op}" for group, op in self.marks)

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Read what `str` wrote. Raises InvalidInput."""
        try:
            pairs = [one.split(":") for one in text.split(",") if one]
            return cls(tuple(sorted((int(group), int(op)) for group, op in pairs)))
        except (ValueError, TypeError, AttributeError):
            raise InvalidInput("a token is written group:op,group:op") from None


class Position(msgspec.Struct, frozen=True, order=True):
    """Where an event lies: its group's log, the op, the entry in the op, the event in the entry.

    Positions of one group are ordered; there is no order across groups.
    """

    group: int
    op: int
    entry: int
    index: int


class StoredEntry(msgspec.Struct, frozen=True):
    """What the events of one append have in common. `timestamp` is log time, ns since 1970."""

    stream: int
    group: int
    op: int
    entry: int
    base: int
    timestamp: int
    batch: bytes = NO_ID
    origin: bytes = NO_ID
    origin_seq: int = 0


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it was stored. `index` is its place in its entry."""

    offset: int
    type: str
    payload: bytes
    id: bytes
    schema_version: int
    occurred_at: int
    causation_id: bytes
    correlation_id: bytes
    actor: str
    metadata: bytes
    tags: tuple[str, ...]
    index: int
    entry: StoredEntry

    @property
    def timestamp(self) -> int:
        """Log time of the append."""
        return self.entry.timestamp

    @property
    def position(self) -> Position:
        """Where it lies."""
        entry = self.entry
        return Position(entry.group, entry.op, entry.entry, self.index)

    @property
    def origin_seq(self) -> int:
        """The event's sequence at the batch's origin, 0 without one."""
        return self.entry.origin_seq + self.index if self.entry.origin != NO_ID else 0

    def event(self) -> Event:
        """The event as its author wrote it."""
        return Event(
            self.type,
            self.payload,
            self.id,
            self.schema_version,
            self.occurred_at,
            self.causation_id,
            self.correlation_id,
            self.actor,
            self.metadata,
            self.tags,
        )


class Erased(msgspec.Struct, frozen=True, gc=False):
    """There was an event here, and its bytes are gone for good."""

    offset: int
    index: int
    entry: StoredEntry

    @property
    def timestamp(self) -> int:
        """Log time of the append."""
        return self.entry.timestamp

    @property
    def position(self) -> Position:
        """Where it lay."""
        return Position(self.entry.group, self.entry.op, self.entry.entry, self.index)


class Truncated(msgspec.Struct, frozen=True, gc=False):
    """The events from `offset` up to but not including `end` were given up by retention."""

    offset: int
    end: int


Item = RecordedEvent | Erased | Truncated
"""What a read yields. Whoever reads has to say what each of them means to him."""


class ReadBatch(msgspec.Struct, frozen=True, gc=False):
    """The events of one append, undecoded but for type and payload: the fast way to read.

    Event i has the offset `base + i`. `erased` and `truncated` say that there are none to be had:
    then both lists are empty and `count` offsets are passed over.
    """

    base: int
    count: int
    timestamp: int
    types: list[str]
    payloads: list[bytes]
    erased: bool = False
    truncated: bool = False

    @property
    def offsets(self) -> range:
        """The offsets of the events."""
        return range(self.base, self.base + self.count)


class Appended(msgspec.Struct, frozen=True):
    """An append that the log holds. `duplicate`: it had been applied before.

    `base` is the first event's offset, the others follow; None for a duplicate so old that its
    place is no longer remembered. `token` makes any node's later reads include it.
    """

    stream: int
    base: int | None
    count: int
    duplicate: bool
    token: Token

    @property
    def offsets(self) -> range:
        """The offsets of the events; empty if `base` is not known."""
        return range(0) if self.base is None else range(self.base, self.base + self.count)

    @property
    def next(self) -> int | None:
        """The offset after the last event: what to expect in the next append."""
        return None if self.base is None else self.base + self.count


Offsets = Appended


class PublishOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How `publish` appends. Every payload becomes an event of type `type`."""

    type: str = ""
    expected: Expected | int = ANY
    durability: Durability = Durability.LOCAL_QUORUM
    placement: Placement | None = None
    origin: bytes | None = None
    origin_seq: int | None = None
    timeout: float | None = None


class Write(msgspec.Struct, frozen=True):
    """One stream's share of an `append_many`. ANY: wherever the stream is at that moment."""

    events: Sequence[Event]
    expected: Expected | int = ANY


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is. `floor` is the first offset that may still be read."""

    id: int
    tenant: int
    name: str
    data_class: DataClass
    placement: Placement
    group: int
    next_offset: int
    floor: int
    sealed: bool
    retention: Retention
    created_at: int
    bytes: int


class GroupInfo(msgspec.Struct, frozen=True):
    """A replication group: its region ("" for global), its nodes' addresses by replica index."""

    group: int
    region: str
    addresses: tuple[str, ...]


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as its node sees it. `rotten`: frames that its peers still have to mend."""

    group: int
    region: str
    index: int
    role: str
    view: int
    op: int
    commit: int
    applied: int
    primary: str
    ready: bool
    incarnation: int
    rotten: int = 0


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """How often the node's loop was held up for how long, by a turn of it, a snapshot, ...

    `counts` are of those up to 1, 2, 5, 10, 20, 50, 100, 200, 500 and 1,000 ms, and of the longer.
    """

    what: str
    longest_us: int
    counts: tuple[int, ...]


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One node. `reachable` is False, and the rest empty, for one that does not answer."""

    address: str
    reachable: bool
    name: str = ""
    pid: int = 0
    ready: bool = False
    version: str = ""
    cluster: bytes = b""
    groups: tuple[GroupStatus, ...] = ()
    pauses: tuple[Pauses, ...] = ()


def origin_of(origin: bytes | None, first: int | None) -> tuple[bytes, int]:
    """Check an origin and its first sequence. Raises InvalidInput."""
    if origin is None:
        if first is not None:
            raise InvalidInput("an origin sequence needs an origin")
        return NO_ID, 0
    check_type(origin, bytes, "an origin is 16 bytes, not all zero")
    if len(origin) != len(NO_ID) or origin == NO_ID:
        raise InvalidInput("an origin is 16 bytes, not all zero")
    if first is None:
        raise InvalidInput("an origin needs the sequence of its first event")
    check_number(first, "an origin's sequence")
    return origin, first


class Policy(msgspec.Struct, frozen=True):
    """The rules in force in one group, and their version."""

    version: int
    rules: Rules
    group: int
