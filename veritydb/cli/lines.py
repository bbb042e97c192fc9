"""NDJSON as it is published: one event per line, the exact bytes of the line as its payload.

A line ends with a newline, which is not part of it; the last may do without. A carriage return is
part of its line, and an empty line is an event with an empty payload: what `read --raw` prints is
byte for byte what was published, except that the last line always gets its newline.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec

from veritydb.cli.exits import Exit, Failure
from veritydb.types.limits import EVENT_BYTES_MAX, EVENT_TYPE_BYTES_MAX

BATCH_EVENTS = 1_000
BATCH_BYTES = 1 << 20
ORIGIN_PERSON = b"vdb-publish"
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
TEXT = msgspec.json.Decoder(str)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Every line without its newline. Raises Failure for one that is too long for an event."""
    number = 0
    # One byte more than allowed and its newline are enough to know; never a whole huge line.
    while line := file.readline(EVENT_BYTES_MAX + 2):
        number += 1
        content = line.removesuffix(b"\n")
        if len(content) > EVENT_BYTES_MAX:
            raise Failure(
                Exit.USAGE,
                f"line {number} is longer than an event may be ({EVENT_BYTES_MAX} bytes)",
                name="TOO_LARGE",
            )
        yield content


def batches(
    source: Iterator[bytes], events_max: int = BATCH_EVENTS, bytes_max: int = BATCH_BYTES
) -> Iterator[list[bytes]]:
    """Lines in batches of bounded count and size; a line larger than the bound is one alone.

    Where a batch ends follows from the lines since the last one alone, so a run that begins where
    another stopped makes the same batches.
    """
    batch: list[bytes] = []
    size = 0
    for line in source:
        if batch and (len(batch) >= events_max or size + len(line) > bytes_max):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def type_of(line: bytes, field: str, number: int) -> str:
    """The event type that a line's own field names. Raises Failure, naming the line."""
    try:
        kind = TEXT.decode(FIELDS.decode(line)[field])
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError):
        kind = ""
    if not 0 < len(kind.encode()) <= EVENT_TYPE_BYTES_MAX:
        raise Failure(
            Exit.USAGE,
            f"line {number} is no JSON object whose {field!r} is a text of 1 to"
            f" {EVENT_TYPE_BYTES_MAX} bytes",
            name="NO_TYPE",
        )
    return kind


def origin_of(path: Path | None, name: str) -> bytes:
    """The 16 bytes by which a stream knows what was published from a file, or under a name.

    Of a file only the place counts, never what is in it: an origin is kept for ever, and a hash of
    what is about a patient would outlive the erasure of that.
    """
    digest = blake2b(digest_size=16, person=ORIGIN_PERSON)
    if path is not None:
        digest.update(str(path.resolve()).encode("utf-8", "surrogateescape"))
    digest.update(b"\0" + name.encode("utf-8", "surrogateescape"))
    return digest.digest()
