"""What can happen to a node beside the protocol's own events."""

import msgspec

from veritydb.node.state import Applied
from veritydb.types.durable import SnapshotRef
from veritydb.types.entry import Entry
from veritydb.types.frame import Header
from veritydb.vsr import events as vsr


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A request whose form, limits and placement the edge has checked.

    Answered by exactly one `Reply` or `Refuse` that names the token, in this step or a later one.
    """

    token: int
    entry: Entry


class SubmittedTogether(msgspec.Struct, frozen=True, gc=False):
    """Requests that came at the same time: what of them is proposed is proposed at once."""

    requests: tuple[Submitted, ...]


class SuperblockWritten(msgspec.Struct, frozen=True, gc=False):
    """The superblock write with this number is durable, and so are all before it."""

    number: int


class SnapshotWritten(msgspec.Struct, frozen=True, gc=False):
    """A snapshot file and the outcomes before it are complete and durable, but not yet named."""

    ref: SnapshotRef


class SnapshotAbandoned(msgspec.Struct, frozen=True, gc=False):
    """The snapshot that was asked for could not be written, for want of space."""


class SnapshotLoaded(msgspec.Struct, frozen=True, gc=False):
    """A peer's snapshot was read back, proved to be the one of `ref`, and decoded to `state`."""

    ref: SnapshotRef
    base: Header
    state: Applied


Event = (
    vsr.Event
    | Submitted
    | SubmittedTogether
    | SuperblockWritten
    | SnapshotWritten
    | SnapshotAbandoned
    | SnapshotLoaded
)
