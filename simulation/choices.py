"""Every decision that chance makes in a run, by label, so that a run can be recorded and repeated.

Each label has a stream of its own, derived from the seed and the label. Taking one fault out of a
run therefore leaves the draws of all others as they were. What happens as one piece, such as a
single fault or a single request, draws *apart*: from one stream that is its own, so that it can be
left out alone.

Nought is always the dullest draw: no fault, no delay, the first of some items. So a run gets
simpler the more of its draws are nought.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import blake2b
from itertools import count
from math import log
from random import Random
from struct import Struct
from typing import TypeVar

T = TypeVar("T")
Draw = Callable[[], float]

PPM = 1_000_000
_FINE = 1 << 30
_EIGHT = Struct("<8Q")

Tape = dict[str, dict[str, list[int]]]
"""What was drawn: by the piece that drew it ("" for what is no piece), then by label, in order."""


def _draws(name: str) -> Iterator[float]:
    """Draws from [0, 1): a piece makes few, for which a generator takes long to be set up."""
    for block in count():
        digest = blake2b(f"{name}/{block}".encode()).digest()
        for value in _EIGHT.unpack(digest):
            yield (value >> 11) / (1 << 53)


class _Streams(dict[str, Draw]):
    """The streams of a run, or of one piece of it, each made when it is first drawn from."""

    def __init__(self, seed: int, piece: str = "") -> None:
        super().__init__()
        self._seed = seed
        self._one = _draws(f"{seed}/{piece}").__next__ if piece else None

    def __missing__(self, label: str) -> Draw:
        draw = self[label] = self._one or Random(f"{self._seed}/{label}").random
        return draw


class Choices:
    """Draws for one seed."""

    def __init__(self, seed: int) -> None:
        """Start every label's stream afresh."""
        self.seed = seed
        self._streams = _Streams(seed)

    def choose(self, label: str, n: int) -> int:
        """One of 0 .. n-1. All other methods draw through this one, which `Taped` replaces."""
        assert n > 0, label
        return int(self._streams[label]() * n)

    def apart(self, piece: str, happen: Callable[[], None]) -> bool:
        """Have a piece of the run happen, with draws of its own. False says it was left out."""
        outer, self._streams = self._streams, _Streams(self.seed, piece)
        try:
            happen()
        finally:
            self._streams = outer
        return True

    def chance(self, label: str, ppm: int) -> bool:
        """True in `ppm` of a million draws. Nothing is drawn where the answer is certain."""
        if ppm <= 0:
            return False
        return ppm >= PPM or self.choose(label, PPM) >= PPM - ppm

    def between(self, label: str, low: int, high: int) -> int:
        """One of low .. high, both included."""
        return low + self.choose(label, high - low + 1)

    def pick(self, label: str, items: Sequence[T]) -> T:
        """One of some items."""
        return items[self.choose(label, len(items))]

    def exponential(self, label: str, mean: int) -> int:
        """A waiting time with this mean."""
        return int(-log(1.0 - self.choose(label, _FINE) / _FINE) * mean)

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


class Taped(Choices):
    """Draws that are kept on a tape, and that may come from one.

    The tape's values come first, label by label; where they end the seed's own streams go on, as
    if they had been drawn from all the time.
    """

    def __init__(
        self,
        seed: int,
        tape: Tape | None = None,
        left_out: Collection[str] = (),
        nought: Collection[str] = (),
    ) -> None:
        """The pieces `left_out` do not happen; all draws of the labels `nought` are nought."""
        super().__init__(seed)
        self.tape: Tape = {"": {}}
        """What was drawn in this run."""
        self._given = tape or {}
        self._left_out = frozenset(left_out)
        self._nought = frozenset(nought)
        self._kept = self.tape[""]
        self._left = self._rewound("")

    def _rewound(self, piece: str) -> dict[str, list[int]]:
        return {label: values[::-1] for label, values in self._given.get(piece, {}).items()}

    def choose(self, label: str, n: int) -> int:
        """One of 0 .. n-1, from the tape as long as that lasts."""
        value = super().choose(label, n)
        if left := self._left.get(label):
            value = min(left.pop(), n - 1)
        if label in self._nought:
            value = 0
        self._kept.setdefault(label, []).append(value)
        return value

    def apart(self, piece: str, happen: Callable[[], None]) -> bool:
        """Have a piece of the run happen, unless it is left out."""
        if piece in self._left_out:
            return False
        assert piece and piece not in self.tape, f"{piece} happens twice"
        outer = self._left, self._kept
        self._left = self._rewound(piece)
        self._kept = self.tape[piece] = {}
        try:
            return super().apart(piece, happen)
        finally:
            self._left, self._kept = outer
