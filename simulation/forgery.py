"""Messages that are wrong under a right checksum, as a peer with bad memory would send them.

The protocol does not promise to survive lies. Its decoder does promise to refuse what has no form,
and to let nothing else than its one exception out. So whatever was damaged on the way is also
sealed again, with one of its fields changed, and read; what comes of it goes nowhere.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

from crc32c import crc32c

from simulation.choices import Choices
from simulation.world import Failure
from veritydb.types.frame import Frame, Header
from veritydb.types.frame import seal as seal_header
from veritydb.types.ids import GroupId, Op, View
from veritydb.types.limits import CATCH_UP_BYTES_MAX, REPLICAS_MAX
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import messages as m
from veritydb.vsr.envelope import Kind
from veritydb.vsr.messages import CRC, ENVELOPE, ENVELOPE_BYTES

MAGIC, VERSION, KIND, SENDER, FIRST_WORD, LENGTH, COUNT = 0, 1, 2, 6, 9, 14, 15
WORDS = 4
RECORD_BYTES = 64
MANY_EVERY = 40
"""Frames without number take long to read, even for whoever counts them first."""


def try_out(data: bytes, choices: Choices) -> None:
    """Read forgeries of a message. Raises Failure, or whatever the decoder let out."""
    fields = [m.MAGIC, m.VERSION, *ENVELOPE.unpack_from(data)[KIND:]]
    payload = data[ENVELOPE_BYTES:]
    for what, forged in _without_form(fields, payload, choices):
        if _read(forged) is not None:
            raise Failure("forgery", f"a message with {what} is read")
    for forged in _doubtful(fields, payload, choices):
        message = _read(forged)
        if message is not None and not well_formed(message, forged):
            raise Failure("forgery", f"{type(message).__name__} without form is read")


def seal(fields: list[object], payload: bytes) -> bytes:
    """The bytes of a message with these fields, under the checksum that is right for them."""
    envelope: bytes = ENVELOPE.pack(*fields)
    return envelope + CRC.pack(crc32c(payload, crc32c(envelope))) + payload


def _read(data: bytes) -> m.Message | None:
    try:
        return m.decode(data)
    except m.BadMessage:
        return None


def _without_form(
    fields: list[object], payload: bytes, choices: Choices
) -> Iterator[tuple[str, bytes]]:
    """What is to be refused whatever kind of message it is."""

    def changed(at: int, value: object) -> bytes:
        return seal([*fields[:at], value, *fields[at + 1 :]], payload)

    yield "another magic", changed(MAGIC, b"?" * len(m.MAGIC))
    yield "another version", changed(VERSION, m.VERSION + 1)
    yield "an unknown kind", changed(KIND, 99)
    yield "an impossible sender", changed(SENDER, REPLICAS_MAX + choices.choose("forge.who", 9))
    yield "another length", changed(LENGTH, len(payload) + 1 + choices.choose("forge.length", 9))
    yield "no room for its envelope", seal(fields, payload)[: ENVELOPE_BYTES - 1]
    headers = chain(m.HEADERS_MAX + 1)
    yield "too many headers", _of_kind(fields, Kind.HEADERS, headers, b"".join(headers))
    if choices.choose("forge.many", MANY_EVERY) == 0:
        frames = chain(m.FRAMES_MAX + 1)
        told = b"".join(header + bytes(4) + b"." for header in frames)
        yield "too many frames", _of_kind(fields, Kind.FRAMES, frames, told)


def _of_kind(fields: list[object], kind: Kind, parts: list[bytes], payload: bytes) -> bytes:
    """A message of many parts, whatever it was before."""
    new = [*fields[:KIND], kind, *fields[KIND + 1 :]]
    new[SENDER], new[LENGTH], new[COUNT] = 0, len(payload), len(parts)
    return seal(new, payload)


@cache
def chain(count: int) -> list[bytes]:
    """Headers that follow each other."""
    found: list[bytes] = []
    previous, position, segment = NO_HASH, 0, 1
    for op in range(1, count + 1):
        header = seal_header(
            Header(
                cluster=bytes(16),
                group=GroupId(0),
                epoch=0,
                view=View(0),
                op=Op(op),
                commit=Op(0),
                timestamp=op,
                kernel=1,
                segment=Op(segment),
                position=position,
                entry_base=op,
                entry_count=1,
                body_len=1,
                previous=previous,
                outcomes=NO_HASH,
                root=NO_HASH,
            )
        )
        found.append(header.raw)
        previous, position = header.hash, position + header.frame_bytes()
    return found


def _doubtful(fields: list[object], payload: bytes, choices: Choices) -> Iterator[bytes]:
    """What is read or refused, as the kind may be."""

    def changed(at: int, value: int, payload: bytes = payload) -> bytes:
        new = [*fields[:at], value, *fields[at + 1 :]]
        new[LENGTH] = len(payload)
        return seal(new, payload)

    count = fields[COUNT]
    assert isinstance(count, int)
    for number in {0, 1, max(count - 1, 0), count + 1, 0xFFFF}:
        yield changed(COUNT, number)
    for at in range(FIRST_WORD, FIRST_WORD + WORDS):
        word = fields[at]
        assert isinstance(word, int)
        others = [fields[each] for each in range(FIRST_WORD, FIRST_WORD + WORDS)]
        assert all(isinstance(other, int) for other in others)
        bit = 1 << choices.choose("forge.bit", 64)
        for value in {0, word ^ 1, word ^ bit, *(one for one in others if isinstance(one, int))}:
            yield changed(at, value)
    keep = choices.choose("forge.cut", len(payload) + 1)
    for other in (payload[:keep], payload[keep:], payload + payload, payload + bytes(1), b""):
        yield changed(COUNT, count, other)
    if payload:
        at, flip = choices.choose("forge.at", len(payload)), 1 << choices.choose("forge.flip", 8)
        yield changed(COUNT, count, payload[:at] + bytes((payload[at] ^ flip,)) + payload[at + 1 :])


def well_formed(message: m.Message, data: bytes) -> bool:
    """What the decoder promises of everything that it lets in."""
    rule = RULES.get(type(message))
    if rule is None:
        return len(data) == ENVELOPE_BYTES and not ENVELOPE.unpack_from(data)[COUNT]
    return rule(message) and sum(map(len, m.encode(message))) == len(data)


def _chain(headers: list[Header]) -> bool:
    return all(
        after.op == one.op + 1 and after.previous == one.hash for one, after in pairwise(headers)
    )


def _frames(frames: tuple[Frame, ...]) -> bool:
    return _chain([each.header for each in frames]) and all(
        len(each.body) == each.header.body_len for each in frames
    )


def _view_change(message: m.DoViewChange) -> bool:
    told = message.present | message.nacks
    apart = not message.present & message.nacks
    return apart and not told >> len(message.headers) and _chain(list(message.headers))


def _history(message: m.HistoryPart) -> bool:
    found = message.history
    entries = sum(each.header.entry_count for each in found.frames)
    ends = not found.frames or found.frames[-1].header.op == message.last
    return ends and _frames(found.frames) and len(found.records) == RECORD_BYTES * entries


def _offer(message: m.SnapshotOffer) -> bool:
    ref = message.ref
    return (ref.op > 0) == (ref.size > 0)


def _part(message: m.SnapshotPart) -> bool:
    size = len(message.data)
    return 0 < size <= CATCH_UP_BYTES_MAX and message.at + size <= message.total


RULES: dict[type, Callable[..., bool]] = {
    m.DoViewChange: _view_change,
    m.StartView: lambda message: _chain(list(message.headers)),
    m.Headers: lambda message: _chain(list(message.headers)),
    m.Prepare: lambda message: _frames((message.frame,)),
    m.Frames: lambda message: _frames(message.frames),
    m.HistoryPart: _history,
    m.SnapshotOffer: _offer,
    m.SnapshotPart: _part,
}
