"""Frames that are missing or have rotted: asking for them, and giving them to others.

One request is on its way at a time for each purpose; it is repeated to another peer when no answer
comes, and goes on where it stopped. What arrives is verified against the chain and its own root.
"""

from bisect import bisect_left

from veritydb.types.frame import Frame, Header, verify_root
from veritydb.types.ids import Op
from veritydb.types.limits import CATCH_UP_BYTES_MAX
from veritydb.types.marks import mark
from veritydb.vsr.commit import backlog
from veritydb.vsr.config import NORMAL, VIEW_CHANGE
from veritydb.vsr.effects import HaltKind, ReadFrames, ReadHeaders, RepairFrame
from veritydb.vsr.messages import FRAMES_MAX, Frames, RequestFrames
from veritydb.vsr.normal import misfit
from veritydb.vsr.state import RECOVERING, Purpose, State, Waiting

# To verify and append these takes the receiver a few milliseconds.
ANSWER_FRAMES_MAX = 256
# What goes well once is asked for twice as much of.
REPAIR_FRAMES_MAX = 64
assert ANSWER_FRAMES_MAX <= FRAMES_MAX


def target(s: State) -> Op:
    """Return up to where frames are wanted."""
    if s.following:
        return s.log.head if s.leading else max(s.want, s.commit_max)
    work = s.installing
    assert work is None or work.op >= 0
    if work is not None and work.leading and work.reconciled and s.status is VIEW_CHANGE:
        return work.op
    return Op(0)


def next_source(s: State, last: int) -> int:
    """Return whom to ask: the primary first, then one peer after the other."""
    assert s.peers
    if last in s.peers:
        return s.peers[(s.peers.index(last) + 1) % len(s.peers)]
    if s.primary != s.index:
        return s.primary
    return s.peers[s.prng.randrange(len(s.peers))]


def fetch(s: State) -> None:
    """Ask for the frames after the head, unless there is a request that may still be answered."""
    wanted = target(s)
    if s.log.head >= wanted:
        s.fetch_due = 0
        return
    if s.now < s.fetch_due or backlog(s):
        return
    if s.fetch_due:
        mark("vsr.fetch_again")
        s.fetch_source = next_source(s, s.fetch_source)
    elif s.fetch_source not in s.peers or s.following:
        s.fetch_source = next_source(s, -1)
    mark("vsr.fetch")
    s.fetch_due = s.now + s.config.fetch
    assert s.log.head < wanted
    s.send(
        s.fetch_source,
        RequestFrames(**s.common, first=Op(s.log.head + 1), last=wanted),
    )


def on_frames(s: State, message: Frames) -> None:
    """Take what mends a rotten frame, and what extends the log."""
    before = s.log.head
    for frame in message.frames:
        op = frame.header.op
        if s.log.is_faulty(op):
            if _denied(s, message, frame):
                _give_up(s, op)
                return
            mend(s, frame)
        elif op == s.log.head + 1 and message.view == s.view and _belongs(s, message, frame):
            reason = misfit(s, frame.header)
            if reason or not verify_root(frame):
                # From a peer whose copy is bad or stale. Another one will be asked.
                mark("vsr.fetched_frame_refused")
                break
            s.append(frame)
            s.early.pop(op, None)
    if s.log.head > before:
        s.fetch_due = 0
    assert s.log.head >= before


def _belongs(s: State, message: Frames, frame: Frame) -> bool:
    """Whether the sender can know that this frame is part of this view's log."""
    if s.following:
        return message.normal and not s.leading
    work = s.installing
    if target(s) < frame.header.op or work is None:
        return False
    known = work.known.get(frame.header.op)
    assert work.leading
    if known is not None:
        return known.hash == frame.header.hash
    return frame.header.op <= message.certain


def _denied(s: State, message: Frames, frame: Frame) -> bool:
    """Whether our view's primary has another op where only a record of ours is left."""
    op = frame.header.op
    known = s.log.hash_at(op)
    if known is None or known == frame.header.hash or op <= s.commit:
        return False
    # Others may be as wrong as we are.
    own_log = message.normal and message.view == s.view and message.sender == s.primary
    return own_log and s.following and verify_root(frame)


def _give_up(s: State, op: Op) -> None:
    """Give up the record of an op that the log of this view, to which ours belongs, does not have.

    It was cut off before this view was written down, and the disk has taken that back, so it may
    also have taken back what was acknowledged here. Who recovers anyway has no voice until all of
    that is back. Who has one would deny it, and stops.
    """
    assert s.commit < op <= s.log.head and not s.leading
    if s.status in RECOVERING:
        mark("vsr.record_of_another_log")
        s.cut(Op(op - 1))
        s.fetch_due = 0
        return
    s.halt(
        HaltKind.LOST_DISK,
        f"op {op} stands here as it was before view {s.view} began: the disk has lost what it "
        "had called durable",
    )


def on_request_frames(s: State, message: RequestFrames) -> None:
    """Give what is here; of what has rotted nothing is said."""
    last = min(message.last, s.log.durable)
    first = message.first
    if not 0 < first <= last or s.missing(first):
        return
    remembered = s.log.frames
    if first in remembered:
        frames: list[Frame] = []
        size = 0
        for op in range(first, last + 1):
            frame = remembered.get(op)
            if frame is None or s.log.is_faulty(op):
                break
            size += len(frame.body)
            if frames and (size > CATCH_UP_BYTES_MAX or len(frames) == ANSWER_FRAMES_MAX):
                break
            frames.append(frame)
        _give(s, message.sender, tuple(frames))
    elif not s.reads_for(Purpose.SERVE_FRAMES, message.sender) and not s.log.is_faulty(first):
        token = s.next_token(Purpose.SERVE_FRAMES, message.sender)
        last = min(last, Op(first + ANSWER_FRAMES_MAX - 1))
        s.out.append(ReadFrames(token, first, last, CATCH_UP_BYTES_MAX))
    assert last <= s.log.head


def on_frames_read(s: State, waiting: Waiting, first: Op, frames: tuple[Frame | None, ...]) -> None:
    """Pass on what was read for a peer, unless the log is another one by now."""
    assert first > 0 and waiting.purpose == Purpose.SERVE_FRAMES
    if waiting.cuts != s.cuts:
        mark("vsr.read_before_a_cut")
        return
    good = []
    for op, frame in enumerate(frames, start=first):
        if frame is None and s.missing(op):
            break
        known = s.log.hash_at(op)
        if frame is None or (known is not None and known != frame.header.hash):
            mark("vsr.rotten_frame_found")
            s.log.add_faulty(op)
            break
        good.append(frame)
    _give(s, waiting.peer, tuple(good))


def _give(s: State, peer: int, frames: tuple[Frame, ...]) -> None:
    assert peer != s.index
    if frames:
        normal = s.status is NORMAL and s.log_view_durable == s.view
        s.send(peer, Frames(**s.common, certain=s.certain, normal=normal, frames=frames))


def repair(s: State) -> None:
    """Ask for the next rotten frames: those that hold up commits, else one run after the other."""
    faulty = s.log.faulty
    if not faulty or s.now < s.repair_due or s.repair_writing:
        # While what came is being written, nothing is asked for: a slow disk is no reason to.
        return
    if not s.peers:
        s.halt(HaltKind.DAMAGED, f"op {faulty[0]} has rotted and there is no peer to mend it")
        return
    s.repair_op, last = _run(s)
    s.repair_last = last
    # Whatever may go wrong with this run, the next one is a single frame.
    s.repair_width, s.repair_hashes = 1, []
    s.repair_due = s.now + s.config.fetch
    hashes = []
    for op in range(s.repair_op, last + 1):
        header = s.log.header(op)
        if header is None:
            break
        hashes.append(header.hash)
    if hashes:
        _ask(s, hashes)
    elif not s.reads_for(Purpose.REPAIR):
        # Where a frame has rotted, its own record may have as well.
        token = s.next_token(Purpose.REPAIR)
        s.out.append(ReadHeaders(token, Op(s.repair_op + 1), Op(last + 1)))


def _run(s: State) -> tuple[Op, Op]:
    """The first and the last of the next rotten ops that are to be asked for together."""
    faulty = s.log.faulty
    first = at = bisect_left(faulty, s.commit + 1)
    if at < len(faulty):
        while at + 1 < len(faulty) and faulty[at + 1] == faulty[at] + 1:
            if at - first + 1 == s.repair_width:
                break
            at += 1
        return Op(faulty[first]), Op(faulty[at])
    # Downwards, since a record names the hash of the op before; and round, so that one that nobody
    # has keeps none waiting.
    first = at = (bisect_left(faulty, s.repair_op) or len(faulty)) - 1
    while first > 0 and faulty[first - 1] == faulty[first] - 1 and at - first + 1 < s.repair_width:
        first -= 1
    assert 0 <= first <= at
    return Op(faulty[first]), Op(faulty[at])


def on_headers_read(s: State, headers: tuple[Header, ...]) -> None:
    """The header after a rotten frame tells which would be the right one; ask for them."""
    after = s.repair_op + 1
    if headers and headers[0].op == after:
        assert headers[-1].op == s.repair_op + len(headers)
        _ask(s, [header.previous for header in headers])
    elif s.repair_last > s.repair_op:
        # Records are lost in the middle of the run. Its last frame is known by the one after it.
        mark("vsr.repair_of_lost_records")
        s.repair_op = Op(s.repair_last + 1)
        s.repair_due = s.now
    elif not (headers or after > s.commit or s.log.is_faulty(after) or s.missing(after)):
        # To write that op again mends its record.
        mark("vsr.rotten_record_found")
        s.log.add_faulty(after)
        s.repair_due = s.now


def _ask(s: State, hashes: list[bytes]) -> None:
    """Ask for the frames with these hashes, from `repair_op` on."""
    assert s.peers and 0 < len(hashes) <= REPAIR_FRAMES_MAX
    s.repair_hashes = hashes
    s.repair_source = next_source(s, s.repair_source)
    mark("vsr.repair_requested")
    last = Op(s.repair_op + len(hashes) - 1)
    s.send(s.repair_source, RequestFrames(**s.common, first=s.repair_op, last=last))


def on_frame_repaired(s: State, op: Op) -> None:
    """The frame can be read again; when all that came with it can, go on with more of them."""
    s.log.mended(op)
    assert s.repair_writing > 0
    s.repair_writing -= 1
    s.repair_width = min(2 * len(s.repair_hashes) or 1, REPAIR_FRAMES_MAX)
    s.repair_due = s.now
    assert not s.log.is_faulty(op)


def mend(s: State, frame: Frame) -> None:
    """Write a rotten frame again if this is it."""
    known = s.log.hash_at(frame.header.op)
    at = frame.header.op - s.repair_op
    if known is None and 0 <= at < len(s.repair_hashes):
        known = s.repair_hashes[at]
    assert s.log.is_faulty(frame.header.op)
    if known != frame.header.hash or not verify_root(frame):
        mark("vsr.repair_refused")
        return
    mark("vsr.repaired")
    if frame.header.op not in s.log.frames and frame.header.op > s.commit:
        s.log.keep(frame)
    s.repair_writing += 1
    s.out.append(RepairFrame(frame))
