"""What clients are told to do beside the tasks of `benchmarks.tasks`; the answer is `Appending`."""

import msgspec


class Mix(msgspec.Struct, frozen=True, kw_only=True, tag="mix"):
    """Nine calls of ten read `page` of the `events` of a stream, one appends to the lane's own."""

    url: str
    lanes: tuple[str, ...]
    stream: str
    events: int
    page: int
    payload_bytes: int
    warm_s: float
    seconds: float


class Tail(msgspec.Struct, frozen=True, kw_only=True, tag="tail"):
    """Append an event each `pause_s` to a stream that is followed; the durations are until it came.

    A number at the beginning of the payload tells which event it is.
    """

    url: str
    stream: str
    pause_s: float
    payload_bytes: int
    warm_s: float
    seconds: float


READS_OF_TEN = 9
_decoder = msgspec.json.Decoder(Mix | Tail)


def read_own_task(line: bytes) -> Mix | Tail:
    """Decode one of these tasks. Raises ValidationError if it is another one."""
    task: Mix | Tail = _decoder.decode(line)
    return task
