"""How far a replica is that takes a peer's snapshot, and then the history below it."""

from enum import IntEnum

import msgspec

from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Header
from veritydb.types.history import Proof
from veritydb.types.ids import Op


class Stage(IntEnum):
    """What a transfer waits for."""

    OFFER = 1
    PART = 2
    SAVED = 3
    CHECKED = 4
    TURN = 5
    """It is all here and good, and is taken up as soon as this replica follows a primary."""


class Transfer(msgspec.Struct):
    """A snapshot on its way here. `at` bytes of the one of `ref` are saved.

    `declined` marks the peers that had nothing better than the log, or whose snapshot was bad.
    """

    source: int
    declined: list[bool]
    stage: Stage = Stage.OFFER
    ref: SnapshotRef = SnapshotRef()
    at: int = 0
    base: Header | None = None
    due: int = 0
    attempts: int = 0


class Backfill(msgspec.Struct):
    """Ops behind `floor` up to `proof.op` are in the log and not on this disk.

    They are fetched from the highest down: what is known of one proves what is below it. `own`
    while a life before this one may have written some of them. `writing` is the proof that holds
    once the stretch that is being written is durable.
    """

    proof: Proof
    floor: Op
    own: bool
    source: int = -1
    due: int = 0
    writing: Proof | None = None
    closing: bool = False
