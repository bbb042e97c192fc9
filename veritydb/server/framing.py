"""Frames: what a connection between two nodes carries, in either direction.

    0       4         6      8        12    16
    +-------+---------+------+--------+-----+----------------+
    | magic | version | what | length | crc | `length` bytes |
    +-------+---------+------+--------+-----+----------------+

Little-endian. `crc` is CRC-32C over the 12 bytes before it: a length that was damaged on the way is
noticed before anything is taken for the rest of a frame. What follows it carries its own checksum.
"""

import struct
from enum import IntEnum

from crc32c import crc32c

from veritydb.vsr.messages import BadMessage

MAGIC = b"VDBp"
VERSION = 1
HEAD = struct.Struct("<4sHHI")
WHOLE_HEAD = struct.Struct("<4sHHII")
CRC = struct.Struct("<I")
HEAD_BYTES = WHOLE_HEAD.size
assert HEAD_BYTES == HEAD.size + CRC.size == 16
COUNT = struct.Struct("<Q")
# A buffer grows to what its frames need. What is larger than most of them is not kept.
BUFFER_BYTES = 64 << 10
KEPT_BYTES = 4 << 20


class What(IntEnum):
    """What a frame holds."""

    HELLO = 1
    """From who connected, first: a `PeerHello` of replica.capnp."""
    ANSWER = 2
    """To the hello: a `PeerAnswer`."""
    MESSAGE = 3
    """From who connected, once it was accepted: see veritydb/vsr/messages.py."""
    TAKEN = 4
    """To who connected: how many bytes of frames with messages were taken so far."""


def head(what: What, length: int) -> bytes:
    """Return what stands before `length` bytes."""
    raw = HEAD.pack(MAGIC, VERSION, what, length)
    return raw + CRC.pack(crc32c(raw))


def parse_head(view: memoryview, limit: int) -> tuple[int, int]:
    """Return what a frame holds, and of how many bytes. Raises BadMessage."""
    magic, version, what, length, crc = WHOLE_HEAD.unpack_from(view)
    if crc32c(view[: HEAD.size]) != crc:
        raise BadMessage("the checksum of a frame's head does not match")
    if magic != MAGIC or version != VERSION:
        raise BadMessage(f"no frame of version {VERSION} starts here")
    if length > limit:
        raise BadMessage(f"a frame of {length} bytes, over the limit of {limit}")
    return what, length


def taken_frame(count: int) -> bytes:
    """Return the frame that says how much was taken."""
    raw = COUNT.pack(count)
    return head(What.TAKEN, COUNT.size + CRC.size) + raw + CRC.pack(crc32c(raw))


def parse_taken(body: memoryview) -> int:
    """Return how much was taken. Raises BadMessage."""
    if len(body) != COUNT.size + CRC.size:
        raise BadMessage(f"a count in {len(body)} bytes")
    (crc,) = CRC.unpack_from(body, COUNT.size)
    if crc32c(body[: COUNT.size]) != crc:
        raise BadMessage("the checksum of a count does not match")
    count: int = COUNT.unpack_from(body)[0]
    return count


class FrameReader:
    """Finds frames in the bytes of a connection. They are read into its buffer, and stay there."""

    def __init__(self, limit: int) -> None:
        """No frame may hold more than `limit` bytes; that may be changed later."""
        self.limit = limit
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._at = 0
        self._end = 0

    def room(self) -> memoryview:
        """Where the next bytes belong."""
        assert self._end < len(self._view)
        return self._view[self._end :]

    def took(self, size: int) -> None:
        """So many bytes came there. Call `next` until there is nothing more."""
        self._end += size

    def next(self) -> tuple[int, memoryview] | None:
        """Return the next frame, if all of it has come: what it is, and its bytes.

        They are gone when this is called again. Raises BadMessage, after which nothing is found.
        """
        start = self._at + HEAD_BYTES
        if start > self._end:
            self._hold(HEAD_BYTES)
            return None
        what, length = parse_head(self._view[self._at : start], self.limit)
        end = start + length
        if end > self._end:
            self._hold(HEAD_BYTES + length)
            return None
        self._at = end
        return what, self._view[start:end]

    def _hold(self, size: int) -> None:
        """Make the buffer such that the frame at `_at`, of `size` bytes, has its place in it."""
        view, rest = self._view, self._end - self._at
        if size > len(view):
            self._view = memoryview(bytearray(1 << (size - 1).bit_length()))
        elif not rest and len(view) > KEPT_BYTES:
            self._view = memoryview(bytearray(BUFFER_BYTES))
        elif rest and self._at + size <= len(view):
            return
        # Also within the same memory: what overlaps is copied as it was.
        self._view[:rest] = view[self._at : self._end]
        self._at, self._end = 0, rest
