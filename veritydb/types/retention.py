"""How long the events of a stream are kept."""

import msgspec

RETENTION_MAX = (1 << 63) - 1


class Retention(msgspec.Struct, frozen=True, gc=False):
    """Events may go when any of the three bounds is passed; 0 means no such bound.

    Age is measured in log time, and only what is older goes. `max_bytes` counts stored bodies, and
    at least that many are kept. `max_events` is exact.
    """

    max_age_ns: int = 0
    max_bytes: int = 0
    max_events: int = 0

    @property
    def unlimited(self) -> bool:
        """Whether nothing ever goes."""
        return not (self.max_age_ns or self.max_bytes or self.max_events)

    @property
    def valid(self) -> bool:
        """Whether every bound is a number that can be stored."""
        return all(
            0 <= bound <= RETENTION_MAX
            for bound in (self.max_age_ns, self.max_bytes, self.max_events)
        )
