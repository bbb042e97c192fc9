"""What a client process is told to do and what it answers, one line of JSON each."""

import msgspec


class Append(msgspec.Struct, frozen=True, kw_only=True, tag="append"):
    """Append for a while. Every lane has one call in flight; several may share a stream."""

    url: str
    lanes: tuple[str, ...]
    batch: int
    payload_bytes: int
    coalesce: bool
    warm_s: float
    seconds: float


class Fill(msgspec.Struct, frozen=True, kw_only=True, tag="fill"):
    """Append an exact number of events, and say what a reader must find."""

    url: str
    stream: str
    events: int
    batch: int
    payload_bytes: int


class CatchUp(msgspec.Struct, frozen=True, kw_only=True, tag="catch_up"):
    """Read a stream from its beginning. `batches` reads columns instead of event objects."""

    url: str
    stream: str
    batches: bool


class Steady(msgspec.Struct, frozen=True, kw_only=True, tag="steady"):
    """Append numbered events in sequence, until the next line comes."""

    url: str
    stream: str
    payload_bytes: int


class Spread(msgspec.Struct, frozen=True, kw_only=True, tag="spread"):
    """Append so many events in all to so many streams, which are made if they are not there.

    Single events (`batch` 1) of a stream are in flight together and coalesce. There are `lanes`
    streams at work at a time.
    """

    url: str
    stream: str
    streams: int
    events: int
    batch: int
    lanes: int
    payload_bytes: int


class Soak(msgspec.Struct, frozen=True, kw_only=True, tag="soak"):
    """Keep every lane busy, each going round `streams` of its own, until the next line comes."""

    url: str
    stream: str
    streams: int
    lanes: int
    batch: int
    payload_bytes: int


class Check(msgspec.Struct, frozen=True, kw_only=True, tag="check"):
    """Read the numbers back that a `Steady` has appended."""

    url: str
    stream: str


Task = Append | Fill | CatchUp | Spread | Soak | Steady | Check


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Connected; the streams exist. The next line to it is a time (monotonic) to begin at."""


class Appending(msgspec.Struct, frozen=True, kw_only=True, tag="appending"):
    """What a client got done in its window, and how long each call took."""

    requests: int
    events: int
    durations_us: list[int]
    cpu_s: float
    resident_bytes: int
    errors: list[str]


class Content(msgspec.Struct, frozen=True, kw_only=True, tag="content"):
    """What was written or read, and what that took."""

    events: int
    payload_bytes: int
    digest: int
    seconds: float
    cpu_s: float


class Spreading(msgspec.Struct, frozen=True, kw_only=True, tag="spreading"):
    """What was appended, and what that took."""

    events: int
    seconds: float
    cpu_s: float


class Soaked(msgspec.Struct, frozen=True, kw_only=True, tag="soaked"):
    """What was acknowledged, and the longest time in which nothing was."""

    events: int
    seconds: float
    silent_s: float
    refused: int
    errors: list[str]


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True, tag="acknowledged"):
    """When appends were acknowledged (monotonic), and the numbers that were not."""

    times: list[float]
    count: int
    unknown: list[int]
    errors: list[str]


class Numbers(msgspec.Struct, frozen=True, kw_only=True, tag="numbers"):
    """The numbers found in a stream, in its order."""

    found: list[int]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The task could not be done."""

    why: str


Answer = Ready | Appending | Content | Spreading | Soaked | Acknowledged | Numbers | Failed

_tasks = msgspec.json.Decoder(Task)
_answers = msgspec.json.Decoder(Answer)


def read_task(line: bytes) -> Task:
    """Decode a task."""
    task: Task = _tasks.decode(line)
    return task


def read_answer(line: bytes) -> Answer:
    """Decode an answer."""
    answer: Answer = _answers.decode(line)
    return answer


def to_line(value: Task | Answer) -> bytes:
    """Encode either."""
    return msgspec.json.encode(value)
