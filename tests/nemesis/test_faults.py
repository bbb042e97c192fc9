"""Data is damaged, and nothing else; each kind of fault has its place in a round."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nemesis.process_faults import NOT_DATA, cut_end, flip_bit, remove
from nemesis.rounds import ALONE, FAMILIES, KINDS, deal


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "log").write_bytes(bytes(1000) + b"data" + bytes(1000))
    (tmp_path / "empty").write_bytes(b"")
    for name in NOT_DATA:
        (tmp_path / name).write_bytes(b"not data")
    return tmp_path


def damaged(data: Path, how: Callable[[Path, random.Random], str], dice: random.Random) -> bytes:
    """What became of the one file there is, when all others are as they were."""
    before = contents(data)
    assert "groups/log" in how(data, dice)
    after = contents(data)
    assert {k: v for k, v in after.items() if k != "groups/log"} == {
        k: v for k, v in before.items() if k != "groups/log"
    }
    return after["groups/log"]


def test_one_bit_of_one_byte_that_was_written_is_flipped(data: Path) -> None:
    dice = random.Random(5)
    before = contents(data)["groups/log"]
    for _ in range(20):
        after = damaged(data, flip_bit, dice)
        [at] = [at for at in range(len(before)) if before[at] != after[at]]
        assert 1000 <= at < 1004
        assert (before[at] ^ after[at]).bit_count() == 1
        before = after


def test_a_file_is_cut_and_keeps_its_beginning(data: Path) -> None:
    before = contents(data)["groups/log"]
    after = damaged(data, cut_end, random.Random(5))
    assert len(after) < len(before)
    assert before.startswith(after)


def test_one_file_is_removed(data: Path) -> None:
    before = contents(data)
    # Of those that hold anything, and are no locks, there is but one.
    assert remove(data, random.Random(5)) == "removed groups/log"
    assert contents(data) == {k: v for k, v in before.items() if k != "groups/log"}


def test_every_kind_comes_alone_or_is_of_one_family() -> None:
    for kind in KINDS:
        assert sum(kind in family for family in (ALONE, *FAMILIES)) == 1, kind
    assert ALONE.union(*FAMILIES) == set(KINDS)


def test_a_deck_holds_every_kind_and_those_that_come_together_differ() -> None:
    dice = random.Random(3)
    deck: list[str] = []
    dealt = [deal(list(KINDS), deck, dice) for _ in range(3 * len(KINDS))]
    firsts = [kinds[0] for kinds in dealt]
    for third in range(3):
        assert set(firsts[third * len(KINDS) : (third + 1) * len(KINDS)]) == set(KINDS)
    assert {len(kinds) for kinds in dealt} == {1, 2, 3}
    for together in dealt:
        assert len(together) == 1 or not ALONE & set(together)
        assert all(len(set(together) & family) <= 1 for family in FAMILIES)


def test_a_single_kind_is_dealt_again_and_again() -> None:
    dice, deck = random.Random(1), list[str]()
    assert [deal(["kill"], deck, dice) for _ in range(5)] == [["kill"]] * 5
