"""Handing out what is agreed on: every op once, in order, and only once it is durable here."""

from veritydb.types.frame import Frame
from veritydb.types.ids import Op
from veritydb.types.limits import CATCH_UP_BYTES_MAX, MIB, OP_BYTES_MAX, PIPELINE_BYTES_MAX
from veritydb.types.marks import mark
from veritydb.vsr.effects import Commit, ReadFrames
from veritydb.vsr.log import FRAMES_KEPT_BYTES
from veritydb.vsr.state import Purpose, State

# A step must not hold up whoever waits for the next one: it ends with the op that makes it so many
# entries, which take one or two milliseconds to apply.
ENTRIES_PER_STEP = 32
READ_OPS_MAX = 256
BACKLOG_OPS_MAX = 1_024
BACKLOG_BYTES_MAX = 96 * MIB
# What is not committed may always be fetched, or nothing would ever be.
assert BACKLOG_BYTES_MAX >= FRAMES_KEPT_BYTES + PIPELINE_BYTES_MAX + OP_BYTES_MAX


def backlog(s: State) -> bool:
    """Whether so much waits to be emitted that more frames would only fill the memory."""
    assert s.commit <= s.log.head
    return s.certain - s.commit > BACKLOG_OPS_MAX or s.log.frames_bytes > BACKLOG_BYTES_MAX


def advance(s: State) -> None:
    """Emit what can be emitted; ask the disk for frames that are no longer remembered.

    What one step leaves is for the next tick. If each message went on with it, those that arrive
    together would make one long turn of all their steps.
    """
    known = s.certain
    if s.commit < known:
        known = min(known, s.log.durable)
    if s.commit >= known or s.left:
        return
    frames = s.log.frames
    entries = 0
    assert known <= s.log.head
    while s.commit < known and entries < ENTRIES_PER_STEP:
        frame = frames.get(s.commit + 1)
        if frame is None:
            _read(s, known)
            break
        assert frame.header.op == s.commit + 1
        s.commit = frame.header.op
        entries += max(1, frame.header.entry_count)
        s.out.append(Commit(frame))
    s.left = s.commit < known and entries >= ENTRIES_PER_STEP
    assert s.applied_op <= s.commit <= known
    s.log.prune(s.commit)


def _read(s: State, limit: Op) -> None:
    """Read the next ops, one request at a time. A rotten frame has to be mended first."""
    first = Op(s.commit + 1)
    assert first <= limit
    if s.reads_for(Purpose.COMMIT) or s.log.is_faulty(first):
        return
    last = first
    while last < limit and last + 1 not in s.log.frames and not s.log.is_faulty(last + 1):
        last = Op(last + 1)
        if last - first >= READ_OPS_MAX:
            break
    assert first <= last <= limit
    token = s.next_token(Purpose.COMMIT)
    s.out.append(ReadFrames(token, first, last, CATCH_UP_BYTES_MAX))


def on_frames_read(s: State, first: Op, frames: tuple[Frame | None, ...]) -> None:
    """Take what was read for `advance`."""
    assert first > 0 and len(frames) <= READ_OPS_MAX + 1
    for op, frame in enumerate(frames, start=first):
        if not s.commit < op <= s.certain or op in s.log.frames:
            mark("vsr.commit_read_too_late")
            continue
        known = s.log.hash_at(op)
        if frame is None or (known is not None and frame.header.hash != known):
            mark("vsr.rotten_frame_found")
            s.log.add_faulty(op)
            return
        s.log.keep(frame)
