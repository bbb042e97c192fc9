"""Everything that can happen to a replica. Nothing else changes it.

Durability is something a replica is told: only `FramesWritten` may lead to an acknowledgement, only
`ViewStateWritten` lets a message leave that implies the view.
"""

import msgspec

from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Frame, Header
from veritydb.types.history import History
from veritydb.types.ids import Op
from veritydb.vsr.messages import Message


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time passed: `mono` since some start, `wall` since 1970, both in ns. Every 10 ms or so."""

    mono: int
    wall: int


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """One request to be agreed on: an entry's bytes and its Merkle leaf. VSR never looks inside."""

    data: bytes
    leaf: bytes


class Proposed(msgspec.Struct, frozen=True, gc=False):
    """Requests that wait for a place in the log. Only a primary in normal status takes them."""

    proposals: tuple[Proposal, ...]


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message arrived and its form was checked (`messages.decode`)."""

    message: Message


class FramesWritten(msgspec.Struct, frozen=True, gc=False):
    """Every frame handed to `WriteFrames` up to `op`, with hash `hash`, survives a power cut."""

    op: Op
    hash: bytes


class FrameRepaired(msgspec.Struct, frozen=True, gc=False):
    """The frame handed to `RepairFrame` survives a power cut."""

    op: Op
    hash: bytes


class LogCut(msgspec.Struct, frozen=True, gc=False):
    """No record after `after` is left, durably."""

    after: Op


class ViewStateWritten(msgspec.Struct, frozen=True, gc=False):
    """The `number`-th `WriteViewState` is durable (and so are all before it)."""

    number: int


class FramesRead(msgspec.Struct, frozen=True, gc=False):
    """Answer to `ReadFrames`: consecutive frames from `first`; None where one is rotten.

    Fewer than asked for where the byte limit was reached; at least one unless the log ends.
    """

    token: int
    first: Op
    frames: tuple[Frame | None, ...]


class HeadersRead(msgspec.Struct, frozen=True, gc=False):
    """Answer to `ReadHeaders`: consecutive headers from `first`, up to the first missing one."""

    token: int
    first: Op
    headers: tuple[Header, ...]


class FrameRotten(msgspec.Struct, frozen=True, gc=False):
    """Somebody who read a committed op for other purposes found that its frame has rotted."""

    op: Op


class PeerLost(msgspec.Struct, frozen=True, gc=False):
    """The connection to a peer closed or was refused. A hint for the failure detector, no proof."""

    index: int


class PeerReached(msgspec.Struct, frozen=True, gc=False):
    """A connection to a peer was made."""

    index: int


class ReadIndex(msgspec.Struct, frozen=True, gc=False):
    """A reader asks for a point no earlier than now: see `ReadIndexReady`. Primary only."""

    token: int


class SnapshotRead(msgspec.Struct, frozen=True, gc=False):
    """Answer to `ReadSnapshot`; None if the snapshot has been replaced by a newer one."""

    token: int
    at: int
    data: bytes | None


class SnapshotSaved(msgspec.Struct, frozen=True, gc=False):
    """The bytes handed to `SaveSnapshot` were written, not durably; there are `size` now."""

    op: Op
    size: int


class SnapshotChecked(msgspec.Struct, frozen=True, gc=False):
    """All of the snapshot that was saved is durable and what `ref` says; `base` is its op's header.

    Whoever tells this holds the state it decodes to.
    """

    ref: SnapshotRef
    base: Header


class SnapshotRefused(msgspec.Struct, frozen=True, gc=False):
    """What was saved is not the snapshot it was offered as, or there was no space for it."""

    op: Op


class SnapshotInstalled(msgspec.Struct, frozen=True, gc=False):
    """`InstallSnapshot` is durable: the log begins behind the snapshot, and has a gap before it."""

    ref: SnapshotRef


class HistoryRead(msgspec.Struct, frozen=True, gc=False):
    """Answer to `ReadHistory`. `rotten` is an op whose frame could not be read, or 0."""

    token: int
    history: History
    rotten: Op = Op(0)


class HistoryWritten(msgspec.Struct, frozen=True, gc=False):
    """The stretch handed to `WriteHistory` that begins with `first` was proved and is durable."""

    first: Op


class HistoryRefused(msgspec.Struct, frozen=True, gc=False):
    """The stretch handed to `WriteHistory` is not the log's."""

    first: Op


class GapClosed(msgspec.Struct, frozen=True, gc=False):
    """`CloseGap` is durable, if `joined`; otherwise the history does not fit the log before it."""

    after: Op
    joined: bool


class StepDown(msgspec.Struct, frozen=True, gc=False):
    """An operator asks the primary to let another one be elected."""


Event = (
    Tick
    | Proposed
    | Received
    | FramesWritten
    | FrameRepaired
    | LogCut
    | ViewStateWritten
    | FramesRead
    | HeadersRead
    | FrameRotten
    | PeerLost
    | PeerReached
    | ReadIndex
    | SnapshotRead
    | SnapshotSaved
    | SnapshotChecked
    | SnapshotRefused
    | SnapshotInstalled
    | HistoryRead
    | HistoryWritten
    | HistoryRefused
    | GapClosed
    | StepDown
)
