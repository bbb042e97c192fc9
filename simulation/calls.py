"""What clients and nodes say to each other beside the bytes of requests."""

from typing import NamedTuple

from veritydb.node.effects import RefuseReason
from veritydb.types.outcome import Code, Outcome


class Call(NamedTuple):
    """What a client sends beside the entry's bytes. `key` comes back with the answer."""

    key: int
    group: int
    replica: int


class ReadCall(NamedTuple):
    """A read from `first` on; a fresh one has to show all that was answered before it."""

    key: int
    group: int
    replica: int
    stream: int
    first: int
    fresh: bool


class Answered(NamedTuple):
    """A request came into the log, and this became of it."""

    key: int
    replica: int
    outcome: Outcome


class Refused(NamedTuple):
    """A node did not take the request."""

    key: int
    reason: RefuseReason
    redirect: int | None


class Denied(NamedTuple):
    """The rules forbid it: never to be asked again."""

    key: int
    code: Code


class ReadReply(NamedTuple):
    """What is in a stream."""

    key: int
    replica: int
    applied: int
    next: int
    floor: int
    first: int
    tokens: tuple[bytes, ...]
