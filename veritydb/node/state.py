"""Everything a node knows because of the ops it has applied, and nothing else.

Two replicas that applied the same ops hold equal values here; a snapshot is this, encoded.
"""

from collections.abc import Iterable, Iterator

import msgspec

from veritydb.kernel import snapshot as kernel_snapshot
from veritydb.kernel.state import KernelState
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Header
from veritydb.types.ids import Op
from veritydb.types.merkle import NO_HASH
from veritydb.vsr.sessions import Sessions

FORMAT = 1
REPLICA_COUNTS = (1, 3, 5)
# Chunks say which part of the state they belong to, so that each part can choose its own sizes.
KERNEL = b"K"
SESSIONS = b"S"


class BadSnapshot(Exception):
    """A snapshot's chunks do not decode to a state. Says what was expected."""


class Applied(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The state after `op`: `entries` counts the entries up to there, `time` is its log time."""

    op: Op
    time: int
    entries: int
    outcomes: bytes
    members: tuple[int, ...]
    kernel: KernelState
    sessions: Sessions


class Meta(msgspec.Struct, frozen=True):
    """The first chunk of a snapshot."""

    format: int
    op: int
    time: int
    entries: int
    outcomes: bytes
    members: tuple[int, ...]


def fresh(kernel: KernelState, replicas: int) -> Applied:
    """Return the state before the first op."""
    assert replicas in REPLICA_COUNTS
    return Applied(
        op=Op(0),
        time=0,
        entries=0,
        outcomes=NO_HASH,
        members=(0,) * replicas,
        kernel=kernel,
        sessions=Sessions(),
    )


def chunks(state: Applied) -> Iterator[bytes]:
    """Encode a state piece by piece; each piece is made when it is asked for.

    Of the state nothing is held but what is still to be encoded.
    """
    assert len(state.members) in REPLICA_COUNTS
    meta = Meta(FORMAT, state.op, state.time, state.entries, state.outcomes, state.members)
    return _pieces(meta, kernel_snapshot.chunks(state.kernel), state.sessions.encode())


def _pieces(meta: Meta, kernel: Iterator[bytes], sessions: Iterator[bytes]) -> Iterator[bytes]:
    yield msgspec.msgpack.encode(meta)
    for chunk in kernel:
        yield KERNEL + chunk
    for chunk in sessions:
        yield SESSIONS + chunk


def load(pieces: Iterable[bytes]) -> Applied:
    """Decode what `chunks` made. Raises BadSnapshot."""
    source = iter(pieces)
    try:
        meta = msgspec.msgpack.decode(next(source, b""), type=Meta)
    except msgspec.DecodeError as error:
        raise BadSnapshot("the snapshot does not begin with its description") from error
    if len(meta.members) not in REPLICA_COUNTS:
        raise BadSnapshot(f"a group of {len(meta.members)} replicas")
    if meta.format != FORMAT:
        raise BadSnapshot(f"snapshot format {meta.format}; this version reads {FORMAT}")
    parts: dict[bytes, list[bytes]] = {KERNEL: [], SESSIONS: []}
    for piece in source:
        if piece[:1] not in parts:
            raise BadSnapshot(f"a chunk of unknown kind {piece[:1]!r}")
        parts[piece[:1]].append(piece[1:])
    try:
        kernel = kernel_snapshot.load(parts[KERNEL])
        sessions = Sessions.decode(parts[SESSIONS])
    except (msgspec.DecodeError, ValueError) as error:
        raise BadSnapshot(f"a chunk does not decode: {type(error).__name__}") from error
    return Applied(
        op=Op(meta.op),
        time=meta.time,
        entries=meta.entries,
        outcomes=meta.outcomes,
        members=meta.members,
        kernel=kernel,
        sessions=sessions,
    )


def stands_for(state: Applied, ref: SnapshotRef, base: Header, own: Applied) -> bool:
    """Whether a peer's state is what its snapshot says, and of the group that `own` is of."""
    assert own.op >= 0
    says = (ref.op, base.timestamp, base.entry_base + base.entry_count, ref.outcomes)
    is_so = (state.op, state.time, state.entries, state.outcomes)
    ours = (state.kernel.group, len(state.members)) == (own.kernel.group, len(own.members))
    return says == is_so and ours and (base.op, base.hash) == (ref.op, ref.header_hash)
