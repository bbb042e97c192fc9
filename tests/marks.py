"""Holds that a test takes a rare branch."""

from collections.abc import Iterator
from contextlib import contextmanager

from veritydb.types import marks


@contextmanager
def reaches(mark: str) -> Iterator[None]:
    """Hold that a branch which reports itself is taken inside the block."""
    heard: list[str] = []
    before = marks.listen(heard.append)
    try:
        yield
    finally:
        marks.listen(before)
    assert mark in heard, heard
