"""What the tests of real clusters have in common."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from nemesis.nodes import Nodes
from veritydb.client.sync import Client, Stream
from veritydb.client.values import RecordedEvent
from veritydb.types.labels import DataClass, Placement, Region
from veritydb.types.retention import Retention

TENANT = 1
SYDNEY = Region("au-syd")
NUMBERS = itertools.count(1)


def fresh_name(what: str) -> str:
    """A name that no other test of this session uses, whichever process runs it."""
    return f"{what}-{os.getpid()}-{next(NUMBERS)}"


def make_stream(
    db: Client,
    what: str,
    *,
    data_class: DataClass = DataClass.PHI,
    placement: Placement = SYDNEY,
    retention: Retention | None = None,
) -> Stream:
    """A new stream of a name of its own."""
    return db.create_stream(
        fresh_name(what),
        tenant=TENANT,
        data_class=data_class,
        placement=placement,
        retention=retention,
    )


def payloads(stream: Stream, node: str | None = None) -> list[bytes]:
    """Everything in a stream, in order."""
    items = stream.read(0, node=node)
    return [item.payload for item in items if isinstance(item, RecordedEvent)]


def payloads_everywhere(nodes: Nodes, stream: Stream) -> list[list[bytes]]:
    """The same from each node that holds it, once all have caught up."""
    nodes.level()
    with nodes.client() as db:
        handle = db.stream(stream.name, tenant=TENANT, placement=stream.placement)
        holders = nodes.config.group(stream.group).replicas
        return [payloads(handle, node) for node in holders]


def written(path: Path) -> Iterator[bytes]:
    """All of a file that was ever written: what is only preallocated is passed over."""
    with path.open("rb") as file:
        at = 0
        while True:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield os.pread(file.fileno(), at - start, start)


def bytes_on_disk(folder: Path) -> int:
    """What the files below a folder really occupy."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
