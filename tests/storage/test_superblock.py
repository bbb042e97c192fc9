"""Four copies: every combination of what can become of them, and of when power fails."""

from contextlib import suppress
from itertools import product
from random import Random

import msgspec
import pytest

from simulation.disk import PowerCut, SimDisk
from tests.storage.exhaustive import every_end
from tests.storage.logs import chain, fresh, identity
from veritydb.storage import superblock
from veritydb.storage.errors import Damaged, NotFormatted, UnknownFormat
from veritydb.storage.names import SUPERBLOCK
from veritydb.storage.superblock import COPIES, COPY_BYTES
from veritydb.types.durable import Superblock, ViewState
from veritydb.types.ids import Op, View

OLD_HEADERS = tuple(frame.header for frame in chain(superblock.HEADERS_MAX))
NEW_HEADERS = tuple(frame.header for frame in chain(superblock.HEADERS_MAX, view=1))


def block(sequence: int, parent: Superblock | None) -> Superblock:
    """A superblock that differs from others in every sector."""
    return Superblock(
        sequence=sequence,
        parent=superblock.checksum(parent) if parent else bytes(32),
        identity=identity(),
        view_state=ViewState(
            view=View(sequence),
            log_view=View(sequence),
            commit=Op(sequence),
            epoch=3,
            members=(0, 4, 0),
            headers=NEW_HEADERS if sequence % 2 else OLD_HEADERS,
            recovering=Op(sequence),
        ),
        snapshot=fresh()[1].superblock.snapshot,
        gap_after=Op(3),
        gap_end=Op(4),
    )


OLDER = block(5, None)
OLD = block(6, OLDER)
NEW = block(7, OLD)
NEXT = block(8, NEW)


def bytes_of(state: str, copy: int) -> bytes:
    """One copy in one of its states. `older` is what a lost write leaves of the one before OLD."""
    old, new = superblock.encode(OLD, copy), superblock.encode(NEW, copy)
    if state == "torn":
        return new[:4096] + old[4096:]
    if state == "rotten":
        return old[:5000] + bytes((old[5000] ^ 4,)) + old[5001:]
    older = superblock.encode(OLDER, copy)
    return {"old": old, "new": new, "older": older, "blank": bytes(COPY_BYTES)}[state]


def disk_with(copies: list[bytes]) -> SimDisk:
    """A directory whose superblock has these copies."""
    disk = SimDisk()
    disk.allocate(SUPERBLOCK, superblock.FILE_BYTES)
    disk.write(SUPERBLOCK, 0, copies)
    return disk


def test_a_superblock_is_read_as_it_was_written() -> None:
    for copy in range(COPIES):
        assert superblock.decode(superblock.encode(NEW, copy), copy) == NEW


def test_every_combination_of_copies() -> None:
    """An intact copy of a newer one is never passed over: it counts, or the replica is lost."""
    seen = set()
    for states in product(("older", "old", "new", "torn", "rotten", "blank"), repeat=COPIES):
        disk = disk_with([bytes_of(state, copy) for copy, state in enumerate(states)])
        older, old, new = map(states.count, ("older", "old", "new"))
        # Not derived from the code: the newest counts if it is there twice or follows another.
        if new:
            expected = NEW if new >= 2 or old else None
        elif old:
            expected = OLD if old >= 2 or older else None
        else:
            expected = OLDER if older >= 2 else None
        seen.add(expected.sequence if expected else None)
        if expected is None:
            with pytest.raises(Damaged) as caught:
                superblock.load(disk)
            assert caught.value.file == SUPERBLOCK
            continue
        choice = superblock.load(disk)
        assert choice.block == expected
        superblock.mend(disk, choice)
        assert superblock.read_copies(disk) == [expected] * COPIES
        assert superblock.load(disk).stale == ()
    assert seen == {5, 6, 7, None}


def small(block: Superblock, changed: int) -> Superblock:
    """The same with a few headers, of which some differ."""
    headers = (*OLD_HEADERS[: 6 - changed], *NEW_HEADERS[6 - changed : 6])
    state = msgspec.structs.replace(block.view_state, headers=headers)
    return msgspec.structs.replace(block, view_state=state)


# Three sectors of a copy are in flight.
SMALL_OLD = small(OLD, 0)
SMALL_NEW = msgspec.structs.replace(small(NEW, 3), parent=superblock.checksum(SMALL_OLD))


def test_every_power_cut_in_a_write_and_every_damage_afterwards() -> None:
    """Up to two damaged copies are borne; more are noticed. Nobody goes back behind a promise."""
    loads = borne = lost = 0
    for at in range(2 * COPIES + 1):
        disk = disk_with([superblock.encode(SMALL_OLD, copy) for copy in range(COPIES)])
        disk.sync(SUPERBLOCK)
        disk.sync_directory(SUPERBLOCK)
        disk.fail_after(at)
        try:
            superblock.write(disk, SMALL_NEW)
            acknowledged = True
        except PowerCut:
            acknowledged = False
        for end in every_end(disk):
            for damage in product((None, "rotten", "blank"), repeat=COPIES):
                left = end.clone()
                damaged = spoil(left, damage)
                loads += 1
                try:
                    found = superblock.load(left).block
                except Damaged:
                    lost += 1
                    # The copy in flight may be lost as well.
                    assert damaged >= (3 if acknowledged else 2)
                    continue
                borne += damaged > 0
                assert found == SMALL_NEW or (found == SMALL_OLD and not acknowledged)
    assert loads > 5000
    assert borne and lost


def spoil(disk: SimDisk, damage: tuple[str | None, ...]) -> int:
    """Damage copies; return how many."""
    for copy, what in enumerate(damage):
        if what == "rotten":
            disk.rot(SUPERBLOCK, copy * COPY_BYTES + 700)
        elif what == "blank":
            disk.write(SUPERBLOCK, copy * COPY_BYTES, (bytes(COPY_BYTES),))
    return sum(what is not None for what in damage)


def test_mending_that_is_interrupted_changes_nothing() -> None:
    for states in product(("old", "new", "torn", "blank"), repeat=COPIES):
        if states.count("new") < 1 or states.count("new") + states.count("old") < 2:
            continue
        for at in range(2 * COPIES):
            disk = disk_with([bytes_of(state, copy) for copy, state in enumerate(states)])
            disk.sync(SUPERBLOCK)
            disk.sync_directory(SUPERBLOCK)
            disk.fail_after(at)
            with suppress(PowerCut):
                superblock.mend(disk, superblock.load(disk))
            disk.crash(Random(at).randrange)
            assert superblock.load(disk).block == NEW


def test_a_copy_in_another_copys_place_does_not_count() -> None:
    copies = [superblock.encode(NEW, copy) for copy in range(COPIES)]
    disk = disk_with([copies[1], copies[0], copies[0], copies[3]])
    with pytest.raises(Damaged):
        superblock.load(disk)


def test_rivals_of_one_sequence_are_refused() -> None:
    rival = msgspec.structs.replace(NEW, gap_end=Op(9))
    copies = [superblock.encode(each, copy) for copy, each in enumerate((NEW, NEW, rival, rival))]
    with pytest.raises(Damaged):
        superblock.load(disk_with(copies))


def test_two_steps_apart_nobody_vouches() -> None:
    far = disk_with([superblock.encode(each, at) for at, each in enumerate((NEXT, OLD, OLD, OLD))])
    with pytest.raises(Damaged):
        superblock.load(far)


def test_every_flipped_byte_of_a_copy_is_noticed() -> None:
    good = superblock.encode(NEW, 2)
    for at in range(0, COPY_BYTES, 7):
        bad = good[:at] + bytes((good[at] ^ 0x40,)) + good[at + 1 :]
        assert superblock.decode(bad, 2) is None, at


def test_an_unknown_format_is_refused_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, _ = fresh()
    monkeypatch.setattr(superblock, "FORMAT", 2)
    before = disk.operations
    with pytest.raises(UnknownFormat, match="format 1"):
        superblock.load(disk)
    assert disk.operations == before


def test_none_at_all() -> None:
    with pytest.raises(NotFormatted):
        superblock.load(SimDisk())
    disk = SimDisk()
    disk.allocate(SUPERBLOCK, superblock.FILE_BYTES)
    with pytest.raises(Damaged, match="0 of 4"):
        superblock.load(disk)
