"""What all messages between replicas have in common."""

from enum import IntEnum
from typing import Any

import msgspec

from veritydb.types.ids import GroupId, View


class BadMessage(Exception):
    """These bytes are no message. Says why, and never what they contain."""


class Common(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who says it. `view` is the sender's; what it proves is for each kind of message to say."""

    cluster: bytes
    group: GroupId
    epoch: int
    view: View
    sender: int
    incarnation: int


class Kind(IntEnum):
    """The numbers of the messages on the wire."""

    PING = 1
    PONG = 2
    PREPARE = 3
    PREPARE_OK = 4
    HEARTBEAT = 5
    START_VIEW_CHANGE = 6
    DO_VIEW_CHANGE = 7
    START_VIEW = 8
    REQUEST_START_VIEW = 9
    REQUEST_HEADERS = 10
    HEADERS = 11
    REQUEST_FRAMES = 12
    FRAMES = 13
    REPLACED = 14
    REQUEST_SNAPSHOT = 15
    SNAPSHOT_OFFER = 16
    REQUEST_SNAPSHOT_PART = 17
    SNAPSHOT_PART = 18
    REQUEST_HISTORY = 19
    HISTORY_PART = 20
    PROMISED = 21


# a, b, c, d, hash, count, payload
Fields = tuple[int, int, int, int, bytes, int, list[bytes]]
Words = tuple[int, int, int, int, bytes, int, memoryview]


def common_fields(f: tuple[Any, ...]) -> dict[str, Any]:
    """Return the fields of `Common` by name, of an envelope that was unpacked."""
    return {
        "cluster": f[8],
        "group": f[3],
        "epoch": f[4],
        "view": f[5],
        "sender": f[6],
        "incarnation": f[7],
    }
