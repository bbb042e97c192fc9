"""One event as its author writes it."""

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """What happened. Never changes once it is appended.

    `id` is 16 bytes, made by the client if empty; ids are not checked for uniqueness. `occurred_at`
    is when it happened in the world (ns since 1970, 0 for unknown); the log time of the append is
    another matter. `causation_id` and `correlation_id` are empty or 16 bytes. Types and tags are
    stored apart from the payload and may outlive it, so they must never name a person.
    """

    type: str
    payload: bytes
    id: bytes = b""
    schema_version: int = 1
    occurred_at: int = 0
    causation_id: bytes = b""
    correlation_id: bytes = b""
    actor: str = ""
    metadata: bytes = b""
    tags: tuple[str, ...] = ()
