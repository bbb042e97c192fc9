"""When streams have to be looked at: a persistent ordered set of (due, stream).

A treap whose priorities are checksums of the stream ids. Its shape follows from its content alone,
so it need not be stored, and every step costs the logarithm of its size.
"""

from __future__ import annotations

import msgspec
from crc32c import crc32c


class Timer(msgspec.Struct, frozen=True, gc=False):
    """One entry, with the earlier ones to the left and the later ones to the right."""

    due: int
    stream: int
    left: Timer | None
    right: Timer | None


def _above(a: Timer, b: Timer) -> bool:
    """Whether `a` belongs nearer to the root than `b`."""
    return (_priority(a.stream), a.stream, a.due) > (_priority(b.stream), b.stream, b.due)


def _priority(stream: int) -> int:
    return crc32c(stream.to_bytes(8, "little"))


def _split(node: Timer | None, due: int, stream: int) -> tuple[Timer | None, Timer | None]:
    """Take a tree apart into what is before (due, stream) and what is not."""
    if node is None:
        return None, None
    if (node.due, node.stream) < (due, stream):
        low, high = _split(node.right, due, stream)
        return Timer(node.due, node.stream, node.left, low), high
    low, high = _split(node.left, due, stream)
    return low, Timer(node.due, node.stream, high, node.right)


def _join(low: Timer | None, high: Timer | None) -> Timer | None:
    """Put two trees together, all of `low` being before all of `high`."""
    if low is None:
        return high
    if high is None:
        return low
    if _above(low, high):
        return Timer(low.due, low.stream, low.left, _join(low.right, high))
    return Timer(high.due, high.stream, _join(low, high.left), high.right)


def insert(root: Timer | None, due: int, stream: int) -> Timer:
    """Return the set with (due, stream), which must not be in it."""
    new = Timer(due, stream, None, None)
    if root is None:
        return new
    assert (root.due, root.stream) != (due, stream), "a stream has one timer"
    if _above(new, root):
        low, high = _split(root, due, stream)
        return Timer(due, stream, low, high)
    if (due, stream) < (root.due, root.stream):
        return Timer(root.due, root.stream, insert(root.left, due, stream), root.right)
    return Timer(root.due, root.stream, root.left, insert(root.right, due, stream))


def remove(root: Timer | None, due: int, stream: int) -> Timer | None:
    """Return the set without (due, stream), which must be in it."""
    assert root is not None, "the timer to be removed was never set"
    if (due, stream) == (root.due, root.stream):
        return _join(root.left, root.right)
    if (due, stream) < (root.due, root.stream):
        return Timer(root.due, root.stream, remove(root.left, due, stream), root.right)
    return Timer(root.due, root.stream, root.left, remove(root.right, due, stream))


def first(root: Timer) -> tuple[int, int]:
    """Return the earliest (due, stream)."""
    while root.left is not None:
        root = root.left
    return root.due, root.stream
