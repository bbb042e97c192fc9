"""Which rare branches the runs have reached, of all that report themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

from veritydb.types import marks

CALL = "mark"

LIE = "only a replica that lies, or whose code is another, says so"
CHECKED_BEFORE = "whoever gives it has checked it before, and what the way damages is never decoded"
SELDOM = "not once in ten thousand runs: "
EXEMPT: dict[str, str] = {
    "node.outcomes_differ": "replicas whose code is the same compute the same",
    "node.snapshot_of_another_log": LIE,
    "storage.alone_and_rotten": "nothing rots where one replica is alone: it would be lost",
    "storage.record_does_not_follow": SELDOM + "several ops cut at once, and the blanks lost",
    "vsr.record_of_another_log": SELDOM + "a disk has to bring back a record without its frame",
    "vsr.commit_read_too_late": SELDOM + "what is being read has to rot and be mended meanwhile",
    "storage.gap_does_not_fit": "what a replica had applied is never of a log that was given up",
    "storage.history_not_proved": CHECKED_BEFORE,
    "vsr.fetched_frame_refused": CHECKED_BEFORE,
    "vsr.history_refused": CHECKED_BEFORE,
    "vsr.impossible_start_view": LIE,
    "vsr.impossible_view_change": LIE,
    "vsr.merge_deadlock": "no frame rots on two replicas at a time, and one copy is enough",
    "vsr.part_that_does_not_exist": LIE,
    "vsr.proposed_to_a_backup": "the node asks before it proposes",
    "vsr.snapshot_of_another_log": LIE,
}
"""Marks that no simulated run reaches, or next to none, and why. Each has a test that does."""


def known() -> set[str]:
    """The names of all marks in the product's sources, where each is spelled out."""
    root = Path(marks.__file__).parents[1]
    return {name for path in sorted(root.glob("**/*.py")) for name in marks_in(path.read_text())}


def required() -> set[str]:
    """The marks that a long search has to reach."""
    return known() - set(EXEMPT)


def marks_in(source: str) -> Iterator[str]:
    """The marks of one file."""
    if CALL not in source:
        return
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="mark"), args=[ast.Constant(value=str(name))]):
                yield name
