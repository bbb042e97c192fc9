"""Bits are flipped in data, and in nothing else."""

import random
from pathlib import Path

from nemesis.faults import NOT_DATA, flip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_one_bit_of_one_byte_that_was_written_is_flipped(tmp_path: Path) -> None:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "log").write_bytes(bytes(1000) + b"data" + bytes(1000))
    (tmp_path / "empty").write_bytes(b"")
    for name in NOT_DATA:
        (tmp_path / name).write_bytes(b"not data")
    dice = random.Random(5)
    for _ in range(20):
        before = contents(tmp_path)
        name, at = flip(tmp_path, dice)
        after = contents(tmp_path)
        assert name == "groups/log"
        assert 1000 <= at < 1004
        changed = before[name][at] ^ after[name][at]
        assert changed.bit_count() == 1
        assert (
            after[name][:at] + after[name][at + 1 :] == before[name][:at] + before[name][at + 1 :]
        )
        assert {k: v for k, v in after.items() if k != name} == {
            k: v for k, v in before.items() if k != name
        }
