"""Every decision that chance makes in a run, by label, so that a run can be recorded and repeated.

Each label has a stream of its own, derived from the seed and the label. Taking one fault out of a
run therefore leaves the draws of all others as they were.
"""

from collections.abc import Sequence
from math import log
from random import Random
from typing import TypeVar

T = TypeVar("T")

PPM = 1_000_000
_FINE = 1 << 30

Tape = dict[str, list[int]]


class Choices:
    """Draws for one seed. With `record`, what was drawn is kept in `tape`.

    `replay` is a tape from before: its values come first, label by label, and where it ends the
    seed's own stream goes on.
    """

    def __init__(self, seed: int, record: bool = False, replay: Tape | None = None) -> None:
        """Start every label's stream afresh."""
        self.seed = seed
        self.tape: Tape | None = {} if record else None
        self._streams: dict[str, Random] = {}
        self._replay = {label: list(reversed(values)) for label, values in (replay or {}).items()}

    def choose(self, label: str, n: int) -> int:
        """One of 0 .. n-1."""
        assert n > 0, label
        stream = self._streams.get(label)
        if stream is None:
            stream = self._streams[label] = Random(f"{self.seed}/{label}")
        value = int(stream.random() * n)
        if self._replay:
            left = self._replay.get(label)
            if left:
                value = min(left.pop(), n - 1)
        if self.tape is not None:
            self.tape.setdefault(label, []).append(value)
        return value

    def chance(self, label: str, ppm: int) -> bool:
        """True in `ppm` of a million draws. Nothing is drawn where the answer is certain."""
        if ppm <= 0:
            return False
        return ppm >= PPM or self.choose(label, PPM) < ppm

    def between(self, label: str, low: int, high: int) -> int:
        """One of low .. high, both included."""
        return low + self.choose(label, high - low + 1)

    def pick(self, label: str, items: Sequence[T]) -> T:
        """One of some items."""
        return items[self.choose(label, len(items))]

    def exponential(self, label: str, mean: int) -> int:
        """A waiting time with this mean."""
        return int(-log((self.choose(label, _FINE) + 1) / _FINE) * mean)

    def log_uniform(self, label: str, low: int, high: int) -> int:
        """Between low and high, each order of magnitude as likely as the next."""
        assert 0 < low <= high
        fine = self.choose(label, _FINE) / _FINE
        return int(low * (high / low) ** fine)

    def sample(self, label: str, items: Sequence[T], count: int) -> list[T]:
        """Some of the items, in the order drawn."""
        left = list(items)
        return [left.pop(self.choose(label, len(left))) for _ in range(min(count, len(left)))]

    def bytes(self, label: str, size: int) -> bytes:
        """Random bytes."""
        return b"".join(self.choose(label, 1 << 32).to_bytes(4, "little") for _ in range(size // 4))

    def random(self, label: str) -> Random:
        """A generator of its own for code that wants one, such as a replica's jitter."""
        return Random(f"{self.seed}/{label}/{self.choose(label, _FINE)}")
