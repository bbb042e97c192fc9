"""The search for an order, by example and against trying all of them."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.checkers.history import ANY, EXISTS, Kind, Operation, Result
from simulation.checkers.wing_gong import check

A, B, C = b"a", b"b", b"c"


def op(
    begin: int,
    end: int,
    value: bytes,
    offset: int,
    expected: int = ANY,
    result: Result = Result.OK,
) -> Operation:
    return Operation(0, 1, Kind.APPEND, begin, end, result, (value,), expected, offset)


def read(begin: int, end: int, *values: bytes) -> Operation:
    return Operation(1, 1, Kind.READ, begin, end, Result.OK, values, next=len(values))


def seal(begin: int, end: int, result: Result = Result.OK) -> Operation:
    return Operation(2, 1, Kind.SEAL, begin, end, result)


def sound(*history: Operation) -> bool | None:
    return check(history).sound


def test_orders_that_exist_are_found() -> None:
    assert sound()
    assert sound(op(1, 9, A, 1), op(2, 3, B, 0))
    assert sound(op(1, 5, A, 0), read(2, 4), read(2, 6, A))
    assert sound(op(1, 2, A, 0, expected=0), op(3, 4, B, 1, expected=0, result=Result.CONFLICT))
    assert sound(op(1, 9, A, 0), seal(2, 8), op(3, 7, B, 1, result=Result.SEALED))
    assert sound(op(1, 2, A, 0), op(3, 4, B, 1, expected=EXISTS))


def test_what_was_never_answered_may_happen_at_any_later_time_or_never() -> None:
    unknown = op(1, 0, A, 0, result=Result.UNKNOWN)
    assert sound(unknown, read(2, 3), read(4, 5, A))
    assert sound(unknown, read(2, 3), read(4, 5))
    assert sound(unknown, op(8, 9, B, 1), op(10, 11, C, 2))
    assert sound(seal(1, 0, Result.UNKNOWN), op(8, 9, B, 0), op(10, 11, C, 1, result=Result.SEALED))
    assert sound(unknown, read(2, 3, A), read(4, 5)) is False
    assert sound(read(1, 2, A), unknown._replace(invoked=3)) is False


def test_a_repeat_is_answered_as_it_was_the_first_time() -> None:
    assert sound(op(1, 0, A, 0, result=Result.UNKNOWN), op(2, 3, B, 1), op(4, 5, A, 0))
    assert sound(op(1, 2, A, 0), op(4, 5, A, 1)) is False


def test_histories_without_an_order_are_refused() -> None:
    assert sound(op(1, 2, A, 1), op(3, 4, B, 0)) is False
    assert sound(op(1, 2, A, 0), read(3, 4)) is False
    assert sound(op(1, 2, A, 0), read(3, 4, A), read(5, 6)) is False
    assert sound(op(1, 2, A, 0, expected=1)) is False
    assert sound(op(1, 2, A, 0, expected=EXISTS)) is False
    assert sound(op(1, 2, A, 0, result=Result.CONFLICT)) is False
    assert sound(op(1, 2, A, 0, result=Result.SEALED)) is False
    assert sound(seal(1, 2), op(3, 4, A, 0)) is False
    assert sound(seal(1, 2), seal(3, 4)) is False


def test_a_long_history_is_looked_at_in_windows() -> None:
    values = [bytes((at,)) for at in range(200)]
    history = [op(10 * at, 10 * at + 5, values[at], at) for at in range(200)]
    assert check(history, window=10) == (True, 200, "")
    stale = read(1501, 1502, *values[:120])
    assert check([*history, stale], window=10).sound is False


def test_the_work_is_bounded() -> None:
    history = [op(1, 0, bytes((at,)), 0, result=Result.UNKNOWN) for at in range(30)]
    assert check([*history, read(200, 201, C)], budget=200).sound is None
    crowd = [op(1, 100, bytes((at,)), at) for at in range(90)]
    assert check(crowd).sound is None


def brute_force(history: list[Operation]) -> bool:
    """Try every subset of what is not known and every order."""
    known = [one for one in history if one.known]
    open_ones = [one for one in history if not one.known]
    for chosen in range(1 << len(open_ones)):
        some = [one for at, one in enumerate(open_ones) if chosen >> at & 1]
        if any(_explains(order) for order in permutations(known + some)):
            return True
    return False


def _explains(order: tuple[Operation, ...]) -> bool:
    for at, later in enumerate(order):
        if any(later.known and later.returned < one.invoked for one in order[:at]):
            return False
    contents: list[bytes] = []
    for one in order:
        if one.kind is Kind.READ:
            if list(one.values) != contents:
                return False
        elif one.result is Result.CONFLICT:
            if one.expected in (ANY, len(contents)) or one.offset != len(contents):
                return False
        else:
            if one.expected not in (ANY, len(contents)):
                return False
            if one.known and one.offset != len(contents):
                return False
            contents += one.values
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Small ones, of which about as many have an order as have none."""
    found = []
    for at in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, 8))
        end = begin + draw(st.integers(1, 6))
        shown = draw(st.permutations([bytes((each,)) for each in range(at)]))
        if draw(st.integers(0, 3)) == 0:
            found.append(read(begin, end, *shown[: draw(st.integers(0, at))]))
            continue
        result = draw(st.sampled_from([Result.OK] * 3 + [Result.UNKNOWN, Result.CONFLICT]))
        expected = draw(st.sampled_from([ANY, ANY, 0, 1, 2]))
        found.append(op(begin, end, bytes((at,)), draw(st.integers(0, at)), expected, result))
    return found


@settings(max_examples=300, deadline=None)
@given(histories())
def test_the_search_agrees_with_trying_all_orders(history: list[Operation]) -> None:
    assert sound(*history) is brute_force(history)
