"""The part of `verify` that reads the outcome file and recomputes the outcome chain."""

from collections.abc import Iterator

from veritydb.storage import names
from veritydb.storage.disk import Disk, NoSuchFile, first_nonzero
from veritydb.storage.findings import NOTE, Finding
from veritydb.storage.journal import Journal
from veritydb.types import outcome
from veritydb.types.durable import Superblock
from veritydb.types.frame import Header
from veritydb.types.ids import Op
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import RECORD_BYTES

BLOCK = 512


class OutcomeCheck:
    """Compares the chain over the outcome records with the heads that headers and snapshot name.

    Records of ops that no header calls committed yet cannot be proved, and may be missing: a start
    derives them again.
    """

    def __init__(self, disk: Disk, block: Superblock) -> None:
        """Check the directory of this superblock."""
        self._disk = disk
        self._block = block
        # Chain heads by op, as far as later headers may name them.
        self._heads: dict[Op, bytes] = {Op(0): NO_HASH}
        self._proved = Op(0)
        self._proved_entries = 0
        assert block.sequence > 0

    def run(self, journal: Journal) -> Iterator[Finding]:
        """Yield what is wrong with the outcome file."""
        last = journal.last_written(0)
        end = 0
        for first in range(1, last + 1, BLOCK):
            for _, header in journal.read(first, min(last, first + BLOCK - 1)):
                if header is not None:
                    yield from self._named(header)
                    yield from self._op(header)
                    end = header.entry_base + header.entry_count
        size = self._disk.size(names.OUTCOMES)
        assert end >= 0
        if size is None:
            yield Finding(file=names.OUTCOMES, at=0, problem="the outcome file is missing")
            return
        found = first_nonzero(self._disk, names.OUTCOMES, end * RECORD_BYTES, size)
        if found is not None:
            problem = "there are outcomes behind the last entry"
            yield Finding(file=names.OUTCOMES, at=found, problem=problem, severity=NOTE)

    def _named(self, header: Header) -> Iterator[Finding]:
        """Compare the head that a header names."""
        yield from self._compare(header.commit, header.outcomes)
        for op in [op for op in self._heads if op < header.commit]:
            del self._heads[op]
        assert len(self._heads) >= 0

    def _compare(self, op: Op, named: bytes) -> Iterator[Finding]:
        head = self._heads.get(op)
        assert head is None or len(head) == len(named)
        if head is None:
            # Not a second time for the same gap.
            if op > self._proved and not self._may_be_missing(op):
                yield self._broken(op, "outcomes are missing")
                self._heads[op] = named
        elif head != named:
            yield self._broken(op, "the outcome chain does not have the head that the log names")
            # What follows is compared with what the log says.
            self._heads[op] = named
        self._proved = max(self._proved, op)

    def _may_be_missing(self, op: Op) -> bool:
        """Whether outcomes up to `op` were never this replica's to derive."""
        assert op > 0
        return self._block.gap_after < op < self._block.gap_end

    def _broken(self, op: Op, problem: str) -> Finding:
        assert op >= self._proved
        at = self._proved_entries * RECORD_BYTES
        return Finding(file=names.OUTCOMES, at=at, problem=problem, op=Op(self._proved + 1))

    def _op(self, header: Header) -> Iterator[Finding]:
        """Take in the records of one op."""
        ref = self._block.snapshot
        if header.op == ref.op:
            self._heads.setdefault(header.op, ref.outcomes)
        start, size = header.entry_base * RECORD_BYTES, header.entry_count * RECORD_BYTES
        try:
            data = self._disk.read(names.OUTCOMES, start, size)
        except NoSuchFile:
            data = b""
        whole = range(0, len(data) - RECORD_BYTES + 1, RECORD_BYTES)
        records = [record for at in whole if any(record := data[at : at + RECORD_BYTES])]
        for index, record in enumerate(records):
            problem = record_problem(record, header.op, index)
            if problem is not None:
                at = start + index * RECORD_BYTES
                yield Finding(file=names.OUTCOMES, at=at, problem=problem, op=header.op)
        before = self._heads.get(Op(header.op - 1))
        if len(records) == header.entry_count and before is not None:
            head = outcome.chain(before, records)
            self._heads[header.op] = head
            if header.op == ref.op:
                yield from self._compare(ref.op, ref.outcomes)
        if header.op == self._proved + 1 or header.op <= self._proved:
            self._proved_entries = header.entry_base
        assert len(records) <= header.entry_count


def record_problem(record: bytes, op: int, index: int) -> str | None:
    """Say what is wrong with the record of the `index`-th entry of an op, if anything."""
    assert len(record) == RECORD_BYTES
    try:
        found = outcome.decode(record)
    except ValueError:
        return "the record has a code that does not exist"
    if found.op != op or found.entry != index:
        return "the record is of another entry"
    return None if outcome.encode(found) == record else "the record's padding is not zero"
