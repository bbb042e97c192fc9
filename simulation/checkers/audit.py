"""What the audit rests on: a record for each entry, by the rules of that moment, in its tenant."""

from typing import ClassVar

from simulation.checkers.base import Checker, Decided
from veritydb.types import multi
from veritydb.types.entry import HEADER_BYTES, EntryHeader, Kind
from veritydb.types.outcome import Code, Outcome

CREATE, SET_POLICY = 1, 5
"""Numbers of commands, as an outcome's kind has them in its high byte."""


class Audit(Checker):
    """Every entry has its own record, which names tenant, kind and place, and the rules in force.

    The version of the rules is that which the commands of the log before lead to.
    """

    name: ClassVar[str] = "audit"

    def __init__(self) -> None:
        """The built-in rules are in force."""
        self._versions: dict[int, int] = {}

    def decided(self, group: int, what: Decided) -> None:
        """Compare the records with the entries."""
        for index, (header, _, outcome) in enumerate(what.entries()):
            place = (outcome.op, outcome.entry)
            if place != (what.header.op, index):
                self.fail(f"op {what.header.op} entry {index} has the record of {place}")
            if (outcome.tenant, outcome.kind & 0xFF) != (header.tenant, header.kind):
                self.fail(f"op {outcome.op} entry {index}: a record of another tenant or kind")
            self._policy(group, header, outcome)

    def _policy(self, group: int, header: EntryHeader, outcome: Outcome) -> None:
        version = self._versions.get(group, 1)
        edge = header.kind is Kind.REFUSED and 0 < header.origin_seq < version
        expected = header.origin_seq if edge else version
        if outcome.policy != expected:
            self.fail(
                f"op {outcome.op} was decided by rules {outcome.policy}; {version} are in force"
            )
        if outcome.kind >> 8 == SET_POLICY and outcome.code is Code.OK:
            if outcome.base != version + 1:
                self.fail(f"op {outcome.op} brings rules {outcome.base} after {version}")
            self._versions[group] = version + 1


class Tenants(Checker):
    """Whatever is done to a stream is done by the tenant that made it."""

    name: ClassVar[str] = "tenants"

    def __init__(self) -> None:
        """There are no streams."""
        self._owners: dict[int, int] = {}

    def decided(self, group: int, what: Decided) -> None:
        """Look at who did what."""
        for header, data, outcome in what.entries():
            accepted = outcome.code is Code.OK
            if outcome.kind >> 8 == CREATE:
                if accepted:
                    self._owners[outcome.stream] = header.tenant
                elif self._owners.get(outcome.stream, header.tenant) != header.tenant:
                    self.fail(f"op {outcome.op} shows a tenant the stream of another")
                continue
            streams = [header.stream] if header.stream else []
            if header.kind is Kind.APPEND_MANY and accepted:
                shares = multi.parse(memoryview(data)[HEADER_BYTES:])
                streams = [share.stream for share in shares]
            for stream in streams:
                self._of(header, outcome, stream, accepted)

    def _of(self, header: EntryHeader, outcome: Outcome, stream: int, accepted: bool) -> None:
        owner = self._owners.get(stream)
        mine = owner == header.tenant
        if accepted and not mine and header.kind is not Kind.REFUSED:
            self.fail(f"op {outcome.op} of tenant {header.tenant} changes a stream of {owner}")
        if outcome.code is Code.WRONG_TENANT and mine and header.kind is not Kind.APPEND_MANY:
            self.fail(f"op {outcome.op} keeps tenant {owner} away from its own stream")
