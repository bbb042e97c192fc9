"""Where rare branches report that they ran, so that tests and simulations know what they reached.

In production nobody listens and a mark costs one call.
"""

from collections.abc import Callable


def silent(name: str) -> None:
    """Take no notice."""
    assert name


_listener: Callable[[str], None] = silent


def listen(listener: Callable[[str], None]) -> Callable[[str], None]:
    """Let `listener` hear every mark from now on; return the one that heard them before."""
    global _listener
    before = _listener
    _listener = listener
    return before


def mark(name: str) -> None:
    """Say that the branch called `name` was taken."""
    _listener(name)
