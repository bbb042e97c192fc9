"""What must hold of the log that the replicas agree on."""

from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Checker, Decided, Log, Replica, Start
from veritydb.types import outcome as outcomes
from veritydb.types.frame import Header, place
from veritydb.types.merkle import NO_HASH


class Agreement(Checker):
    """One hash per op, over all replicas and all time; applied in order, none left out."""

    name: ClassVar[str] = "agreement"

    def __init__(self, log: Log) -> None:
        """`log` is what was decided before."""
        self._log = log
        self._applied: dict[Replica, int] = {}

    def begun(self, replica: Replica, start: Start) -> None:
        """From here the replica goes on."""
        self._goes_on(replica, start.op)

    def _goes_on(self, replica: Replica, op: int) -> None:
        if op > len(self._log.get(replica[0], [])):
            self.fail(f"replica {replica} starts from op {op}, which was never decided")
        self._applied[replica] = op

    def installed(self, replica: Replica, op: int, outcomes: bytes) -> None:
        """Only forward, and to what was decided."""
        if op <= self._applied.get(replica, 0):
            self.fail(f"replica {replica} goes back to op {op}")
        self._goes_on(replica, op)

    def applied(self, replica: Replica, header: Header, body: bytes, records: bytes) -> None:
        """Compare with who was first."""
        log = self._log.get(replica[0], [])
        op = header.op
        if op != self._applied.get(replica, 0) + 1:
            self.fail(f"replica {replica} applies op {op} after {self._applied.get(replica, 0)}")
        self._applied[replica] = op
        if op > len(log) + 1:
            self.fail(f"replica {replica} applies op {op}; decided are {len(log)}")
        if op <= len(log) and log[op - 1].header.hash != header.hash:
            self.fail(f"replica {replica} applies another op {op} than the first that did")
        if op <= len(log) and log[op - 1].body != body:
            self.fail(f"replica {replica} applies op {op} with other bytes")


class HashChain(Checker):
    """Every op names the one before by its hash, and lies where the one before says it must."""

    name: ClassVar[str] = "hash-chain"

    def __init__(self, log: Log) -> None:
        """`log` is what was decided before."""
        self._log = log

    def decided(self, group: int, what: Decided) -> None:
        """Compare with the op before."""
        header, before = what.header, None
        if header.op > 1:
            before = self._log[group][header.op - 2].header
        if header.previous != (before.hash if before else NO_HASH):
            self.fail(f"group {group} op {header.op} does not follow the op before it")
        if (header.segment, header.position) != place(before, header.body_len):
            self.fail(f"group {group} op {header.op} lies elsewhere than it must")
        if header.entry_base != (before.entry_base + before.entry_count if before else 0):
            self.fail(f"group {group} op {header.op} miscounts the entries before it")
        if before and header.view < before.view:
            self.fail(f"group {group} op {header.op} is of an older view than the op before it")


class Timestamps(Checker):
    """Log time only goes forward, and never leads every clock of the cluster."""

    name: ClassVar[str] = "timestamps"

    def __init__(self, log: Log, latest: Callable[[], int]) -> None:
        """`latest()` is the highest wall clock there is at this moment, tolerance included."""
        self._log = log
        self._latest = latest

    def decided(self, group: int, what: Decided) -> None:
        """Compare with the op before and with the clocks."""
        op = what.header.op
        if op > 1 and what.header.timestamp <= self._log[group][op - 2].header.timestamp:
            self.fail(f"group {group} op {op} is not later than the op before it")
        if what.header.timestamp > self._latest():
            self.fail(f"group {group} op {op} is later than any clock has ever been")


class Durability(Checker):
    """When an op is first applied, a power cut at that moment leaves it on a quorum of disks."""

    name: ClassVar[str] = "durability"

    def __init__(self, log: Log, survives: Callable[[Replica, Header], bool]) -> None:
        """`survives(replica, header)` asks a disk what a power cut would leave."""
        self._log = log
        self._survives = survives
        self.groups: dict[int, int] = {}
        """How many replicas each group has."""
        self.outside: set[Replica] = set()
        """Of whom nothing is expected in the end."""

    def decided(self, group: int, what: Decided) -> None:
        """Count the disks."""
        size = self.groups[group]
        copies = sum(self._survives((group, index), what.header) for index in range(size))
        if copies <= size // 2:
            self.fail(f"group {group} op {what.header.op} is applied and on {copies} disks only")

    def ended(self) -> None:
        """Everything ever decided is on every disk."""
        for group, size in self.groups.items():
            for index in range(size):
                for what in self._log.get(group, []):
                    if (group, index) in self.outside:
                        continue
                    if not self._survives((group, index), what.header):
                        op = what.header.op
                        self.fail(f"replica {(group, index)} has lost op {op} in the end")


class OutcomeChain(Checker):
    """Every replica has the same outcomes; the chain head in each header is theirs."""

    name: ClassVar[str] = "outcome-chain"

    def __init__(self, log: Log) -> None:
        """`log` is what was decided before."""
        self._log = log
        self._heads: dict[int, list[bytes]] = {}

    def applied(self, replica: Replica, header: Header, body: bytes, records: bytes) -> None:
        """Compare with who was first."""
        if len(records) != header.entry_count * outcomes.RECORD_BYTES:
            self.fail(f"replica {replica} has {len(records)} bytes of outcomes of op {header.op}")
        log = self._log.get(replica[0], [])
        if header.op <= len(log) and log[header.op - 1].records != records:
            self.fail(f"replica {replica} has other outcomes of op {header.op} than the first had")

    def installed(self, replica: Replica, op: int, outcomes: bytes) -> None:
        """A snapshot stands for the same outcomes."""
        if self._heads.get(replica[0], [NO_HASH])[op] != outcomes:
            self.fail(f"replica {replica} takes up other outcomes at op {op}")

    def decided(self, group: int, what: Decided) -> None:
        """Compute the chain and compare with what the header names."""
        heads = self._heads.setdefault(group, [NO_HASH])
        size = outcomes.RECORD_BYTES
        records = [what.records[at : at + size] for at in range(0, len(what.records), size)]
        if what.header.outcomes != heads[what.header.commit]:
            self.fail(f"group {group} op {what.header.op} names another outcome-chain head")
        heads.append(outcomes.chain(heads[-1], records))
