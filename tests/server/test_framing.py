"""The frames between nodes: their bytes, and what hostile bytes come to."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.server import framing
from veritydb.server.framing import (
    BUFFER_BYTES,
    HEAD_BYTES,
    KEPT_BYTES,
    FrameReader,
    What,
    head,
    parse_head,
    parse_taken,
    taken_frame,
)
from veritydb.vsr.messages import BadMessage

LIMIT = 8 << 20


def frames_in(reader: FrameReader, data: bytes, sizes: list[int]) -> list[tuple[int, bytes]]:
    """Read bytes in pieces of at most these sizes, again and again."""
    found = []
    at = turn = 0
    while at < len(data):
        room = reader.room()
        piece = data[at : at + min(len(room), sizes[turn % len(sizes)])]
        room[: len(piece)] = piece
        reader.took(len(piece))
        while (frame := reader.next()) is not None:
            found.append((frame[0], bytes(frame[1])))
        at, turn = at + len(piece), turn + 1
    return found


def test_the_bytes_of_frames() -> None:
    assert head(What.HELLO, 7).hex() == "5644427001000100070000002053e68b"
    assert head(What.ANSWER, 0).hex() == "56444270010002000000000030205aa6"
    assert head(What.MESSAGE, 132).hex() == "564442700100030084000000e5b3e860"
    taken = "56444270010004000c00000091e5454200000000020000000b914f33"
    assert taken_frame(1 << 33).hex() == taken


def test_every_flipped_bit_of_a_head_is_noticed() -> None:
    sound = head(What.MESSAGE, 132)
    assert parse_head(memoryview(sound), LIMIT) == (What.MESSAGE, 132)
    for bit in range(8 * HEAD_BYTES):
        bent = bytearray(sound)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadMessage):
            parse_head(memoryview(bent), LIMIT)


def test_a_sound_head_may_still_ask_for_too_much_or_be_of_another_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert parse_head(memoryview(head(What.MESSAGE, LIMIT)), LIMIT) == (What.MESSAGE, LIMIT)
    with pytest.raises(BadMessage, match="over the limit"):
        parse_head(memoryview(head(What.MESSAGE, LIMIT + 1)), LIMIT)
    monkeypatch.setattr(framing, "VERSION", 2)
    later = head(What.MESSAGE, 1)
    monkeypatch.undo()
    with pytest.raises(BadMessage, match="version 1"):
        parse_head(memoryview(later), LIMIT)


def test_what_was_taken_is_believed_only_as_it_was_said() -> None:
    sound = taken_frame(1 << 33)[HEAD_BYTES:]
    assert parse_taken(memoryview(sound)) == 1 << 33
    for bit in range(8 * len(sound)):
        bent = bytearray(sound)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadMessage):
            parse_taken(memoryview(bent))
    with pytest.raises(BadMessage):
        parse_taken(memoryview(sound[1:]))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(
        st.integers(0, 200) | st.integers(BUFFER_BYTES - 40, 3 * BUFFER_BYTES), max_size=12
    ),
    sizes=st.lists(st.integers(1, 50) | st.integers(1_000, 1 << 20), min_size=1, max_size=5),
)
def test_frames_are_found_whatever_pieces_they_come_in(
    lengths: list[int], sizes: list[int]
) -> None:
    dice = random.Random(len(lengths))
    if max(sizes) < 1_000:
        sizes = [*sizes, 1 << 16]
    frames = [(number % 5, dice.randbytes(length)) for number, length in enumerate(lengths)]
    data = b"".join(head(What(1 + what % 4), len(body)) + body for what, body in frames)
    found = frames_in(FrameReader(LIMIT), data, sizes)
    assert found == [(1 + what % 4, body) for what, body in frames]


def test_a_large_frame_does_not_leave_a_large_buffer_behind() -> None:
    reader = FrameReader(LIMIT)
    for size in (KEPT_BYTES + 1, 10):
        body = bytes(size)
        assert frames_in(reader, head(What.MESSAGE, size) + body, [1 << 20]) == [(3, body)]
    assert len(reader.room()) == BUFFER_BYTES


def test_random_bytes_are_no_frames() -> None:
    dice = random.Random(3)
    for _ in range(200):
        reader = FrameReader(LIMIT)
        with pytest.raises(BadMessage):
            frames_in(reader, dice.randbytes(HEAD_BYTES + dice.randrange(300)), [64])
