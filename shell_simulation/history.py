"""What clients did and what they were told: what the verdict is about."""

from typing import NamedTuple

import msgspec

from simulation.workload import Draft
from veritydb.types.outcome import Code


class Told(NamedTuple):
    """What the log says of a request, as the client heard it."""

    code: Code
    op: int
    base: int
    events: int
    stream: int


class Request(msgspec.Struct):
    """A request and all that became of it."""

    client: int
    draft: Draft
    invoked: int
    floor: int
    """The highest op that any client knew of when it was invoked."""
    told: list[Told] = msgspec.field(default_factory=list)
    surely_not: bool = True
    """Every attempt so far was answered with `not applied`."""


class Seen(NamedTuple):
    """What a read showed."""

    client: int
    node: int
    stream: int
    applied: int
    floor_op: int
    next: int
    floor: int
    first: int
    tokens: tuple[bytes, ...]


class History:
    """What all clients did and heard."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.requests: list[Request] = []
        self.seen: list[Seen] = []
        self.highest = 0

    def tell(self, request: Request, told: Told) -> None:
        """A client learns what became of a request."""
        request.told.append(told)
        self.highest = max(self.highest, told.op)
