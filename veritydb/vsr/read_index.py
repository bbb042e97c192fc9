"""Reads that see every write that was acknowledged before them, without a place in the log.

The primary notes what is committed, asks a quorum whether it still is the primary (a round of
heartbeats), and answers. A new primary first needs all ops that its view began with committed: one
of them may have been acknowledged by the primary before it.
"""

from veritydb.types.ids import Op
from veritydb.types.marks import mark
from veritydb.vsr.effects import ReadIndexReady
from veritydb.vsr.normal import heartbeat
from veritydb.vsr.quorum import reached
from veritydb.vsr.state import State

READS_MAX = 65_536


def on_read_index(s: State, token: int) -> None:
    """Queue a reader; one more round is begun only when there is none whose answers are awaited."""
    if not s.is_primary or len(s.reads) >= READS_MAX:
        mark("vsr.read_refused")
        s.out.append(ReadIndexReady(token, None))
        return
    confirmed = reached(s.rounds)
    assert confirmed <= s.round
    awaited = bool(s.reads) and s.reads[0][1] > confirmed
    if not awaited or s.reads[0][1] > s.round:
        # Answers to a round that was begun before this reader came would prove too little.
        heartbeat(s)
        needed = s.round
    else:
        needed = s.round + 1
    assert needed > confirmed
    # Not `commit`: where our own disk is behind, a backup may show what is not emitted here yet.
    s.reads.append((token, needed, max(s.commit_max, s.view_start)))


def answer(s: State) -> None:
    """Answer the readers whose round is confirmed and whose point is reached."""
    assert s.leading
    confirmed = reached(s.rounds)
    assert confirmed <= s.round
    while s.reads:
        token, needed, point = s.reads[0]
        if needed > confirmed or point > s.commit:
            break
        assert point <= s.commit_max
        s.reads.popleft()
        s.out.append(ReadIndexReady(token, Op(point)))
    if s.reads and s.reads[0][1] > s.round:
        heartbeat(s)
