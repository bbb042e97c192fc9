"""What replicas say to each other, and the bytes they say it with.

    0       4         6      8       12      16     24       28            36        52
    +-------+---------+------+-------+-------+------+--------+-------------+---------+
    | magic | version | kind | group | epoch | view | sender | incarnation | cluster |
    +-------+---------+------+-------+-------+------+--------+-------------+---------+
    | a: u64 | b: u64 | c: u64 | d: u64 | hash: 32 bytes | payload length | count | crc | payload
    52       60       68       76       84               116              124     128   132

Little-endian. What a to d, hash and count mean depends on the kind. `crc` is CRC-32C over all but
itself. A header in a payload is its 208 bytes; a frame is its header, the number of its holes, the
holes and the body, whose length the header names.
"""

import struct
from collections.abc import Callable
from typing import Any

from crc32c import crc32c

from veritydb.types.frame import HEADER_BYTES, BadFrame, Frame, Header, Hole, parse_header
from veritydb.types.history import History
from veritydb.types.ids import Op, View
from veritydb.types.limits import (
    BATCH_PARTS_MAX,
    MESSAGE_BYTES_MAX,
    OP_ENTRIES_MAX,
    REPLICAS_MAX,
)
from veritydb.types.merkle import HASH_BYTES, NO_HASH
from veritydb.types.outcome import RECORD_BYTES
from veritydb.vsr.envelope import BadMessage, Common, Fields, Kind, Words, common_fields
from veritydb.vsr.transfer_messages import (
    HistoryPart,
    RequestHistory,
    RequestSnapshot,
    RequestSnapshotPart,
    SnapshotOffer,
    SnapshotPart,
    offer_fields,
    read_offer,
    read_part,
    records_bytes,
)
from veritydb.vsr.vote_messages import (
    HEADERS_MAX,
    DoViewChange,
    check_consecutive,
    dvc_fields,
    raw_headers,
    read_dvc,
    read_headers,
)

__all__ = [
    "HEADERS_MAX",
    "BadMessage",
    "Common",
    "DoViewChange",
    "Frames",
    "Headers",
    "Heartbeat",
    "HistoryPart",
    "Kind",
    "Message",
    "Ping",
    "Pong",
    "Prepare",
    "PrepareOk",
    "Promised",
    "Replaced",
    "RequestFrames",
    "RequestHeaders",
    "RequestHistory",
    "RequestSnapshot",
    "RequestSnapshotPart",
    "RequestStartView",
    "SnapshotOffer",
    "SnapshotPart",
    "StartView",
    "StartViewChange",
    "decode",
    "encode",
]

MAGIC = b"VDBm"
VERSION = 1
ENVELOPE = struct.Struct("<4sHHIIQIQ16sQQQQ32sQI")
CRC = struct.Struct("<I")
ENVELOPE_BYTES = ENVELOPE.size + CRC.size
assert ENVELOPE_BYTES == 132
HOLE = struct.Struct("<II32s")
FRAMES_MAX = 4_096
HOLES_MAX = OP_ENTRIES_MAX * BATCH_PARTS_MAX


class Ping(Common, frozen=True, gc=False, kw_only=True):
    """Asks for the time. `mono` is the sender's, for it to know how long the answer took."""

    mono: int


class Pong(Common, frozen=True, gc=False, kw_only=True):
    """Answers `Ping(mono)`: the sender's wall clock says `wall`."""

    mono: int
    wall: int


class Prepare(Common, frozen=True, gc=False, kw_only=True):
    """The primary of the view asks to append a frame; ops up to `commit` are committed."""

    commit: Op
    frame: Frame


class PrepareOk(Common, frozen=True, gc=False, kw_only=True):
    """To the primary of the view: every op up to `op` is durable here, and `op`'s hash is `hash`.

    `round` is that of the last heartbeat heard: whoever sent it was this view's primary then.
    `replacements` counts the replacements of disks that the sender durably knows of.
    """

    op: Op
    hash: bytes
    round: int
    replacements: int = 0


class Heartbeat(Common, frozen=True, gc=False, kw_only=True):
    """The primary of the view lives. `round` grows with each; `op`, `hash`: its log's head."""

    round: int
    commit: Op
    op: Op
    hash: bytes


class StartViewChange(Common, frozen=True, gc=False, kw_only=True):
    """A vote to leave `view`."""


class StartView(Common, frozen=True, gc=False, kw_only=True):
    """From the primary of the view: this is the end of the log. `nonce` is the asker's, or 0."""

    nonce: int
    commit: Op
    headers: tuple[Header, ...]

    @property
    def op(self) -> Op:
        """The head of the log."""
        return self.headers[-1].op if self.headers else Op(0)


class RequestStartView(Common, frozen=True, gc=False, kw_only=True):
    """Asks the primary of a view for its StartView. Proves nothing about the sender's view.

    `joining`: the sender's disk is new, and its index may still be taken for its predecessor's.
    """

    nonce: int
    joining: bool = False


class RequestHeaders(Common, frozen=True, gc=False, kw_only=True):
    """Asks for the headers of ops `first` to `last`."""

    first: Op
    last: Op


class Headers(Common, frozen=True, gc=False, kw_only=True):
    """Consecutive headers of the sender's log.

    Up to `certain` they are committed; if `normal`, all are part of this view's log.
    """

    certain: Op
    normal: bool
    headers: tuple[Header, ...]


class RequestFrames(Common, frozen=True, gc=False, kw_only=True):
    """Asks for ops `first` to `last`, or as many of them as one answer holds."""

    first: Op
    last: Op


class Frames(Common, frozen=True, gc=False, kw_only=True):
    """Consecutive frames of the sender's log; `certain` and `normal` as in `Headers`."""

    certain: Op
    normal: bool
    frames: tuple[Frame, ...]


class Replaced(Common, frozen=True, gc=False, kw_only=True):
    """The index, which is the receiver's, now belongs to the incarnation `by`."""

    index: int
    by: int


class Promised(Common, frozen=True, gc=False, kw_only=True):
    """The incarnation `whose` of replica `index` has acknowledged `op` in view `in_view`.

    The op is committed, so that its log holds it for ever: if not, its disk has lost it.
    """

    index: int
    whose: int
    in_view: View
    op: Op


Message = (
    Ping
    | Pong
    | Prepare
    | PrepareOk
    | Heartbeat
    | StartViewChange
    | DoViewChange
    | StartView
    | RequestStartView
    | RequestHeaders
    | Headers
    | RequestFrames
    | Frames
    | Replaced
    | Promised
    | RequestSnapshot
    | SnapshotOffer
    | RequestSnapshotPart
    | SnapshotPart
    | RequestHistory
    | HistoryPart
)


def frame_buffers(frame: Frame) -> list[bytes]:
    """Return a frame's bytes as they stand in a message, the body uncopied."""
    assert len(frame.header.raw) == HEADER_BYTES
    holes = b"".join(HOLE.pack(hole.entry, hole.part, hole.digest) for hole in frame.holes)
    return [frame.header.raw + CRC.pack(len(frame.holes)) + holes, frame.body]


def _fields_of_frames(m: Frames) -> Fields:
    buffers = [buffer for frame in m.frames for buffer in frame_buffers(frame)]
    assert len(m.frames) <= FRAMES_MAX
    return m.certain, int(m.normal), 0, 0, NO_HASH, len(m.frames), buffers


def _fields_of_history(m: HistoryPart) -> Fields:
    frames, records = m.history.frames, m.history.records
    assert len(records) == records_bytes(m.history)
    buffers = [buffer for frame in frames for buffer in frame_buffers(frame)]
    return m.last, len(records), 0, 0, m.history.before, len(frames), [*buffers, records]


WRITERS: dict[type, tuple[Kind, Callable[[Any], Fields]]] = {
    Ping: (Kind.PING, lambda m: (m.mono, 0, 0, 0, NO_HASH, 0, [])),
    Pong: (Kind.PONG, lambda m: (m.mono, m.wall, 0, 0, NO_HASH, 0, [])),
    Prepare: (
        Kind.PREPARE,
        lambda m: (m.commit, 0, 0, 0, NO_HASH, 1, frame_buffers(m.frame)),
    ),
    PrepareOk: (Kind.PREPARE_OK, lambda m: (m.op, m.round, m.replacements, 0, m.hash, 0, [])),
    Heartbeat: (Kind.HEARTBEAT, lambda m: (m.op, m.round, m.commit, 0, m.hash, 0, [])),
    StartViewChange: (Kind.START_VIEW_CHANGE, lambda m: (0, 0, 0, 0, NO_HASH, 0, [])),
    DoViewChange: (Kind.DO_VIEW_CHANGE, dvc_fields),
    StartView: (
        Kind.START_VIEW,
        lambda m: (m.nonce, m.commit, 0, 0, NO_HASH, len(m.headers), raw_headers(m.headers)),
    ),
    RequestStartView: (
        Kind.REQUEST_START_VIEW,
        lambda m: (m.nonce, int(m.joining), 0, 0, NO_HASH, 0, []),
    ),
    RequestHeaders: (Kind.REQUEST_HEADERS, lambda m: (m.first, m.last, 0, 0, NO_HASH, 0, [])),
    Headers: (
        Kind.HEADERS,
        lambda m: (m.certain, int(m.normal), 0, 0, NO_HASH, len(m.headers), raw_headers(m.headers)),
    ),
    RequestFrames: (Kind.REQUEST_FRAMES, lambda m: (m.first, m.last, 0, 0, NO_HASH, 0, [])),
    Frames: (Kind.FRAMES, _fields_of_frames),
    Replaced: (Kind.REPLACED, lambda m: (m.by, m.index, 0, 0, NO_HASH, 0, [])),
    Promised: (Kind.PROMISED, lambda m: (m.op, m.in_view, m.whose, m.index, NO_HASH, 0, [])),
    RequestSnapshot: (Kind.REQUEST_SNAPSHOT, lambda m: (m.known, 0, 0, 0, NO_HASH, 0, [])),
    SnapshotOffer: (Kind.SNAPSHOT_OFFER, offer_fields),
    RequestSnapshotPart: (
        Kind.REQUEST_SNAPSHOT_PART,
        lambda m: (m.op, m.at, m.size, 0, m.digest, 0, []),
    ),
    SnapshotPart: (
        Kind.SNAPSHOT_PART,
        lambda m: (m.op, m.at, m.total, 0, m.digest, 0, [m.data]),
    ),
    RequestHistory: (Kind.REQUEST_HISTORY, lambda m: (m.first, m.last, 0, 0, NO_HASH, 0, [])),
    HistoryPart: (Kind.HISTORY_PART, _fields_of_history),
}


def encode(message: Message) -> list[bytes]:
    """Return the message's bytes as consecutive buffers; frames' bodies are not copied."""
    kind, fields = WRITERS[type(message)]
    a, b, c, d, digest, count, payload = fields(message)
    assert len(digest) == HASH_BYTES
    envelope = ENVELOPE.pack(
        MAGIC,
        VERSION,
        kind,
        message.group,
        message.epoch,
        message.view,
        message.sender,
        message.incarnation,
        message.cluster,
        a,
        b,
        c,
        d,
        digest,
        sum(map(len, payload)),
        count,
    )
    crc = crc32c(envelope)
    for buffer in payload:
        crc = crc32c(buffer, crc)
    return [envelope + CRC.pack(crc), *payload]


def _frame(view: memoryview, at: int) -> tuple[Frame, int]:
    """Read the frame at `at`; return it and where it ends."""
    holes_at = at + HEADER_BYTES + CRC.size
    if holes_at > len(view):
        raise BadMessage("a frame is cut short")
    header = parse_header(bytes(view[at : at + HEADER_BYTES]))
    (count,) = CRC.unpack_from(view, holes_at - CRC.size)
    body_at = holes_at + count * HOLE.size
    end = body_at + header.body_len
    if count > HOLES_MAX or end > len(view):
        raise BadMessage(f"the frame of op {header.op} is cut short")
    holes = tuple(
        Hole(*HOLE.unpack_from(view, holes_at + index * HOLE.size)) for index in range(count)
    )
    return Frame(header, bytes(view[body_at:end]), holes), end


def _frames(view: memoryview, count: int) -> tuple[Frame, ...]:
    if count > FRAMES_MAX:
        raise BadMessage(f"{count} frames are over the limit of {FRAMES_MAX}")
    frames = []
    at = 0
    for _ in range(count):
        frame, at = _frame(view, at)
        frames.append(frame)
    if at != len(view):
        raise BadMessage(f"{len(view) - at} bytes behind the last frame")
    check_consecutive([frame.header for frame in frames])
    return tuple(frames)


def _read_history(common: dict[str, Any], words: Words) -> Message:
    last, size, _, _, before, count, view = words
    if size > len(view):
        raise BadMessage("the outcomes of a stretch of log are cut short")
    split = len(view) - size
    frames = _frames(view[:split], count)
    if size != RECORD_BYTES * sum(frame.header.entry_count for frame in frames):
        raise BadMessage("a stretch of log without the outcomes of all its entries")
    if frames and frames[-1].header.op != last:
        raise BadMessage(f"a stretch of log that does not end with op {last}")
    history = History(frames, bytes(view[split:]), before)
    return HistoryPart(**common, last=Op(last), history=history)


# Reads a message out of: common values; a, b, c, d, hash, count, payload.
READERS: dict[int, Callable[[dict[str, Any], Words], Message]] = {
    Kind.PING: lambda c, w: Ping(**c, mono=w[0]),
    Kind.PONG: lambda c, w: Pong(**c, mono=w[0], wall=w[1]),
    Kind.PREPARE: lambda c, w: Prepare(**c, commit=Op(w[0]), frame=_frames(w[6], 1)[0]),
    Kind.PREPARE_OK: lambda c, w: PrepareOk(
        **c, op=Op(w[0]), round=w[1], replacements=w[2], hash=w[4]
    ),
    Kind.HEARTBEAT: lambda c, w: Heartbeat(
        **c, op=Op(w[0]), round=w[1], commit=Op(w[2]), hash=w[4]
    ),
    Kind.START_VIEW_CHANGE: lambda c, w: StartViewChange(**c),
    Kind.DO_VIEW_CHANGE: read_dvc,
    Kind.START_VIEW: lambda c, w: StartView(
        **c, nonce=w[0], commit=Op(w[1]), headers=read_headers(w[6], w[5])
    ),
    Kind.REQUEST_START_VIEW: lambda c, w: RequestStartView(**c, nonce=w[0], joining=bool(w[1])),
    Kind.REQUEST_HEADERS: lambda c, w: RequestHeaders(**c, first=Op(w[0]), last=Op(w[1])),
    Kind.HEADERS: lambda c, w: Headers(
        **c, certain=Op(w[0]), normal=bool(w[1]), headers=read_headers(w[6], w[5])
    ),
    Kind.REQUEST_FRAMES: lambda c, w: RequestFrames(**c, first=Op(w[0]), last=Op(w[1])),
    Kind.FRAMES: lambda c, w: Frames(
        **c, certain=Op(w[0]), normal=bool(w[1]), frames=_frames(w[6], w[5])
    ),
    Kind.REPLACED: lambda c, w: Replaced(**c, by=w[0], index=w[1]),
    Kind.PROMISED: lambda c, w: Promised(
        **c, op=Op(w[0]), in_view=View(w[1]), whose=w[2], index=w[3]
    ),
    Kind.REQUEST_SNAPSHOT: lambda c, w: RequestSnapshot(**c, known=Op(w[0])),
    Kind.SNAPSHOT_OFFER: read_offer,
    Kind.REQUEST_SNAPSHOT_PART: lambda c, w: RequestSnapshotPart(
        **c, op=Op(w[0]), at=w[1], size=w[2], digest=w[4]
    ),
    Kind.SNAPSHOT_PART: read_part,
    Kind.REQUEST_HISTORY: lambda c, w: RequestHistory(**c, first=Op(w[0]), last=Op(w[1])),
    Kind.HISTORY_PART: _read_history,
}
WITH_PAYLOAD = {
    *(Kind.PREPARE, Kind.DO_VIEW_CHANGE, Kind.START_VIEW, Kind.HEADERS, Kind.FRAMES),
    *(Kind.SNAPSHOT_OFFER, Kind.SNAPSHOT_PART, Kind.HISTORY_PART),
}
assert set(READERS) == set(Kind) == {kind for kind, _ in WRITERS.values()}


def decode(data: bytes | memoryview) -> Message:
    """Read exactly one message, which keeps nothing of `data`. Raises BadMessage."""
    if not ENVELOPE_BYTES <= len(data) <= MESSAGE_BYTES_MAX:
        raise BadMessage(f"a message of {len(data)} bytes")
    view = memoryview(data)
    f = ENVELOPE.unpack_from(view)
    if f[0] != MAGIC or f[1] != VERSION:
        raise BadMessage(f"no message of version {VERSION} starts here")
    (crc,) = CRC.unpack_from(view, ENVELOPE.size)
    payload = view[ENVELOPE_BYTES:]
    if f[14] != len(payload) or crc32c(payload, crc32c(view[: ENVELOPE.size])) != crc:
        raise BadMessage("length or checksum of a message does not match")
    kind = f[2]
    if kind not in READERS or f[6] >= REPLICAS_MAX:
        raise BadMessage(f"message kind {kind} from index {f[6]}")
    if kind not in WITH_PAYLOAD and (f[14] or f[15]):
        raise BadMessage(f"message kind {kind} has no payload")
    common = common_fields(f)
    try:
        return READERS[kind](common, (f[9], f[10], f[11], f[12], f[13], f[15], payload))
    except BadFrame as error:
        raise BadMessage(str(error)) from error
