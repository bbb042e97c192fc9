"""What happened in a run, for people: one line an event.

The columns are time in ms; who (g1r2 is replica 2 of group 1; node0 a machine; client3; network and
world for what concerns all); of a replica after the step its role or status, view, highest commit
known, last op applied and head of its log; a glyph for the kind of event; the event. Messages are
shown when they arrive, with their view and sender.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from simulation.world import MS, Line

HEAD = f"{'ms':>12} {'who':<8} {'role':<12} {'view':>4} {'comm':>5} {'appl':>5} {'head':>5}   event"

LEGEND = (
    ("p", "Prepare and its PrepareOk"),
    ("h", "heartbeat, ping, pong"),
    ("v", "view change"),
    ("r", "repair: frames, headers, history"),
    ("s", "snapshot of a peer"),
    ("w", "written and synced"),
    ("d", "read from disk"),
    ("t", "timer"),
    (">", "request comes in"),
    ("=", "client has its answer"),
    ("+", "start"),
    ("X", "crash or halt"),
    ("z", "pause, or goes on"),
    ("!", "fault"),
    ("~", "heal"),
    (".", "else"),
)

_GLYPHS = {
    "p": "Prepare PrepareOk",
    "h": "Heartbeat Ping Pong",
    "v": "StartViewChange DoViewChange StartView RequestStartView StepDown",
    "r": "RequestFrames Frames RequestHeaders Headers RequestHistory HistoryPart HistoryRefused "
    "FrameRotten Replaced Promised",
    "s": "RequestSnapshot SnapshotOffer RequestSnapshotPart SnapshotPart SnapshotChecked "
    "SnapshotRefused SnapshotLoaded",
    "w": "FramesWritten FrameRepaired LogCut ViewStateWritten SuperblockWritten SnapshotWritten "
    "SnapshotSaved SnapshotInstalled HistoryWritten GapClosed",
    "d": "FramesRead HeadersRead SnapshotRead HistoryRead",
    "t": "Tick",
    ">": "Submitted ReadIndex",
    "+": "start",
    "X": "crash halt raised refused",
    "z": "pause resume",
    "~": "heal liveness",
}
GLYPHS = {word: glyph for glyph, words in _GLYPHS.items() for word in words.split()}
FAULTY = "!"
PLAIN = "."

COLOURS = {"X": 31, "!": 31, "+": 32, "~": 32, "v": 33, "=": 36, "z": 35, "s": 34, "r": 34}
"""Of the lines that one looks for, as terminals number them."""


def glyph(line: Line) -> str:
    """The kind of event, in one letter."""
    words = line.what.removeprefix("< ").split(maxsplit=1)
    if line.who.startswith("client"):
        return "="
    found = GLYPHS.get(words[0]) if words else None
    if found is not None:
        return found
    return PLAIN if line.state else FAULTY


def show(line: Line) -> str:
    """One line."""
    role, view, commit, applied, head = line.state or ("", "", "", "", "")
    detail = "".join(f" {part}" for part in line.detail)
    return (
        f"{line.time / MS:12.3f} {line.who:<8} {role:<12} {view:>4} {commit:>5} {applied:>5} "
        f"{head:>5} {glyph(line)} {line.what}{detail}"
    )


def legend() -> str:
    """What the columns and glyphs mean."""
    meanings = "   ".join(f"{letter} {meaning}" for letter, meaning in LEGEND)
    return f"{meanings}\n{HEAD}"


def text(lines: Iterable[Line], colour: bool = False) -> Iterator[str]:
    """The legend and the lines."""
    yield legend()
    for line in lines:
        code = COLOURS.get(glyph(line)) if colour else None
        yield show(line) if code is None else f"\x1b[{code}m{show(line)}\x1b[0m"


def chosen(lines: Iterable[Line], words: Sequence[str]) -> Iterator[Line]:
    """The lines that some words ask for: g1, g1r2, node0, client, op64; what concerns all stays.

    Of an op, those are the lines that name it and the steps at which a replica's head, commit or
    applied op reached or passed it. Several ops, or several places, are joined by *or*.
    """
    places = [word for word in words if not word.startswith("op")]
    ops = [int(word[2:]) for word in words if word.startswith("op")]
    known: dict[str, tuple[Any, ...]] = {}
    for line in lines:
        before = known.get(line.who, ())
        if line.state:
            known[line.who] = line.state
        here = not places or any(line.who.startswith(place) for place in places)
        matters = here and (not ops or any(concerns(line, before, op) for op in ops))
        if matters or line.who in ("world", "network"):
            yield line


def concerns(line: Line, before: tuple[Any, ...], op: int) -> bool:
    """Whether a line has to do with an op; `before` is the replica's state until then."""
    words = " ".join((line.what, *map(str, line.detail))).split()
    if any(pair == ("op", str(op)) for pair in pairwise(words)):
        return True
    if not line.state:
        return False
    earlier = before[2:] or (0, 0, 0)
    return any((was < op) != (now < op) for was, now in zip(earlier, line.state[2:], strict=True))
