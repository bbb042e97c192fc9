"""What can happen to a node beside the protocol's own events."""

import msgspec

from veritydb.types.durable import SnapshotRef
from veritydb.types.entry import Entry
from veritydb.vsr import events as vsr


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A request whose form, limits and placement the edge has checked.

    Answered by exactly one `Reply` or `Refuse` that names the token, in this step or a later one.
    """

    token: int
    entry: Entry


class SuperblockWritten(msgspec.Struct, frozen=True, gc=False):
    """The superblock write with this number is durable, and so are all before it."""

    number: int


class SnapshotWritten(msgspec.Struct, frozen=True, gc=False):
    """A snapshot file and the outcomes before it are complete and durable, but not yet named."""

    ref: SnapshotRef


class SnapshotAbandoned(msgspec.Struct, frozen=True, gc=False):
    """The snapshot that was asked for could not be written, for want of space."""


Event = vsr.Event | Submitted | SuperblockWritten | SnapshotWritten | SnapshotAbandoned
