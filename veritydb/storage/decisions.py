"""What becomes of an op after a crash: all decisions there are, as data.

Every write of the log goes: frames, sync, records, sync, acknowledgement. So a record says that its
frame was durable, and no record says that nothing was acknowledged. The order of the rows does not
matter: exactly one matches (a test goes through all that can be found).
"""

from collections.abc import Iterator
from enum import Enum
from itertools import product
from typing import NamedTuple

import msgspec

from veritydb.storage.journal import RecordState


class Decision(Enum):
    """What becomes of an op."""

    KEEP = "keep it"
    FAULTY = "keep the record; the frame has rotted and must be repaired"
    RESTORE = "write the record again, from the frame"
    RESTORE_FAULTY = "write the record again, from the superblock; the frame must be repaired"
    CUT = "the installed view forgot it: blank it and all behind it"
    END = "the log ends before it; blank what is behind"
    UNCERTAIN = "the log may go on; touch nothing and do not vote"


class Found(NamedTuple):
    """What is known of one op, given the header before it.

    `record`: what its journal record is; one that does not follow the header before counts as
    rotten, and so does one in whose frame's place an intact one of a newer view stands: the disk
    has lost a write to the record. `frame`: its frame is intact: the one that a valid record names,
    else one that follows the header before. `contradicted`: the record is valid, but the log that
    the durable view installed has another op here, or ended before. `vouched`: the frame belongs to
    the log although no record says so: it is of the durable log view, or the superblock names its
    hash, or a later record chains on it, or this replica is alone and so never cuts. `known`: the
    superblock has the header of this op, and it follows. `later`: a record behind is not blank and
    not contradicted.
    """

    record: RecordState
    frame: bool
    contradicted: bool
    vouched: bool
    known: bool
    later: bool


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: None matches both."""

    record: RecordState
    frame: bool | None = None
    contradicted: bool | None = None
    vouched: bool | None = None
    known: bool | None = None
    later: bool | None = None
    decision: Decision
    why: str


VALID, BLANK, ROTTEN = RecordState.VALID, RecordState.BLANK, RecordState.ROTTEN

TABLE = (
    Row(
        record=VALID,
        contradicted=True,
        decision=Decision.CUT,
        why="a view change decided against it, and its cut was interrupted",
    ),
    Row(
        record=VALID,
        contradicted=False,
        frame=True,
        decision=Decision.KEEP,
        why="written, and perhaps acknowledged",
    ),
    Row(
        record=VALID,
        contradicted=False,
        frame=False,
        decision=Decision.FAULTY,
        why="its frame was durable before the record was written: it has rotted since",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=True,
        decision=Decision.RESTORE,
        why="a crash came between frame and record; nothing was cut, so it does no harm",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=False,
        later=False,
        decision=Decision.END,
        why="a frame of an older view without record may have been cut",
    ),
    Row(
        record=BLANK,
        frame=False,
        later=False,
        decision=Decision.END,
        why="never acknowledged: a record would say so",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=False,
        later=True,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="a record was lost, the superblock says which",
    ),
    Row(
        record=BLANK,
        frame=False,
        later=True,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="record and frame were lost, the superblock says which",
    ),
    Row(
        record=BLANK,
        frame=True,
        vouched=False,
        later=True,
        known=False,
        decision=Decision.UNCERTAIN,
        why="there is more log behind it, but nothing joins it",
    ),
    Row(
        record=BLANK,
        frame=False,
        later=True,
        known=False,
        decision=Decision.UNCERTAIN,
        why="there is more log behind it, but nothing joins it",
    ),
    Row(
        record=ROTTEN,
        frame=True,
        vouched=True,
        decision=Decision.RESTORE,
        why="the record has rotted, the frame says what it said",
    ),
    Row(
        record=ROTTEN,
        frame=True,
        vouched=False,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="the frame is of another log; the superblock says what the record said",
    ),
    Row(
        record=ROTTEN,
        frame=False,
        known=True,
        decision=Decision.RESTORE_FAULTY,
        why="record and frame have rotted, the superblock says what the record said",
    ),
    Row(
        record=ROTTEN,
        frame=True,
        vouched=False,
        known=False,
        decision=Decision.UNCERTAIN,
        why="the record may have named the frame, or the frame may have been cut before",
    ),
    Row(
        record=ROTTEN,
        frame=False,
        known=False,
        decision=Decision.UNCERTAIN,
        why="something was acknowledged here, and nobody here knows what",
    ),
)
FLAGS = ("frame", "contradicted", "vouched", "known", "later")


def everything() -> Iterator[Found]:
    """Yield all that can be found."""
    for record in RecordState:
        for flags in product((False, True), repeat=len(FLAGS)):
            found = Found(record, *flags)
            if possible(found):
                yield found
    assert len(FLAGS) == len(Found._fields) - 1


def possible(found: Found) -> bool:
    """Whether the flags can stand together: only a record is contradicted, only a frame vouched."""
    assert isinstance(found.record, RecordState)
    if found.contradicted and found.record != VALID:
        return False
    return found.frame or not found.vouched


def matches(row: Row, found: Found) -> bool:
    """Whether a row speaks about what was found."""
    assert possible(found)
    return row.record == found.record and all(
        getattr(row, flag) in (None, getattr(found, flag)) for flag in FLAGS
    )


def row_for(found: Found) -> Row:
    """Return the one row that matches."""
    rows = [row for row in TABLE if matches(row, found)]
    assert len(rows) == 1, "the recovery table is ambiguous or has a gap"
    return rows[0]


DECISIONS = {found: row_for(found).decision for found in everything()}
