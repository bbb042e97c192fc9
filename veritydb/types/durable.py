"""What a replica must never forget, as the superblock keeps it. Bytes are storage's business."""

import msgspec

from veritydb.types.frame import Header
from veritydb.types.ids import NO_ID, GroupId, Op, View
from veritydb.types.merkle import NO_HASH


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this replica is. Stamped once into its directory and never changed.

    `region` is the group's region name, empty for the global group. `incarnation` is 0 for a
    replica the cluster was born with; a replacement gets the number its logged command names.
    """

    cluster: bytes
    group: GroupId
    region: str
    index: int
    replicas: int
    incarnation: int


class ViewState(msgspec.Struct, frozen=True, kw_only=True):
    """The protocol's durable memory.

    `headers` is a suffix of the log by chain, oldest first: while `log_view < view` the one that
    every DoViewChange of this view carries; once they are equal, the one that StartView installed.
    `commit` is a lower bound of what is committed. `members` holds each index's incarnation.
    `recovering` is 0, or the op that the log must durably reach before this replica may vote or
    acknowledge again, because it may have forgotten what it acknowledged.
    """

    view: View
    log_view: View
    commit: Op
    epoch: int
    members: tuple[int, ...]
    headers: tuple[Header, ...]
    recovering: Op = Op(0)


class SnapshotRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshot a restart begins from: the state after `op`, and the hash of its file."""

    op: Op = Op(0)
    header_hash: bytes = NO_HASH
    digest: bytes = NO_HASH
    outcomes: bytes = NO_HASH
    size: int = 0


class Superblock(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `sequence` grows by one with every write; `parent` is the hash of the one before.

    Ops behind `gap_after` up to `gap_end` came to this replica only as another one's snapshot:
    their frames may be missing until they are fetched. Both are 0 if there is no such gap.
    """

    sequence: int
    parent: bytes
    identity: Identity
    view_state: ViewState
    snapshot: SnapshotRef
    gap_after: Op = Op(0)
    gap_end: Op = Op(0)


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What storage found in a replica's directory at start.

    `headers` are the journal's records after the snapshot's op, in order and without a hole, up to
    `head`; each is trusted (its record was synced, or its frame proves it). `faulty` are the ops
    among them (ascending) whose frame cannot be read: they were acknowledged and have rotted, so
    they must be repaired and never nacked. `base` is the header at the snapshot's op, or None
    without a snapshot. `head_certain` is False when the log's end itself is in doubt (a rotten
    record at the tail, a lost superblock copy that may have named more): such a replica must not
    vote until a primary has told it.
    """

    superblock: Superblock
    base: Header | None
    headers: tuple[Header, ...]
    faulty: tuple[Op, ...]
    head_certain: bool

    @property
    def head(self) -> Op:
        """The last op the journal knows."""
        if self.headers:
            return self.headers[-1].op
        return self.superblock.snapshot.op


assert len(NO_ID) == 16
