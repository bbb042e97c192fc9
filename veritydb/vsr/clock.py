"""What time it is, as far as a quorum of clocks agrees.

Each answered ping bounds how far a peer's clock is from ours: by half of the round trip either way,
and by how coarsely either of us sees time. The interval that most of a quorum's bounds share
(Marzullo's algorithm) is where true time may be. Log time never leads its upper end.

Clocks that are kept by the network differ by more than such a bound. Where no quorum shares an
interval, all bounds are widened, by as little as makes one do so and by half the tolerance at most.
"""

import msgspec

from veritydb.types.limits import CLOCK_TOLERANCE_NS, MS_NS
from veritydb.types.marks import mark
from veritydb.vsr.config import Config
from veritydb.vsr.quorum import quorum

# Time is only seen at ticks, so an answer may be this much older than it says.
COARSENESS_NS = 20 * MS_NS
# An interval that is not even so wide is none.
NARROW_NS = MS_NS
# Clocks drift apart by up to this many parts in a million.
DRIFT_PPM = 200
# By how much bounds are widened, one after the other: clocks a tolerance apart still agree.
MARGINS_NS = (0, *(COARSENESS_NS << step for step in range(8)), CLOCK_TOLERANCE_NS // 2)
assert MARGINS_NS[-2] < MARGINS_NS[-1]


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A peer's clock is ahead of ours by `offset`, give or take `error`, as of `taken` (mono)."""

    offset: int
    error: int
    taken: int

    def error_at(self, now: int) -> int:
        """The error has grown since the sample was taken."""
        assert now >= self.taken
        return self.error + (now - self.taken) * DRIFT_PPM // 1_000_000


class Clock:
    """The replica's view of all clocks, its own (offset 0) included."""

    def __init__(self, config: Config) -> None:
        """Begin without any samples."""
        self.index = config.index
        self.replicas = config.replicas
        self.sample_age = config.sample_age
        self.samples: dict[int, Sample] = {}
        self.oldest = 0
        self.mono = 0
        self.wall = 0
        self.interval: tuple[int, int] | None = None
        assert 0 <= self.index < self.replicas
        self._refresh()

    @property
    def synchronised(self) -> bool:
        """Whether a quorum agrees with our clock within the tolerance."""
        if self.interval is None:
            return False
        low, high = self.interval
        assert low <= high
        return high >= -CLOCK_TOLERANCE_NS and low <= CLOCK_TOLERANCE_NS

    @property
    def agreed(self) -> int:
        """The time on which a quorum agrees, as near to our own as it allows; 0 if none does."""
        if self.interval is None:
            return 0
        low, high = self.interval
        assert low <= high
        return self.wall + min(max(0, low), high)

    def tick(self, mono: int, wall: int) -> None:
        """Note the time. Once in a while old samples lose their worth."""
        assert mono >= self.mono, "the monotonic clock went back"
        step = (wall - self.wall) - (mono - self.mono)
        self.mono, self.wall = mono, wall
        if abs(step) > COARSENESS_NS and self.samples:
            mark("vsr.clock_stepped")
            self.samples = {
                peer: Sample(sample.offset - step, sample.error, sample.taken)
                for peer, sample in self.samples.items()
            }
            self._refresh()
        if self.samples and mono - self.oldest > self.sample_age:
            mark("vsr.clock_sample_expired")
            self.samples = {
                peer: sample
                for peer, sample in self.samples.items()
                if mono - sample.taken <= self.sample_age
            }
            self._refresh()

    def sample(self, peer: int, sent: int, wall: int) -> None:
        """Learn from a pong: asked at `sent` (mono), answered now, with the peer's wall clock."""
        assert peer != self.index
        if not 0 <= self.mono - sent <= self.sample_age:
            mark("vsr.clock_pong_of_another_life")
            return
        trip = self.mono - sent
        assert trip >= 0
        assert self.replicas > 1, "a peer answered"
        fresh = Sample(wall + trip // 2 - self.wall, trip // 2 + COARSENESS_NS, self.mono)
        known = self.samples.get(peer)
        stale = known is None or self.mono - known.taken > self.sample_age // 4
        if stale or known is None or fresh.error <= known.error_at(self.mono):
            self.samples[peer] = fresh
            self._refresh()

    def forget(self, peer: int) -> None:
        """The index belongs to another machine now."""
        assert peer != self.index
        self.samples.pop(peer, None)
        self._refresh()

    def _refresh(self) -> None:
        self.oldest = min((sample.taken for sample in self.samples.values()), default=0)
        # Our own clock has gone on since the last tick.
        bounds = [(0, COARSENESS_NS)]
        for sample in self.samples.values():
            error = sample.error_at(self.mono)
            bounds.append((sample.offset - error, sample.offset + error))
        assert len(bounds) <= self.replicas, "one clock, one bound"
        enough = quorum(self.replicas)
        self.interval = None
        for margin in MARGINS_NS if len(bounds) >= enough else ():
            self.interval = overlap([(low - margin, high + margin) for low, high in bounds], enough)
            # Bounds that barely touch agree by chance, and leave no room for a tick's ops.
            if self.interval is not None and self.interval[1] - self.interval[0] >= NARROW_NS:
                return
            mark("vsr.clocks_apart")

    def timestamp(self, last: int) -> int | None:
        """Return log time for an op after one of time `last`, or None if there is none to give."""
        if not self.synchronised or self.interval is None:
            mark("vsr.clock_not_synchronised")
            return None
        low, high = self.interval
        assert low <= high
        # All ops of a tick see the same `wall`. Where our clock is at the upper end or ahead of it,
        # only one of them would find a time there: so there is room left for the others.
        room = min((high - low) // 2, COARSENESS_NS // 2)
        now = max(last + 1, min(max(self.wall, self.wall + low), self.wall + high - room))
        if now > self.wall + high or now <= 0:
            mark("vsr.clock_log_time_leads")
            return None
        assert now > last
        return now


def overlap(bounds: list[tuple[int, int]], enough: int) -> tuple[int, int] | None:
    """Return the interval in which the most bounds overlap, if they are at least `enough`.

    Among equally many the narrowest counts.
    """
    assert enough > 0 and all(low <= high for low, high in bounds)
    # Where intervals touch, the one that begins counts before the one that ends.
    edges = sorted([(low, -1) for low, _ in bounds] + [(high, 1) for _, high in bounds])
    best: tuple[int, int] | None = None
    most = count = 0
    for at, (place, kind) in enumerate(edges):
        count -= kind
        if kind == -1 and count >= max(most, enough):
            found = (place, edges[at + 1][0])
            if count > most or best is None or found[1] - found[0] < best[1] - best[0]:
                best = found
            most = count
    assert (best is None) == (most < enough) and count == 0
    return best
