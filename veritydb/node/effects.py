"""What a node asks of the world. Effects of one step are performed in order.

`WriteFrames`, `CutLog`, `RepairFrame`, `WriteSuperblock`, `AppendOutcomes`, `SaveSnapshot`,
`InstallSnapshot`, `WriteHistory` and `CloseGap` share one writer, first in, first out.
`CheckSnapshot` is answered by the node's own event `SnapshotLoaded`.
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec

from veritydb.kernel.effects import Reclaim, WakeConsumer, WakeProjection
from veritydb.types.durable import SnapshotRef, ViewState
from veritydb.types.frame import Header
from veritydb.types.ids import Offset, Op, StreamId
from veritydb.types.outcome import Outcome
from veritydb.vsr.effects import (
    CheckSnapshot,
    CloseGap,
    CutLog,
    Halt,
    InstallSnapshot,
    ReadFrames,
    ReadHeaders,
    ReadHistory,
    ReadIndexReady,
    ReadSnapshot,
    RepairFrame,
    RoleChanged,
    SaveSnapshot,
    Send,
    WriteFrames,
    WriteHistory,
)


class RefuseReason(IntEnum):
    """Why a request did not enter the log. All but DROPPED mean: certainly not applied."""

    NOT_PRIMARY = 1
    NOT_READY = 2
    OVERLOADED = 3
    CLOCK = 4
    DROPPED = 5
    """The primary changed while the request waited: it may have been applied, or may yet be."""


class WriteSuperblock(msgspec.Struct, frozen=True, gc=False):
    """Make this durable; a part that is None stays as it was. Answered by `SuperblockWritten`."""

    number: int
    view_state: ViewState | None
    snapshot: SnapshotRef | None


class Reply(msgspec.Struct, frozen=True, gc=False):
    """The request was agreed on, and this became of it."""

    token: int
    outcome: Outcome


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """The request was not taken. `redirect` is the index of the replica to ask, if known."""

    token: int
    reason: RefuseReason
    redirect: int | None = None
    retry_after_ms: int = 0


class AppendOutcomes(msgspec.Struct, frozen=True, gc=False):
    """Store outcome records from the `first`-th entry of the log on. Derived: not synced."""

    first: int
    data: bytes


class Run(msgspec.Struct, frozen=True, gc=False):
    """Events `base` to `base + count` of a stream lie in entry `entry` of the op.

    `parts` says which of the entry's parts hold them, `first` to `end`.
    """

    stream: StreamId
    base: Offset
    count: int
    entry: int
    bytes: int
    first: int
    end: int


class IndexRuns(msgspec.Struct, frozen=True, gc=False):
    """What the stream index learns from one committed op."""

    op: Op
    timestamp: int
    runs: tuple[Run, ...]


class TakeSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Write these chunks as a snapshot of the state after `base`; answered by `SnapshotWritten`.

    The chunks are made as they are asked for, each within about 2 ms, from a state that no longer
    changes; ask for them between steps. Outcomes are to be synced before the answer.
    """

    base: Header
    outcomes: bytes
    chunks: Iterator[bytes]


Effect = (
    AppendOutcomes
    | CheckSnapshot
    | CloseGap
    | CutLog
    | Halt
    | IndexRuns
    | InstallSnapshot
    | ReadFrames
    | ReadHeaders
    | ReadHistory
    | ReadIndexReady
    | ReadSnapshot
    | Reclaim
    | Refuse
    | RepairFrame
    | Reply
    | RoleChanged
    | SaveSnapshot
    | Send
    | TakeSnapshot
    | WakeConsumer
    | WakeProjection
    | WriteFrames
    | WriteHistory
    | WriteSuperblock
)

__all__ = [
    "AppendOutcomes",
    "CheckSnapshot",
    "CloseGap",
    "CutLog",
    "Effect",
    "Halt",
    "IndexRuns",
    "InstallSnapshot",
    "ReadFrames",
    "ReadHeaders",
    "ReadHistory",
    "ReadIndexReady",
    "ReadSnapshot",
    "Reclaim",
    "Refuse",
    "RefuseReason",
    "RepairFrame",
    "Reply",
    "RoleChanged",
    "Run",
    "SaveSnapshot",
    "Send",
    "TakeSnapshot",
    "WakeConsumer",
    "WakeProjection",
    "WriteFrames",
    "WriteHistory",
    "WriteSuperblock",
]
