"""Everything a replica can ask for. It carries nothing out itself.

Effects of one step are carried out in order. Writes complete in the order they were asked for
(frames, cuts and view states share one queue of one writer), reads may overtake them.
"""

from enum import IntEnum

import msgspec

from veritydb.types.durable import SnapshotRef, ViewState
from veritydb.types.frame import Frame, Header
from veritydb.types.history import History, Proof
from veritydb.types.ids import Op, View
from veritydb.vsr.messages import Message


class Send(msgspec.Struct, frozen=True, gc=False):
    """Hand a message to the peer `to`. May be lost: the protocol repeats what matters."""

    to: int
    message: Message


class WriteFrames(msgspec.Struct, frozen=True, gc=False):
    """Append consecutive frames to the log; answered by `FramesWritten` once durable."""

    frames: tuple[Frame, ...]


class RepairFrame(msgspec.Struct, frozen=True, gc=False):
    """Write a frame again, in its place, that the log names but cannot read."""

    frame: Frame


class CutLog(msgspec.Struct, frozen=True, gc=False):
    """Durably forget every op after `after`: a view change decided that they never happened."""

    after: Op


class WriteViewState(msgspec.Struct, frozen=True, gc=False):
    """Make the protocol's memory durable; answered by `ViewStateWritten(number)`."""

    number: int
    state: ViewState


class ReadFrames(msgspec.Struct, frozen=True, gc=False):
    """Read ops `first` to `last` from the log, at most `bytes_max` together but at least one."""

    token: int
    first: Op
    last: Op
    bytes_max: int


class ReadHeaders(msgspec.Struct, frozen=True, gc=False):
    """Read the headers of ops `first` to `last` from the journal."""

    token: int
    first: Op
    last: Op


class Commit(msgspec.Struct, frozen=True, gc=False):
    """This op is agreed on for ever. Ops come in order, each once per life of a process."""

    frame: Frame


class ReadIndexReady(msgspec.Struct, frozen=True, gc=False):
    """A quorum confirmed the view after `ReadIndex(token)`: state at `commit` is fresh enough.

    `commit` is None when this replica is no longer a primary that can know.
    """

    token: int
    commit: Op | None


class RoleChanged(msgspec.Struct, frozen=True, gc=False):
    """Status, view or primary changed. If `dropped`, requests not yet committed may be lost."""

    view: View
    primary: int
    dropped: bool


class HaltKind(IntEnum):
    """Why a replica may not go on."""

    REPLACED = 1
    """Its index was given to another incarnation."""
    DIVERGED = 2
    """Its log and the group's contradict each other where they cannot, short of rot or a bug."""
    DAMAGED = 3
    """Its own memory cannot be trusted and no peer can mend it."""
    LOST_DISK = 4
    """A peer remembers what it acknowledged, and its disk does not: it has to be replaced."""


class Halt(msgspec.Struct, frozen=True, gc=False):
    """Stop this replica for good: going on could do harm. `reason` names ops and numbers only."""

    reason: str
    kind: HaltKind = HaltKind.DIVERGED


class ReadSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Read `size` bytes of our snapshot from `at` on, for a peer; answered by `SnapshotRead`."""

    token: int
    ref: SnapshotRef
    at: int
    size: int


class SaveSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Write bytes of a peer's snapshot beside our own; `at` 0 begins it anew.

    Answered by `SnapshotSaved`, or `SnapshotRefused` where there is no space. Same queue as writes.
    """

    ref: SnapshotRef
    at: int
    data: bytes


class CheckSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Make what was saved durable, read it back, and see whether it is what `ref` says.

    Answered by `SnapshotChecked` or `SnapshotRefused`.
    """

    ref: SnapshotRef


class InstallSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Begin the log anew from the snapshot that was checked; answered by `SnapshotInstalled`.

    Our own log, all of it up to `applied`, stays as it is. Same queue as writes.
    """

    ref: SnapshotRef
    base: Header
    applied: Op


class ReadHistory(msgspec.Struct, frozen=True, gc=False):
    """Read ops that end with `last`, none below `first`, and their outcomes, at least one op.

    With `proof` only what it proves counts: anything else is as if it was not there.
    """

    token: int
    first: Op
    last: Op
    bytes_max: int
    proof: Proof | None = None


class WriteHistory(msgspec.Struct, frozen=True, gc=False):
    """If `proof` proves it, write a stretch of the log that a snapshot stood for.

    Answered by `HistoryWritten` or `HistoryRefused`. Same queue as writes.
    """

    history: History
    proof: Proof


class CloseGap(msgspec.Struct, frozen=True, gc=False):
    """All ops behind `after` have been written: the log is whole again. Answered by `GapClosed`."""

    after: Op


Effect = (
    Send
    | WriteFrames
    | RepairFrame
    | CutLog
    | WriteViewState
    | ReadFrames
    | ReadHeaders
    | Commit
    | ReadIndexReady
    | RoleChanged
    | Halt
    | ReadSnapshot
    | SaveSnapshot
    | CheckSnapshot
    | InstallSnapshot
    | ReadHistory
    | WriteHistory
    | CloseGap
)
