"""The history that clients recorded, judged by the same checkers as the simulator's."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from nemesis.clients import Note
from simulation.checkers import wing_gong
from simulation.checkers.history import Contents, Kind, Operation, Result, by_stream, judge

SEARCH_BUDGET = 200_000
PROBLEMS_MAX = 10
# By how much log time may be off while most clocks are right: what a quorum of them may differ by.
TOLERANCE_NS = 10_000_000_000


class Ending(msgspec.Struct, frozen=True):
    """A stream as it was read back in the end, with the log time of each event."""

    values: tuple[bytes, ...]
    times: tuple[int, ...]


class Judgement(msgspec.Struct, frozen=True):
    """What was looked at, and what is wrong."""

    operations: int
    acknowledged: int
    unknown: int
    streams: int
    searched: int
    given_up: int
    problems: tuple[str, ...]


def read(files: Iterable[Path]) -> list[Note]:
    """All notes of all clients."""
    decoder = msgspec.json.Decoder(Note)
    return [decoder.decode(line) for file in files for line in file.read_bytes().splitlines()]


def streams(notes: Iterable[Note]) -> list[str]:
    """The streams that anything is known of."""
    return sorted({str(note.operation.stream) for note in notes})


def judge_all(notes: Sequence[Note], endings: Mapping[str, Ending], epoch_ns: int) -> Judgement:
    """Judge everything. Clients' times and `epoch_ns` make times of the wall clock."""
    problems: list[str] = []
    searched = given_up = 0
    histories = by_stream(note.operation for note in notes)
    for stream, history in histories.items():
        ending = endings[str(stream)]
        found = [*judge(history, Contents(ending.values)), *_times(history, ending, epoch_ns)]
        verdict = wing_gong.check(history, budget=SEARCH_BUDGET)
        searched += verdict.checked
        given_up += verdict.sound is None
        if verdict.sound is False:
            found.append(verdict.what)
        problems += [f"{stream}: {problem}" for problem in found]
    problems += _own(notes)
    operations = [note.operation for note in notes]
    return Judgement(
        operations=len(operations),
        acknowledged=sum(len(one.values) for one in operations if one.appended),
        unknown=sum(not one.known for one in operations),
        streams=len(histories),
        searched=searched,
        given_up=given_up,
        problems=tuple(problems[:PROBLEMS_MAX]),
    )


def _own(notes: Iterable[Note]) -> Iterable[str]:
    """Reads with the token of an own append show that append."""
    for note in notes:
        read, least = note.operation, note.least
        if read.kind is Kind.READ and read.next < least:
            yield f"client {read.process} had appended up to {least} and was shown {read.next}"


def _times(history: Iterable[Operation], ending: Ending, epoch_ns: int) -> Iterable[str]:
    """Log time never goes back, and is about the time at which an append happened."""
    if any(b < a for a, b in zip(ending.times, ending.times[1:], strict=False)):
        yield "log time goes back"
    for one in history:
        if one.kind is Kind.APPEND and one.result is Result.OK and one.offset < len(ending.times):
            time = ending.times[one.offset] - epoch_ns
            if not one.invoked - TOLERANCE_NS <= time <= one.returned + TOLERANCE_NS:
                off = (time - one.invoked) / 1e9
                yield f"the append at {one.offset} bears a time {off:+.1f} s from its own"
                return
