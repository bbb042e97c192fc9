"""What an offline check says."""

import msgspec

from veritydb.types.ids import Op

DAMAGE = "damage"
NOTE = "note"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it has to be, from byte `at` of `file` on.

    `severity` is `damage`, or `note` for what a crash may leave and the next start puts right.
    """

    file: str
    at: int
    problem: str
    op: Op | None = None
    severity: str = DAMAGE

    def __str__(self) -> str:
        """As a person reads it."""
        op = f" (op {self.op})" if self.op is not None else ""
        assert self.severity in (DAMAGE, NOTE)
        return f"{self.file} byte {self.at}{op}: {self.problem}"


class Tally(msgspec.Struct):
    """How much was looked at."""

    ops: int = 0
    entries: int = 0
    events: int = 0
    bytes: int = 0
    erased: int = 0
    """Parts whose events are gone."""
    missing: int = 0
    """Ops before a snapshot of another replica that were not fetched yet."""
