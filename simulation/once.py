"""Bytes that reach several replicas, or one again and again, are read once."""

from functools import lru_cache

from veritydb.kernel.admission import Command
from veritydb.types import entry as entries
from veritydb.types.entry import Entry, Kind
from veritydb.vsr import messages
from veritydb.wire import log as commands

KEPT = 256


@lru_cache(maxsize=KEPT)
def received(data: bytes) -> messages.Message:
    """Read a message. Raises BadMessage."""
    return messages.decode(data)


@lru_cache(maxsize=KEPT)
def asked(data: bytes) -> tuple[Entry, Command | None]:
    """Read a request, and the command in it if there is one. Raises BadEntry."""
    entry = entries.parse(data)
    kind = entry.header.kind
    if kind in (Kind.COMMAND, Kind.APPEND_MANY):
        return entry, command(kind, data[entries.HEADER_BYTES :])
    return entry, None


@lru_cache(maxsize=KEPT)
def command(kind: Kind, body: bytes) -> Command | None:
    """Read the body of an entry, as `veritydb.wire.log` does."""
    return commands.decode(kind, body)
