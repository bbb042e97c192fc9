"""What clients asked and were told, as plain data, and what must hold of it.

Nothing here knows how the database works, so that whatever has clients can be judged by it: the
simulator, and real processes. Times are of any one clock; equal times count as overlapping.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

ANY = -1
"""As `Operation.expected`: wherever the stream ends."""
EXISTS = -2
"""As `Operation.expected`: there is at least one event."""
PROBLEMS_MAX = 20


class Kind(IntEnum):
    """What was asked for."""

    APPEND = 1
    READ = 2
    SEAL = 3


class Result(IntEnum):
    """What the client was told."""

    UNKNOWN = 0
    """Nothing: it may have happened, may still happen, or never will."""
    OK = 1
    CONFLICT = 2
    """The stream did not end where the append expected; `offset` says where it did."""
    SEALED = 3
    REFUSED = 4
    """Not done, and never will be."""


class Operation(NamedTuple):
    """One thing that one client wanted of one stream."""

    process: int
    stream: int | str
    kind: Kind
    invoked: int
    returned: int
    """When the answer came; of no meaning while the result is unknown."""
    result: Result
    values: tuple[bytes, ...] = ()
    """What was to be appended, each unlike all others; or what was read."""
    expected: int = ANY
    offset: int = 0
    """Of the first of `values`; in a conflict, the offset at which the stream ended."""
    next: int = 0
    """Of a read: the offset after the stream's last event."""
    fresh: bool = True
    """Of a read: whether it had to show what was answered before it was asked."""

    @property
    def known(self) -> bool:
        """Whether there was an answer."""
        return self.result is not Result.UNKNOWN

    @property
    def appended(self) -> bool:
        """Whether it is known to have put its values into the stream."""
        return self.kind is Kind.APPEND and self.result is Result.OK


class Contents(NamedTuple):
    """A stream in the end: what lies below `floor` was given up, and nobody can say what it was."""

    values: Sequence[bytes]
    floor: int = 0


def by_stream(history: Iterable[Operation]) -> dict[int | str, list[Operation]]:
    """The operations of each stream, in the order in which they were invoked."""
    found: dict[int | str, list[Operation]] = {}
    for operation in sorted(history, key=lambda each: each.invoked):
        found.setdefault(operation.stream, []).append(operation)
    return found


def judge(history: Sequence[Operation], contents: Contents) -> list[str]:
    """What is wrong with the history of one stream, given what is in it in the end.

    The stream's own order is the order of its appends. Acknowledged values are where they were said
    to be, nothing is there twice, nothing that was refused, nothing that nobody asked for; who
    began after another was answered comes after it; reads and conflicts tell of the stream as it
    was at some moment between question and answer.
    """
    problems = [*_exactly_once(history, contents), *_real_time(history)]
    problems += _views(history, contents)
    problems += sessions(history)
    return problems[:PROBLEMS_MAX]


def _exactly_once(history: Sequence[Operation], contents: Contents) -> Iterator[str]:
    places: dict[bytes, int] = {}
    for at, value in enumerate(contents.values, contents.floor):
        if value in places:
            yield f"what is at {places[value]} is at {at} again"
        places[value] = at
    issued: set[bytes] = set()
    possible: set[bytes] = set()
    for one in history:
        if one.kind is not Kind.APPEND:
            continue
        issued.update(one.values)
        if one.result in (Result.OK, Result.UNKNOWN):
            possible.update(one.values)
        if not one.appended:
            continue
        for at, value in enumerate(one.values, one.offset):
            if at >= contents.floor and places.get(value) != at:
                yield f"acknowledged at {at} and lost, or elsewhere: {places.get(value)}"
    for value, at in places.items():
        if value not in issued:
            yield f"nobody appended what is at {at}"
        elif value not in possible:
            yield f"what is at {at} was refused"


def _real_time(history: Sequence[Operation]) -> Iterator[str]:
    """Of two appends, the one that was answered before the other began stands before it."""
    # What is sent again under another name began when it was first sent.
    begun: dict[bytes, int] = {}
    for one in history:
        if one.kind is Kind.APPEND and one.values:
            begun.setdefault(one.values[0], one.invoked)
    latest = -1
    for one in sorted((each for each in history if each.appended), key=lambda each: each.offset):
        if one.returned < latest:
            yield f"the append at {one.offset} was answered before an earlier one began"
        latest = max(latest, begun[one.values[0]])


def _views(history: Sequence[Operation], contents: Contents) -> Iterator[str]:
    """Reads and conflicts show the stream no shorter and no longer than it can have been."""
    begun = {
        value: one.invoked
        for one in reversed(history)
        if one.kind is Kind.APPEND
        for value in one.values
    }
    # When the first so many values were all invoked: no answer from before shows that many.
    soonest: list[int] = []
    for value in contents.values:
        soonest.append(max(soonest[-1] if soonest else 0, begun.get(value, 0)))
    answered = sorted(
        (one.returned, one.next if one.kind is Kind.READ else one.offset + len(one.values))
        for one in history
        if one.known and (one.appended or (one.kind is Kind.READ and one.result is Result.OK))
    )
    at = shown = 0
    for one in history:
        reads = one.kind is Kind.READ and one.result is Result.OK
        if not reads and one.result is not Result.CONFLICT:
            continue
        end = one.next if reads else one.offset
        while at < len(answered) and answered[at][0] < one.invoked:
            shown = max(shown, answered[at][1])
            at += 1
        if end < shown and one.fresh:
            yield f"a stream that was {shown} long is shown to be {end} long"
        last = end - contents.floor - 1
        if last >= len(contents.values):
            yield f"a stream of {contents.floor + len(contents.values)} is shown to be {end} long"
        elif last >= 0 and soonest[last] > one.returned:
            yield f"{end} events are shown before the last of them was sent"
        if reads:
            yield from _shown(one, contents)


def _shown(read: Operation, contents: Contents) -> Iterator[str]:
    for at, value in enumerate(read.values, read.offset):
        there = at - contents.floor
        if at >= read.next or (
            there >= 0 and (there >= len(contents.values) or contents.values[there] != value)
        ):
            yield f"a read shows at {at} what is not there"
            return


def sessions(history: Iterable[Operation]) -> Iterator[str]:
    """A client that waits for its answers sees its own writes, and never less than before."""
    seen: dict[int, tuple[int, int]] = {}
    for one in sorted(history, key=lambda each: (each.returned, each.invoked)):
        if one.result is not Result.OK or one.kind is Kind.SEAL or not one.fresh:
            continue
        when, length = seen.get(one.process, (0, 0))
        end = one.next if one.kind is Kind.READ else one.offset + len(one.values)
        if one.kind is Kind.READ and one.invoked > when and end < length:
            yield f"client {one.process} had seen {length} events and is shown {end}"
        if end > length:
            seen[one.process] = (one.returned, end)
