"""The stored bytes of a batch never change: what was written by this version is read for ever."""

import os
from pathlib import Path

from veritydb.types.entry import EXPECT_NO_STREAM, EntryHeader, Kind
from veritydb.types.event import Event
from veritydb.wire.batch import Batch, decode_batch, encode_batch, join_batches

FOLDER = Path(__file__).parent
PLAIN = [Event("NoteCreated", b"one"), Event("NoteCreated", b"")]
FULL = [
    Event(
        "NoteSigned",
        bytes(range(20)),
        id=b"i" * 16,
        schema_version=3,
        occurred_at=1_700_000_000_000_000_000,
        causation_id=b"c" * 16,
        correlation_id=b"k" * 16,
        actor="ärztin",
        metadata=b"\x00meta",
        tags=("ward-3", "urgent"),
    ),
    Event("NoteCreated", b"two", tags=("urgent",)),
]


def check(name: str, batch: Batch) -> None:
    """Compare with the file, or write it when the environment says so."""
    path = FOLDER / f"{name}.hex"
    if os.environ.get("VERITYDB_GOLDEN") == "write":
        path.write_text(batch.body.hex("\n", 32) + "\n")
    assert bytes.fromhex(path.read_text()) == batch.body


def header_of(batch: Batch, kind: Kind) -> EntryHeader:
    return EntryHeader(kind=kind, parts=batch.parts, events=batch.events, body_len=len(batch.body))


def test_a_plain_batch() -> None:
    batch = encode_batch(PLAIN, bytes(range(1, 33)))
    check("batch_plain", batch)


def test_a_batch_with_every_column() -> None:
    batch = encode_batch(FULL, bytes(range(1, 33)))
    check("batch_full", batch)
    assert decode_batch(header_of(batch, Kind.APPEND), batch.body)[0] == FULL[0]


def test_a_batch_for_two_streams() -> None:
    plain = encode_batch(PLAIN, bytes(range(1, 33)))
    full = encode_batch(FULL, bytes(range(1, 33)))
    joined = join_batches([(1 << 48 | 5, EXPECT_NO_STREAM, plain), (1 << 48 | 9, 12, full)])
    check("batch_joined", joined)
    assert decode_batch(header_of(joined, Kind.APPEND_MANY), joined.body, 1 << 48 | 9)[0] == FULL[0]
