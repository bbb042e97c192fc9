"""Timers against a sorted list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from veritydb.streams import timers
from veritydb.streams.timers import Timer

STEPS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 40)), max_size=120)


def content(root: Timer | None) -> list[tuple[int, int]]:
    if root is None:
        return []
    return [*content(root.left), (root.due, root.stream), *content(root.right)]


@settings(max_examples=150)
@given(STEPS)
def test_is_a_sorted_set(steps: list[tuple[int, int]]) -> None:
    model: set[tuple[int, int]] = set()
    root: Timer | None = None
    for pair in steps:
        if pair in model:
            model.discard(pair)
            root = timers.remove(root, *pair)
        else:
            model.add(pair)
            root = timers.insert(root, *pair)
        assert content(root) == sorted(model)
        assert root is None or timers.first(root) == min(model)


@given(st.sets(st.tuples(st.integers(1, 50), st.integers(1, 40)), max_size=60))
def test_shape_follows_from_content(pairs: set[tuple[int, int]]) -> None:
    up: Timer | None = None
    down: Timer | None = None
    for pair in sorted(pairs):
        up = timers.insert(up, *pair)
    for pair in sorted(pairs, reverse=True):
        down = timers.insert(down, *pair)
    assert up == down


def test_stays_flat() -> None:
    root: Timer | None = None
    for stream in range(1, 5_001):
        root = timers.insert(root, stream, stream)

    def depth(node: Timer | None) -> int:
        return 0 if node is None else 1 + max(depth(node.left), depth(node.right))

    assert depth(root) < 60
