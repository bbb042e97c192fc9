"""Histories of clients against what a stream holds in the end."""

import pytest

from simulation.checkers.history import Contents, Kind, Operation, Result, by_stream, judge

A, B, C, D = b"a", b"b", b"c", b"d"


def append(
    begin: int, end: int, offset: int, *values: bytes, result: Result = Result.OK, process: int = 0
) -> Operation:
    return Operation(process, 1, Kind.APPEND, begin, end, result, values, offset=offset)


def read(
    begin: int, end: int, following: int, *values: bytes, first: int = 0, fresh: bool = True
) -> Operation:
    return Operation(
        9, 1, Kind.READ, begin, end, Result.OK, values, offset=first, next=following, fresh=fresh
    )


def conflict(begin: int, end: int, actual: int) -> Operation:
    expected = actual + 1
    return Operation(3, 1, Kind.APPEND, begin, end, Result.CONFLICT, (D,), expected, actual)


SOUND = [append(1, 4, 0, A), append(2, 5, 1, B, C), read(6, 7, 3, A, B, C)]


def test_a_sound_history_passes() -> None:
    more = [
        read(3, 8, 1, A),
        read(3, 8, 3, C, first=2),
        read(8, 9, 0, fresh=False),
        conflict(3, 6, 1),
        append(1, 0, 0, b"never", result=Result.UNKNOWN),
        append(1, 9, 0, b"no", result=Result.REFUSED),
    ]
    assert judge(sorted(SOUND + more, key=lambda one: one.invoked), Contents((A, B, C))) == []


def test_what_was_given_up_is_not_missed() -> None:
    assert judge(SOUND, Contents((C,), floor=2)) == []


@pytest.mark.parametrize(
    ("history", "contents", "what"),
    [
        (SOUND, (A, B), "lost"),
        (SOUND, (A, C, B), "elsewhere"),
        (SOUND, (A, B, C, A), "again"),
        (SOUND, (A, B, C, D), "nobody appended"),
        ([*SOUND, append(1, 9, 0, D, result=Result.REFUSED)], (A, B, C, D), "was refused"),
        ([*SOUND, conflict(1, 9, 3)], (A, B, C, D), "was refused"),
        ([append(1, 2, 1, B), append(3, 4, 0, A)], (A, B), "before an earlier one began"),
        ([append(1, 2, 0, A), read(3, 4, 0)], (A,), "shown to be 0 long"),
        ([append(1, 2, 0, A), read(3, 4, 1, B)], (A,), "what is not there"),
        ([append(1, 2, 0, A), read(3, 4, 1, A, B)], (A, B), "what is not there"),
        ([append(1, 2, 0, A), read(3, 4, 3)], (A,), "shown to be 3 long"),
        ([read(1, 2, 1, A), append(3, 4, 0, A)], (A,), "before the last of them was sent"),
        ([append(1, 2, 0, A), conflict(3, 4, 0)], (A,), "shown to be 0 long"),
        ([append(1, 2, 0, A), read(3, 5, 1, A), read(6, 7, 0)], (A,), "had seen 1"),
    ],
)
def test_a_history_that_is_not_is_seen(
    history: list[Operation], contents: tuple[bytes, ...], what: str
) -> None:
    ordered = sorted(history, key=lambda one: one.invoked)
    problems = judge(ordered, Contents(contents))
    assert any(what in problem for problem in problems), problems


def test_a_repeat_under_another_name_began_when_it_was_first_sent() -> None:
    lost = append(1, 0, 0, A, result=Result.UNKNOWN)
    again = append(6, 7, 0, A, process=1)
    assert judge([lost, append(2, 3, 1, B), again], Contents((A, B))) == []


def test_operations_are_told_apart_by_stream() -> None:
    other = append(0, 1, 0, A)._replace(stream=2)
    assert by_stream([*SOUND, other]) == {1: SOUND, 2: [other]}
