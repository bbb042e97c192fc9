"""What the benchmarks append: bytes that no disk or network can shorten, the same every time."""

from itertools import cycle, islice
from random import Random

from veritydb.types.event import Event

TYPE = "ObservationRecorded"
VARIANTS = 8
NUMBER_BYTES = 8


def batches(count: int, payload_bytes: int, seed: int = 1) -> list[list[Event]]:
    """Several batches of `count` events each, to be appended in turn."""
    rng = Random(seed)
    return [
        [Event(TYPE, rng.randbytes(payload_bytes)) for _ in range(count)] for _ in range(VARIANTS)
    ]


def stream_of_batches(events: int, batch: int, payload_bytes: int) -> list[list[Event]]:
    """Exactly `events` events in batches. Payloads repeat, but not in a row."""
    whole, rest = divmod(events, batch)
    made = list(islice(cycle(batches(batch, payload_bytes)), whole))
    if rest:
        made.append(batches(rest, payload_bytes, seed=2)[0])
    return made


def numbered(number: int, payload_bytes: int) -> Event:
    """An event that can be told from all others."""
    assert payload_bytes >= NUMBER_BYTES
    return Event(TYPE, number.to_bytes(NUMBER_BYTES, "big").ljust(payload_bytes, b"."))


def number_of(payload: bytes) -> int:
    """Which of the numbered events a payload is."""
    return int.from_bytes(payload[:NUMBER_BYTES], "big")
