"""What applying an entry asks for beyond its outcome. Carried out once the op is applied."""

import msgspec

from veritydb.types.ids import StreamId


class WakeProjection(msgspec.Struct, frozen=True, gc=False):
    """A stream has new events that its projections have not seen."""

    stream: StreamId


class WakeConsumer(msgspec.Struct, frozen=True, gc=False):
    """A stream has new events that its readers and consumers may be waiting for."""

    stream: StreamId


class Reclaim(msgspec.Struct, frozen=True, gc=False):
    """Events below `floor` are given up: their bytes may go once log time has reached `after`."""

    stream: StreamId
    floor: int
    after: int


class Violation(msgspec.Struct, frozen=True, gc=False):
    """The log holds what should never have been proposed. A bug: this replica must stop."""

    reason: str


Effect = WakeProjection | WakeConsumer | Reclaim | Violation
