"""Every power cut of small histories; what may be in flight in them is small enough for that."""

import pytest

from simulation.disk import SimDisk
from tests.storage import exhaustive
from tests.storage.exhaustive import Explorer, every_end
from tests.storage.histories import (
    HISTORIES,
    OLD,
    WIDE,
    History,
    Model,
    Step,
    append,
    erase,
    outcomes,
    snapshot,
    view,
)
from tests.storage.logs import identity
from veritydb.storage import names, opening
from veritydb.storage.errors import StorageError
from veritydb.storage.store import Store


@pytest.mark.parametrize("history", HISTORIES, ids=[each.name for each in HISTORIES])
def test_every_power_cut(history: History) -> None:
    counts = Explorer(history).run(rots=1)
    assert counts.points > 50
    assert counts.subsets > counts.disks > 20
    assert counts.rotten > 5


def test_every_power_cut_while_stamping() -> None:
    assert exhaustive.stamping().points > 200


def test_every_end_is_every_subset() -> None:
    disk = SimDisk()
    disk.allocate("f", 4096)
    disk.sync("f")
    disk.sync_directory("f")
    for at in (0, 512, 2048):
        disk.write("f", at, (b"x" * 512,))
    disk.write("f", 0, (b"y" * 512,))
    ends = {tuple(left.contents()) for left in every_end(disk)}
    assert len(ends) == len(list(every_end(disk))) == 3 * 2 * 2


class Careless(SimDisk):
    """A disk on which some of the files are never synced."""

    unsynced: str | None = None

    def sync(self, name: str) -> None:
        """See `Disk`."""
        if self.unsynced is None or not name.startswith(self.unsynced):
            super().sync(name)


@pytest.mark.parametrize(
    ("unsynced", "steps"),
    [
        # Frames of the durable view would come back without their records.
        (names.JOURNAL, (view(3, 3), append(*OLD[:2]), append(OLD[2]))),
        ("segments/0", (append(*OLD[:2]), append(OLD[2]))),
        (names.SUPERBLOCK, (append(*OLD[:2]), view(1, 1, *OLD[:2]), view(2, 2))),
        (names.SNAPSHOTS, (append(*OLD[:2]), snapshot(1))),
        (names.OUTCOMES, (append(*OLD[:2]), outcomes(1, 2), snapshot(1))),
        ("segments/0", (append(*WIDE[:2]), erase(2))),
    ],
)
def test_a_sync_that_is_left_out_is_noticed(unsynced: str, steps: tuple[Step, ...]) -> None:
    def begin() -> tuple[SimDisk, Store, Model]:
        disk = Careless()
        Store.format(disk, identity())
        store, _ = Store.open(disk)
        disk.unsynced = unsynced
        return disk, store, Model([], store.superblock.view_state)

    with pytest.raises((AssertionError, StorageError)):
        Explorer(History("careless", steps, begin)).run()


def test_a_start_that_believes_what_is_not_durable_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "settle", lambda disk: None)
    with pytest.raises(AssertionError):
        Explorer(HISTORIES[0]).run()
