"""Which log a new view begins with, decided from what a quorum of logs ended with. Pure.

Only logs of the highest log view count: an older one may hold ops that were given up since. Nothing
is given up that might be committed: that takes enough replicas that never acknowledged it. A frame
that has rotted counts neither as present nor as never acknowledged.
"""

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from veritydb.types.frame import Header
from veritydb.types.ids import Op
from veritydb.vsr.messages import DoViewChange
from veritydb.vsr.quorum import nack_quorum, quorum


class Undecided(IntEnum):
    """Why no log can be chosen."""

    AWAIT_QUORUM = 1
    AWAIT_REPAIR = 2
    """Another replica may know more, or have a frame mended."""
    DEADLOCK = 3
    """All have answered: only a repaired frame can help."""


class Merged(msgspec.Struct, frozen=True):
    """The new view's log ends with `head`; `headers` are its end, by op. `commit` is committed."""

    head: Op
    commit: Op
    headers: dict[int, Header]


def merge(dvcs: Sequence[DoViewChange], replicas: int) -> Merged | Undecided:
    """Decide on the log, given at most one message from each replica, all of one view."""
    assert len({dvc.sender for dvc in dvcs}) == len(dvcs) <= replicas
    assert len({dvc.view for dvc in dvcs}) <= 1
    if len(dvcs) < quorum(replicas):
        return Undecided.AWAIT_QUORUM
    missing = Undecided.AWAIT_REPAIR if len(dvcs) < replicas else Undecided.DEADLOCK
    newest = max(dvc.log_view for dvc in dvcs)
    canonical = [dvc for dvc in dvcs if dvc.log_view == newest]
    assert canonical
    commit = committed(dvcs)
    table: dict[int, Header] = {}
    for dvc in canonical:
        for header in dvc.headers:
            known = table.setdefault(header.op, header)
            assert known.hash == header.hash, f"two frames for op {header.op} in one log view"
    last = max(dvc.op for dvc in canonical)
    if last < commit:
        return missing
    head = commit
    for op in range(commit + 1, last + 1):
        wanted = table.get(op)
        if wanted is None:
            return missing
        if sum(nacks(dvc, wanted) for dvc in dvcs) >= nack_quorum(replicas):
            break
        if not any(has(dvc, wanted) for dvc in dvcs):
            return missing
        assert op == head + 1
        head = Op(op)
    assert commit <= head <= last
    return Merged(head, commit, {op: table[op] for op in sorted(table) if op <= head})


def committed(dvcs: Sequence[DoViewChange]) -> Op:
    """Return the highest op that somebody knew to be committed.

    A header names an op that its primary had applied, whatever became of the frame itself.
    """
    assert dvcs
    said = max(dvc.commit for dvc in dvcs)
    stamped = max((header.commit for dvc in dvcs for header in dvc.headers), default=Op(0))
    assert stamped >= 0
    return max(said, stamped)


def _at(dvc: DoViewChange, op: int) -> int:
    """Return where in its headers a replica has an op, or -1."""
    if not dvc.headers or not dvc.headers[0].op <= op <= dvc.headers[-1].op:
        return -1
    at = op - dvc.headers[0].op
    assert dvc.headers[at].op == op
    return at


def has(dvc: DoViewChange, wanted: Header) -> bool:
    """Whether this replica can give us the frame."""
    at = _at(dvc, wanted.op)
    assert wanted.op > 0
    return at >= 0 and dvc.headers[at].hash == wanted.hash and bool(dvc.present >> at & 1)


def nacks(dvc: DoViewChange, wanted: Header) -> bool:
    """Whether this replica certainly never acknowledged the frame."""
    if wanted.op > dvc.op:
        return True
    at = _at(dvc, wanted.op)
    assert wanted.op > 0
    if at < 0:
        return False
    return dvc.headers[at].hash != wanted.hash or bool(dvc.nacks >> at & 1)
