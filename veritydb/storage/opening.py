"""Stamping a directory, and the steps of opening one that are not about the log."""

from veritydb.storage import names, superblock
from veritydb.storage.disk import Disk, create, first_nonzero
from veritydb.storage.errors import Damaged, NotEmpty, WrongIdentity
from veritydb.storage.journal import STEP_BYTES as JOURNAL_STEP_BYTES
from veritydb.storage.journal import Journal, RecordState
from veritydb.storage.outcomes import STEP_BYTES as OUTCOMES_STEP_BYTES
from veritydb.types.durable import Identity, SnapshotRef, Superblock, ViewState
from veritydb.types.frame import Header
from veritydb.types.ids import Op, View
from veritydb.types.limits import SEGMENT_BYTES
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import RECORD_BYTES as OUTCOME_BYTES

FIELDS = ("cluster", "group", "region", "index", "replicas", "incarnation")


def compare(expected: Identity, found: Identity) -> None:
    """Raise WrongIdentity naming the first field that differs."""
    assert Identity.__struct_fields__ == FIELDS
    for field in FIELDS:
        want, have = getattr(expected, field), getattr(found, field)
        if want != have:
            if isinstance(want, bytes):
                want, have = want.hex(), have.hex()
            raise WrongIdentity(field, want, have)


def format_directory(disk: Disk, identity: Identity) -> None:
    """Create the files of a new replica; its superblock gets its name last of all."""
    parts = {
        names.JOURNAL: JOURNAL_STEP_BYTES,
        names.OUTCOMES: OUTCOMES_STEP_BYTES,
        names.SPARE: SEGMENT_BYTES,
        names.SUPERBLOCK_NEW: superblock.FILE_BYTES,
    }
    for name in disk.names(""):
        # An interrupted format leaves some of its own files, and nothing in them.
        unfinished = name == names.SUPERBLOCK_NEW or (
            name in parts and first_nonzero(disk, name, 0, parts[name]) is None
        )
        if not unfinished:
            raise NotEmpty(f"the directory already holds {name}")
    for name, size in parts.items():
        create(disk, name, size)
    block = Superblock(
        sequence=1,
        parent=NO_HASH,
        identity=identity,
        view_state=ViewState(
            view=View(0),
            log_view=View(0),
            commit=Op(0),
            epoch=0,
            members=(0,) * identity.replicas,
            headers=(),
        ),
        snapshot=SnapshotRef(),
    )
    superblock.write(disk, block, names.SUPERBLOCK_NEW)
    disk.rename(names.SUPERBLOCK_NEW, names.SUPERBLOCK)
    disk.sync_directory(names.SUPERBLOCK)
    assert disk.size(names.SUPERBLOCK) == superblock.FILE_BYTES


def settle(disk: Disk) -> None:
    """Make durable what can be read, before anything is concluded from it.

    A process that was killed between a write and its sync leaves what it wrote in the memory of the
    system: there for whoever reads, and gone after a power cut.
    """
    segments = disk.names(names.SEGMENTS)
    for name in (names.SUPERBLOCK, names.JOURNAL, *segments):
        disk.sync(name)
    disk.sync_directory(names.SUPERBLOCK)
    if segments:
        disk.sync_directory(segments[0])
    assert disk.size(names.JOURNAL) is not None


def check_outcomes(disk: Disk, base: Header) -> None:
    """Raise Damaged if outcomes are gone that a snapshot stands for: nothing derives them again."""
    size = disk.size(names.OUTCOMES) or 0
    assert base.op > 0
    if size < (base.entry_base + base.entry_count) * OUTCOME_BYTES:
        problem = "outcomes that the snapshot stands for are lost; replace this replica"
        raise Damaged(names.OUTCOMES, size, problem, base.op)


def check_journal(disk: Disk) -> None:
    """Raise Damaged if the journal is gone: every op would look as if it was never acknowledged."""
    size = disk.size(names.JOURNAL)
    assert size is None or size >= 0
    if size is None or size < JOURNAL_STEP_BYTES:
        problem = "the header journal is missing or cut short; replace this replica"
        raise Damaged(names.JOURNAL, size or 0, problem)


def rejoin(journal: Journal, base: Header, gap_after: Op | None) -> None:
    """See to it that the journal names the snapshot's op, and before it nothing that was given up.

    A snapshot of this replica's own stands on its journal (`gap_after` is None). One that came from
    another replica leaves a gap: records in it may be of a log that was given up, so they go before
    the record is written. A crash between leaves that record missing, and this is repeated. A
    rotten record was there once.
    """
    assert gap_after is None or gap_after < base.op
    state, record = journal.read(base.op, base.op)[0]
    if record is not None and record.hash == base.hash:
        return
    if gap_after is not None and state != RecordState.ROTTEN:
        journal.blank_found(gap_after + 1, base.op - 1)
    journal.write((base,))
