"""The recovery table against bytes: every combination of records and frames of a small log."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from simulation.disk import SimDisk
from tests.storage.exhaustive import contents
from tests.storage.logs import chain, fresh, reopen
from veritydb.storage import decisions, journal, names, recovery
from veritydb.storage.decisions import DECISIONS, TABLE, Decision, Found
from veritydb.storage.errors import Damaged
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.segments import padded
from veritydb.types.durable import ViewState
from veritydb.types.frame import Frame
from veritydb.types.ids import Op, View
from veritydb.types.limits import MIB

ONE = chain(4)
OTHER = [ONE[0], *chain(3, ONE[0].header, view=1)]
State = tuple[int, int, list[Frame]]
"""View, log view, and the headers that the superblock has."""
STATES: tuple[State, ...] = (
    (0, 0, []),
    (1, 1, []),
    (1, 0, ONE[1:3]),
    (1, 1, OTHER[:3]),
    (2, 2, [ONE[0]]),
    (3, 3, ONE[1:]),
)
KINDS = ("one", "other", "blank", "rotten")


class Lookups(dict[Found, Decision]):
    """The table as recovery asks it, and what it was asked."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        super().__init__(DECISIONS)
        self.asked: Counter[Found] = Counter()

    def __getitem__(self, found: Found) -> Decision:
        """Count, and answer."""
        self.asked[found] += 1
        return super().__getitem__(found)


def directories(replicas: int, states: Sequence[State] = STATES) -> Iterator[SimDisk]:
    """Op 1 is whole; records and frames of ops 2 and 3, and the record of op 4, are anything."""
    for view, log_view, headers in states:
        empty, store = fresh(replicas)
        store.append(ONE[:1])
        state = ViewState(
            view=View(view),
            log_view=View(log_view),
            commit=Op(0),
            epoch=0,
            members=(0,) * replicas,
            headers=tuple(frame.header for frame in headers),
        )
        store.write_superblock(view_state=state)
        for kinds in product(KINDS, KINDS, KINDS, KINDS, ("one", "blank")):
            disk = empty.clone()
            for at, record in enumerate((kinds[0], kinds[2], kinds[4]), start=1):
                put_record(disk, at, record)
            for at, frame in enumerate((kinds[1], kinds[3]), start=1):
                put_frame(disk, at, frame)
            yield disk


def put_record(disk: SimDisk, at: int, kind: str) -> None:
    """Write the record of an op of one of the logs, or leave it blank."""
    if kind == "blank":
        return
    record = journal.encode((OTHER if kind == "other" else ONE)[at].header)
    if kind == "rotten":
        record = b"rotten" + record[6:]
    disk.write(names.JOURNAL, (at + 1) * RECORD_BYTES, (record,))


def put_frame(disk: SimDisk, at: int, kind: str) -> None:
    """Write the frame of an op of one of the logs, or leave it blank."""
    if kind == "blank":
        return
    frame = (OTHER if kind == "other" else ONE)[at]
    data = b"".join(padded(frame))
    if kind == "rotten":
        data = data[:230] + b"rotten" + data[236:]
    disk.write(names.segment(1), frame.header.position, (data,))


def test_the_table_answers_whatever_stands_in_a_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookups = Lookups()
    monkeypatch.setattr(recovery, "DECISIONS", lookups)
    hashes = {frame.header.hash for frame in (*ONE, *OTHER)}
    for disk in directories(replicas=3):
        store, recovered = reopen(disk)
        assert {header.hash for header in recovered.headers} <= hashes
        assert recovered.head >= 1
        read = store.read_frames(Op(1), recovered.head, MIB)
        # What has rotted is faulty, and nothing else is.
        assert recovered.faulty == tuple(
            op for op, frame in enumerate(read, start=1) if frame is None
        )
        after = contents(disk)
        assert reopen(disk)[1] == recovered
        assert contents(disk) == after
    used = {id(row) for row in TABLE for found in lookups.asked if decisions.matches(row, found)}
    assert len(used) == len(TABLE)
    assert set(lookups.asked) <= set(decisions.everything())


def test_alone_nothing_is_in_doubt() -> None:
    refused: list[Op | None] = []
    for disk in directories(replicas=1, states=STATES[:2]):
        try:
            _, recovered = reopen(disk)
        except Damaged as error:
            refused.append(None if error.op is None else Op(error.op))
            continue
        assert recovered.head_certain
        assert recovered.faulty == ()
    assert set(refused) == {2, 3, 4}
