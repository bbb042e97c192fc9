"""A replicated system-of-record database for healthcare: an append-only log, and its projections.

    with veritydb.connect("veritydb://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403") as db:
        notes = db.create_stream(
            "notes", tenant=1, data_class=DataClass.PHI, placement=Region("au-syd")
        )
        notes.append([Event("NoteCreated", payload)], expected=NO_STREAM)
        for event in notes.read(): ...

`veritydb.aio` and `veritydb.trio` are the same for asyncio and Trio.

Importing the package loads nothing else: its names are loaded when they are first used. The test of
the architecture holds that, so that a part can be used (and simulated) without pulling in the ones
above it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veritydb import aio, errors, trio
    from veritydb.client.memory import keep_large_buffers
    from veritydb.client.sync import Client, Stream, connect
    from veritydb.client.values import (
        ANY,
        LINEARIZABLE,
        LOCAL,
        NO_STREAM,
        STREAM_EXISTS,
        Appended,
        Consistency,
        Durability,
        Erased,
        Expected,
        Item,
        Offsets,
        Position,
        PublishOptions,
        ReadBatch,
        RecordedEvent,
        StreamInfo,
        Token,
        Truncated,
        Write,
    )
    from veritydb.embedded import open
    from veritydb.policy.state import Rules
    from veritydb.types.event import Event
    from veritydb.types.labels import (
        AP_SOUTHEAST_2,
        EU_WEST_1,
        GLOBAL,
        US_EAST_1,
        DataClass,
        Placement,
        Region,
    )
    from veritydb.types.retention import Retention

__all__ = [
    "ANY",
    "AP_SOUTHEAST_2",
    "EU_WEST_1",
    "GLOBAL",
    "LINEARIZABLE",
    "LOCAL",
    "NO_STREAM",
    "STREAM_EXISTS",
    "US_EAST_1",
    "Appended",
    "Client",
    "Consistency",
    "DataClass",
    "Durability",
    "Erased",
    "Event",
    "Expected",
    "Item",
    "Offsets",
    "Placement",
    "Position",
    "PublishOptions",
    "ReadBatch",
    "RecordedEvent",
    "Region",
    "Retention",
    "Rules",
    "Stream",
    "StreamInfo",
    "Token",
    "Truncated",
    "Write",
    "aio",
    "connect",
    "errors",
    "keep_large_buffers",
    "open",
    "trio",
]

__version__ = "0.1.0"


class AssertionsDisabledError(RuntimeError):
    """Python was started with assertions switched off; VerityDB does not run like that."""


# Not an assertion, because those are just what would be missing.
if not __debug__:
    raise AssertionsDisabledError(
        "VerityDB refuses to run under `python -O` or PYTHONOPTIMIZE: its assertions stop a "
        "replica that has gone wrong before it can spread the damage. Start Python without them."
    )

# Where the public names are. Nothing is loaded before one of them is used.
_MODULES = {
    "veritydb.client.sync": ("Client", "Stream", "connect"),
    "veritydb.client.values": (
        *("ANY", "LINEARIZABLE", "LOCAL", "NO_STREAM", "STREAM_EXISTS", "Appended", "Consistency"),
        *("Durability", "Erased", "Expected", "Item", "Offsets", "Position", "PublishOptions"),
        *("ReadBatch", "RecordedEvent", "StreamInfo", "Token", "Truncated", "Write"),
    ),
    "veritydb.embedded": ("open",),
    "veritydb.policy.state": ("Rules",),
    "veritydb.types.event": ("Event",),
    "veritydb.types.labels": (
        *("AP_SOUTHEAST_2", "EU_WEST_1", "GLOBAL", "US_EAST_1"),
        *("DataClass", "Placement", "Region"),
    ),
    "veritydb.types.retention": ("Retention",),
    "veritydb.client.memory": ("keep_large_buffers",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


# Hidden from type checkers, which would then accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used."""
        if name in ("aio", "errors", "trio"):
            return import_module(f"veritydb.{name}")
        if name not in _PLACES:
            raise AttributeError(f"module 'veritydb' has no attribute {name!r}")
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
