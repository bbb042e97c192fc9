"""Events for tests, the same ones in every run."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from veritydb.types.event import Event

DEFAULT_TYPE = "SomethingHappened"


class EventFactory:
    """Makes events whose ids and payloads follow from `name` and their number alone.

    Two factories of one name make the same events. `defaults` are fields of `Event` that each gets
    unless told otherwise.
    """

    def __init__(self, name: str = "", **defaults: Any) -> None:
        """`defaults` are fields of `Event`, such as type, actor or tags."""
        self._name = name
        self._defaults = {"type": DEFAULT_TYPE, **defaults}
        self.made = 0

    def event(self, type: str | None = None, payload: Any = None, **fields: Any) -> Event:
        """Make one event. A payload that is not bytes is written as JSON; none is made up."""
        self.made += 1
        if payload is None:
            payload = {"number": self.made}
        if not isinstance(payload, bytes):
            payload = json.dumps(payload, sort_keys=True).encode()
        values = {**self._defaults, "id": self._id(), **fields, "payload": payload}
        if type is not None:
            values["type"] = type
        return Event(**values)

    def events(self, count: int, type: str | None = None, **fields: Any) -> list[Event]:
        """Make some events."""
        return [self.event(type, **fields) for _ in range(count)]

    def history(self, types: Sequence[str], subject: str, **fields: Any) -> list[Event]:
        """Make one event of each type, about one subject (an opaque id), in this order.

        Each names the one before it as its cause, and the first as what it belongs to.
        """
        made: list[Event] = []
        for type in types:
            links: dict[str, Any] = {}
            if made:
                links = {"causation_id": made[-1].id, "correlation_id": made[0].id}
            payload = {"subject": subject, "step": len(made)}
            made.append(self.event(type, payload, **{**links, **fields}))
        return made

    def _id(self) -> bytes:
        return blake2b(f"{self._name}:{self.made}".encode(), digest_size=16).digest()


def event(type: str = DEFAULT_TYPE, payload: Any = b"", **fields: Any) -> Event:
    """Make one event as it is told. A payload that is not bytes is written as JSON."""
    if not isinstance(payload, bytes):
        payload = json.dumps(payload, sort_keys=True).encode()
    return Event(type, payload, **fields)


def events(count: int, type: str = DEFAULT_TYPE, size: int = 16) -> list[Event]:
    """Make some events whose payloads have `size` bytes and begin with their number."""
    return [Event(type, f"{number:08d}".encode().ljust(size)[:size]) for number in range(count)]
