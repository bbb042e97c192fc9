"""Numbers of a session: never reused, never too far apart, acknowledged only when answered."""

from hypothesis import given
from hypothesis import strategies as st

from veritydb.client.window import Window


@given(st.lists(st.integers(0, 9)), st.integers(1, 8))
def test_window(steps: list[int], size: int) -> None:
    window = Window(5, size)
    outstanding: list[int] = []
    given_out = 0
    for step in steps:
        if step < 6 and window.has_room:
            number = window.take()
            given_out += 1
            assert number == given_out
            outstanding.append(number)
        elif outstanding:
            window.done(outstanding.pop(step % len(outstanding)))
        lowest = min(outstanding, default=given_out + 1)
        assert window.acked == lowest
        assert window.has_room == (given_out + 1 - lowest < size)


def test_done_twice_is_harmless() -> None:
    window = Window(5)
    number = window.take()
    window.done(number)
    window.done(number)
    assert window.acked == 2
