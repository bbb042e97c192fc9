"""The bytes between replicas."""

import struct
from random import Random

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vsr.harness import CLUSTER, GROUP, Group
from tests.vsr.test_merge import header
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Frame, Hole
from veritydb.types.history import History
from veritydb.types.ids import Op, View
from veritydb.types.limits import MESSAGE_BYTES_MAX
from veritydb.types.merkle import NO_HASH
from veritydb.vsr import messages as m
from veritydb.vsr.events import Received
from veritydb.vsr.messages import BadMessage, Message, decode, encode

COMMON = {
    "cluster": CLUSTER,
    "group": GROUP,
    "epoch": 2,
    "view": View(7),
    "sender": 1,
    "incarnation": 5,
}
FIRST = header(1, 1, NO_HASH)
SECOND = header(2, 1, FIRST.hash)
FRAMES = (Frame(FIRST, b"x"), Frame(SECOND, b"\0", (Hole(0, 3, b"\x07" * 32),)))
SNAPSHOT = SnapshotRef(
    op=Op(8), header_hash=b"\x07" * 32, digest=b"\x05" * 32, outcomes=b"\x03" * 32, size=500
)
EXAMPLES: list[Message] = [
    m.Ping(**COMMON, mono=1),
    m.Pong(**COMMON, mono=1, wall=2),
    m.Prepare(**COMMON, commit=Op(3), frame=FRAMES[0]),
    m.PrepareOk(**COMMON, op=Op(3), hash=b"\x09" * 32, round=4),
    m.Heartbeat(**COMMON, round=3, commit=Op(4), op=Op(5), hash=b"\x08" * 32),
    m.StartViewChange(**COMMON),
    m.DoViewChange(
        **COMMON, log_view=View(3), commit=Op(1), headers=(FIRST, SECOND), present=1, nacks=2
    ),
    m.DoViewChange(
        **COMMON,
        log_view=View(3),
        commit=Op(0),
        headers=(),
        present=0,
        nacks=0,
        replacements=5,
    ),
    m.StartView(**COMMON, nonce=1 << 63, commit=Op(1), headers=(FIRST, SECOND)),
    m.RequestStartView(**COMMON, nonce=17),
    m.RequestHeaders(**COMMON, first=Op(1), last=Op(9)),
    m.Headers(**COMMON, certain=Op(1), normal=True, headers=(SECOND,)),
    m.RequestFrames(**COMMON, first=Op(1), last=Op(9)),
    m.Frames(**COMMON, certain=Op(1), normal=False, frames=FRAMES),
    m.Replaced(**COMMON, index=2, by=6),
    m.Promised(**COMMON, index=2, whose=1, in_view=View(3), op=Op(9)),
    m.RequestSnapshot(**COMMON, known=Op(4)),
    m.SnapshotOffer(**COMMON, ref=SNAPSHOT),
    m.SnapshotOffer(**COMMON, ref=SnapshotRef()),
    m.RequestSnapshotPart(**COMMON, op=Op(8), digest=b"\x05" * 32, at=100, size=50),
    m.SnapshotPart(**COMMON, op=Op(8), digest=b"\x05" * 32, at=100, total=500, data=b"part"),
    m.RequestHistory(**COMMON, first=Op(1), last=Op(2)),
    m.HistoryPart(**COMMON, last=Op(2), history=History(FRAMES, bytes(range(128)), b"\x04" * 32)),
    m.HistoryPart(**COMMON, last=Op(7), history=History()),
]


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(message) for message in EXAMPLES} == set(m.WRITERS)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_keeps_nothing_of_what_it_was_read_from(message: Message) -> None:
    """Its bytes are those of a connection's buffer, which the next message overwrites."""
    buffer = bytearray(b"".join(encode(message)))
    read = decode(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert read == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode(b"".join(encode(message))) == message


def test_a_body_is_not_copied_by_encoding() -> None:
    message = m.Prepare(**COMMON, commit=Op(3), frame=FRAMES[0])
    assert any(buffer is FRAMES[0].body for buffer in encode(message))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_every_flipped_bit_is_refused(message: Message) -> None:
    data = b"".join(encode(message))
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadMessage):
            decode(bytes(flipped))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_that_is_cut_short_or_too_long_is_refused(message: Message) -> None:
    data = b"".join(encode(message))
    for end in range(len(data)):
        with pytest.raises(BadMessage):
            decode(data[:end])
    with pytest.raises(BadMessage):
        decode(data + b"\0")


def resealed(data: bytes) -> bytes:
    """The same message with a checksum that is right again."""
    crc = crc32c(data[132:], crc32c(data[:128]))
    return data[:128] + struct.pack("<I", crc) + data[132:]


@settings(max_examples=200)
@given(st.integers(0, len(EXAMPLES) - 1), st.integers(0, 2**32), st.integers(1, 8))
def test_garbage_with_a_right_checksum_is_a_message_or_refused(
    which: int, seed: int, flips: int
) -> None:
    prng = Random(seed)
    data = bytearray(b"".join(encode(EXAMPLES[which])))
    for _ in range(flips):
        data[prng.randrange(len(data))] = prng.randrange(256)
    try:
        message = decode(resealed(bytes(data)))
    except BadMessage:
        return
    assert decode(b"".join(encode(message))) == message


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"VDBf"), (4, b"\x02\0"), (6, b"\x63\0"), (24, b"\x05\0\0\0")],
    ids=["magic", "version", "kind", "sender"],
)
def test_what_is_unknown_is_refused(at: int, value: bytes) -> None:
    data = b"".join(encode(EXAMPLES[0]))
    with pytest.raises(BadMessage):
        decode(resealed(data[:at] + value + data[at + len(value) :]))


def test_headers_that_do_not_follow_each_other_are_refused() -> None:
    stranger = header(3, 1, SECOND.hash)
    message = m.Headers(**COMMON, certain=Op(1), normal=True, headers=(FIRST, stranger))
    with pytest.raises(BadMessage, match="does not follow"):
        decode(b"".join(encode(message)))


def test_contradicting_bits_are_refused() -> None:
    message = m.DoViewChange(
        **COMMON, log_view=View(3), commit=Op(1), headers=(FIRST,), present=1, nacks=1
    )
    with pytest.raises(BadMessage, match="contradict"):
        decode(b"".join(encode(message)))


def test_an_oversized_message_is_refused_unread() -> None:
    with pytest.raises(BadMessage):
        decode(bytes(MESSAGE_BYTES_MAX + 1))


def test_the_envelope_is_these_bytes() -> None:
    """Golden: replicas of different releases must understand each other."""
    message = m.Heartbeat(**COMMON, round=3, commit=Op(4), op=Op(5), hash=b"\x08" * 32)
    assert b"".join(encode(message)).hex() == (
        "5644426d" + "0100" + "0500" + "03000000" + "02000000" + "0700000000000000"
        "01000000" + "0500000000000000" + "000102030405060708090a0b0c0d0e0f"
        "0500000000000000"
        + "0300000000000000"
        + "0400000000000000"
        + "0000000000000000"
        + "08" * 32
        + "0000000000000000"
        + "00000000"
        + "6c60803e"
    )


def test_messages_of_others_change_nothing() -> None:
    group = Group()
    site = group.primary()
    before = (site.live.view, site.live.op, site.live.status)
    for changes in (
        {"cluster": bytes(16)},
        {"group": 9},
        {"epoch": 5},
        {"sender": site.index},
        {"sender": 4},
    ):
        common = {**COMMON, "epoch": 0, "view": View(99), "sender": (site.index + 1) % 3, **changes}
        site.step(Received(m.StartViewChange(**common)))
        site.step(Received(m.StartView(**common, nonce=0, commit=Op(0), headers=())))
    assert (site.live.view, site.live.op, site.live.status) == before
