"""An offline check of one replica's directory: every byte of every file, and what they promise."""

from collections.abc import Iterator

from veritydb.storage import names, opening, snapshots, superblock
from veritydb.storage.disk import Disk, first_nonzero
from veritydb.storage.errors import Damaged, NotFormatted, UnknownFormat
from veritydb.storage.findings import NOTE, Finding, Tally
from veritydb.storage.verify_log import LogCheck
from veritydb.storage.verify_outcomes import OutcomeCheck
from veritydb.types.durable import Superblock
from veritydb.types.limits import SEGMENT_BYTES

__all__ = ["Finding", "Tally", "verify"]


def verify(disk: Disk, tally: Tally | None = None) -> Iterator[Finding]:
    """Yield everything that is wrong in the directory of a replica that is not running.

    Nothing for a directory that was closed well, or opened since a crash. Raises DiskError.
    """
    tally = Tally() if tally is None else tally
    try:
        copies = superblock.read_copies(disk)
    except NotFormatted as error:
        yield Finding(file=names.SUPERBLOCK, at=0, problem=str(error))
        return
    except UnknownFormat as error:
        yield Finding(file=names.SUPERBLOCK, at=4, problem=str(error))
        return
    assert len(copies) == superblock.COPIES
    yield from _superblock(disk, copies)
    choice = superblock.choose(copies)
    if choice is None:
        yield Finding(file=names.SUPERBLOCK, at=0, problem="no copy is vouched for by another")
        return
    block = choice.block
    yield from _snapshot(disk, block)
    log = LogCheck(disk, block, tally)
    try:
        opening.check_journal(disk)
        yield from log.run()
        yield from OutcomeCheck(disk, block).run(log.journal)
    except Damaged as error:
        yield Finding(file=error.file, at=error.at, problem=str(error))
        return
    except UnknownFormat as error:
        yield Finding(file=names.JOURNAL, at=0, problem=str(error))
        return
    yield from _orphans(disk, block, log.segments)


def _superblock(disk: Disk, copies: list[Superblock | None]) -> Iterator[Finding]:
    newest = max((copy.sequence for copy in copies if copy is not None), default=0)
    for number, copy in enumerate(copies):
        at = number * superblock.COPY_BYTES
        if copy is None:
            problem = f"copy {number} is not intact"
            yield Finding(file=names.SUPERBLOCK, at=at, problem=problem)
        elif copy.sequence != newest:
            problem = f"copy {number} is older than another"
            yield Finding(file=names.SUPERBLOCK, at=at, problem=problem, severity=NOTE)
    size = disk.size(names.SUPERBLOCK) or 0
    assert size >= 0
    if size != superblock.FILE_BYTES:
        at = min(size, superblock.FILE_BYTES)
        problem = f"the file has {size} bytes, not {superblock.FILE_BYTES}"
        yield Finding(file=names.SUPERBLOCK, at=at, problem=problem)


def _snapshot(disk: Disk, block: Superblock) -> Iterator[Finding]:
    ref = block.snapshot
    if ref.op == 0:
        return
    assert ref.op > 0
    try:
        snapshots.base_of(disk, ref)
        for chunk in snapshots.load(disk, ref):
            assert chunk
    except Damaged as error:
        yield Finding(file=error.file, at=error.at, problem=str(error), op=ref.op)
    except UnknownFormat as error:
        yield Finding(file=names.snapshot(ref.op), at=4, problem=str(error), op=ref.op)


def _orphans(disk: Disk, block: Superblock, segments: set[int]) -> Iterator[Finding]:
    """Name the files that nothing else names."""
    expected = {names.SUPERBLOCK, names.JOURNAL, names.OUTCOMES, names.SPARE}
    for first in segments:
        expected |= {names.segment(first), names.holes(first)}
    if block.snapshot.op:
        expected.add(names.snapshot(block.snapshot.op))
    assert all(expected)
    for name in disk.names(""):
        if name not in expected and not name.startswith(names.INDEX):
            yield Finding(file=name, at=0, problem="nothing names this file", severity=NOTE)
    if disk.size(names.SPARE) is not None:
        at = first_nonzero(disk, names.SPARE, 0, SEGMENT_BYTES)
        if at is not None:
            yield Finding(file=names.SPARE, at=at, problem="a spare segment is not blank")
