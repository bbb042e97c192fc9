"""Small values: tokens, expectations, origins, deadlines, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritydb.client.core import _Known
from veritydb.client.deadline import Deadline
from veritydb.client.reader import Query
from veritydb.client.refusal import Refusal
from veritydb.client.values import ANY, NO_STREAM, Token, expectation, origin_of
from veritydb.types.entry import EXPECT_ANY, EXPECT_NO_STREAM, OFFSET_MAX
from veritydb.types.errors import (
    ERRORS,
    Applied,
    DeadlineExceeded,
    EdgeCode,
    Internal,
    InvalidInput,
    Overloaded,
    Unavailable,
    WrongExpectedOffset,
    code_name,
)
from veritydb.types.outcome import Code

marks = st.dictionaries(st.integers(0, 99), st.integers(0, 99)).map(
    lambda found: Token(tuple(sorted(found.items())))
)


@given(marks, marks, marks)
def test_tokens(a: Token, b: Token, c: Token) -> None:
    assert a | b == b | a and (a | b) | c == a | (b | c) and a | a == a and a | Token() == a
    assert Token.parse(str(a)) == a


@pytest.mark.parametrize("text", ["x", "1", "1:2:3", "1:x"])
def test_bad_tokens(text: str) -> None:
    with pytest.raises(InvalidInput):
        Token.parse(text)


def test_expectations() -> None:
    assert expectation(ANY) == EXPECT_ANY and expectation(NO_STREAM) == EXPECT_NO_STREAM
    assert expectation(5) == 5
    for bad in (-1, OFFSET_MAX + 1):
        with pytest.raises(InvalidInput):
            expectation(bad)


def test_origins() -> None:
    assert origin_of(None, None) == (bytes(16), 0)
    assert origin_of(b"o" * 16, 4) == (b"o" * 16, 4)
    for origin, seq in [(None, 1), (bytes(16), 1), (b"o" * 15, 1), (b"o" * 16, None)]:
        with pytest.raises(InvalidInput):
            origin_of(origin, seq)
    with pytest.raises(InvalidInput):
        origin_of(b"o" * 16, -1)


def test_deadlines() -> None:
    assert 9 < Deadline(10).left <= 10 and not Deadline(10).passed
    assert Deadline(1e-9).left_ms == 1
    for bad in (0, -1, float("nan"), 1e9):
        with pytest.raises(InvalidInput):
            Deadline(bad)


@pytest.mark.parametrize(
    "query",
    [
        {"from_offset": 1, "from_time": 1},
        {"from_offset": -1},
        {"from_time": 1 << 63},
        {"limit": 0},
        {"max_bytes": 1 << 30},
        {"max_bytes": -1},
    ],
)
def test_bad_reads(query: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        Query(tenant=1, stream=1, **query)  # type: ignore[arg-type]


def refusal(code: int, unknown: bool = False, retry_after_ms: int = 0) -> Refusal:
    return Refusal(
        code=code, name="N", message="m", unknown=unknown, actual=7, retry_after_ms=retry_after_ms
    )


def test_every_code_has_an_error() -> None:
    for code in [*Code, *EdgeCode]:
        if code not in (Code.OK, Code.DUPLICATE):
            assert isinstance(refusal(code).error(), ERRORS[code])
            assert code_name(code) == code.name
    assert isinstance(refusal(9999).error(), Internal)
    assert code_name(9999) == "code 9999"


def test_what_a_refusal_says_of_the_effect() -> None:
    decided = refusal(Code.WRONG_EXPECTED_OFFSET).error(maybe_applied=True)
    assert isinstance(decided, WrongExpectedOffset)
    # The log itself has decided, knowing every earlier attempt.
    assert decided.applied is Applied.NO and decided.actual == 7
    assert refusal(EdgeCode.READ_ONLY).error().applied is Applied.NO
    assert refusal(EdgeCode.READ_ONLY).error(maybe_applied=True).applied is Applied.UNKNOWN
    assert refusal(EdgeCode.DROPPED, unknown=True).error().applied is Applied.UNKNOWN
    copy = decided.copy()
    assert copy is not decided and copy.actual == 7 and str(copy) == str(decided)


def test_what_is_known_when_time_is_up() -> None:
    known = _Known()
    assert isinstance(known.gave_up(1), Unavailable)
    known.refused(refusal(EdgeCode.OVERLOADED, retry_after_ms=500))
    assert known.pause() > 0.3
    overloaded = known.gave_up(1)
    assert isinstance(overloaded, Overloaded) and overloaded.applied is Applied.NO
    known.in_flight = True
    late = known.gave_up(1)
    assert isinstance(late, DeadlineExceeded) and late.applied is Applied.UNKNOWN
    known = _Known()
    known.lost()
    known.refused(refusal(EdgeCode.NOT_PRIMARY))
    assert known.gave_up(1).applied is Applied.UNKNOWN


def test_a_question_is_never_of_unknown_effect() -> None:
    known = _Known(harmless=True)
    known.lost()
    known.in_flight = True
    known.refused(refusal(EdgeCode.DROPPED, unknown=True))
    known.in_flight = True
    assert not known.maybe
    late = _Known(harmless=True)
    late.in_flight = True
    assert isinstance(late.gave_up(1), Unavailable) and late.gave_up(1).applied is Applied.NO
