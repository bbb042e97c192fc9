"""Sessions: who is let through, repeated or refused."""

import msgspec
import pytest

from simulation.checkers.base import Watch
from simulation.checkers.sessions import Sessions
from simulation.world import Failure
from tests.simulation.checkers.story import CLIENT, Story, append, outcome
from veritydb.types import entry as entries
from veritydb.types.entry import Entry, EntryHeader, Kind
from veritydb.types.outcome import Code, Outcome


def register(attempt: int) -> Entry:
    return entries.with_body(EntryHeader(kind=Kind.REGISTER, client=CLIENT, number=attempt), b"")


def numbered(number: int, session: int, acked: int = 0) -> Entry:
    made = append(number, session)
    header = msgspec.structs.replace(made.header, acked=acked)
    return entries.make(header, made.data[entries.HEADER_BYTES :])


def told(*rows: tuple[Entry, Outcome]) -> None:
    story = Story()
    for entry, result in rows:
        story.add(entry, result)
    story.tell(Watch({}, [Sessions()]))


OPENED = (register(10), outcome(1, base=1))
USED = (numbered(1, 1), outcome(2))


def test_a_sound_session_passes() -> None:
    told(
        OPENED,
        USED,
        (numbered(1, 1), outcome(3, Code.DUPLICATE)),
        (register(10), outcome(4, base=1)),
        (register(9), outcome(5, Code.NO_SESSION)),
        (numbered(2, 1, acked=2), outcome(6, base=1)),
        (numbered(1, 1), outcome(7, Code.STALE_NUMBER)),
        (numbered(5000, 1), outcome(8, Code.WINDOW_EXCEEDED)),
        (register(11), outcome(9, base=9)),
        (numbered(3, 1), outcome(10, Code.NO_SESSION)),
    )


@pytest.mark.parametrize(
    "row",
    [
        (numbered(1, 1), outcome(3)),
        (numbered(1, 1), outcome(3, Code.DUPLICATE, base=7)),
        (numbered(2, 1), outcome(3, Code.NO_SESSION)),
        (numbered(2, 2), outcome(3)),
        (register(9), outcome(3, base=3)),
        (register(10), outcome(3, base=3)),
        (register(11), outcome(3, Code.NO_SESSION)),
    ],
)
def test_a_session_that_is_not_kept_is_seen(row: tuple[Entry, Outcome]) -> None:
    with pytest.raises(Failure, match="op 3"):
        told(OPENED, USED, row)
