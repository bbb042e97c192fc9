"""The recorded history: a sound one passes, and each planted lie is found."""

from pathlib import Path

import msgspec
import pytest

from nemesis.checks import Reading, judge
from nemesis.clients import Note, Recorder
from nemesis.history import Ending, judge_all, read, streams
from nemesis.ledger import Ledger, digest_of
from nemesis.plants import PLANTS, Shown
from simulation.checkers.history import Kind, Operation, Result
from veritydb.client.values import Appended, Token

SECOND = 10**9
EPOCH = 1_000 * SECOND
STREAM = "region-1"
VALUES = [b"a", b"b", b"c"]


def append(at: int, value: bytes, process: int = 1) -> Note:
    """Answered after a second."""
    return Note(
        Operation(
            process=process,
            stream=STREAM,
            kind=Kind.APPEND,
            invoked=at * 10 * SECOND,
            returned=at * 10 * SECOND + SECOND,
            result=Result.OK,
            values=(value,),
            offset=at,
        )
    )


def shows(values: list[bytes], when: int, *, fresh: bool = True, least: int = 0) -> Note:
    """A read from the beginning, after so many appends."""
    return Note(
        Operation(
            process=2,
            stream=STREAM,
            kind=Kind.READ,
            invoked=when * 10 * SECOND - 5 * SECOND,
            returned=when * 10 * SECOND - 4 * SECOND,
            result=Result.OK,
            values=tuple(values),
            next=len(values),
            fresh=fresh,
        ),
        least,
    )


def ending(values: list[bytes], off: int = 0) -> Ending:
    return Ending(tuple(values), tuple(EPOCH + at * 10 * SECOND + off for at in range(len(values))))


SOUND = [*(append(at, value) for at, value in enumerate(VALUES)), shows(VALUES, 3)]


def problems(notes: list[Note], found: Ending) -> tuple[str, ...]:
    return judge_all(notes, {STREAM: found}, EPOCH).problems


def test_a_sound_history_passes_and_all_of_it_is_looked_at() -> None:
    judged = judge_all(SOUND, {STREAM: ending(VALUES)}, EPOCH)
    assert judged.problems == ()
    assert (judged.operations, judged.acknowledged, judged.unknown) == (4, 3, 0)
    assert (judged.streams, judged.searched, judged.given_up) == (1, 4, 0)


def test_what_was_lost_or_doubled_or_swapped_is_found() -> None:
    for wrong in (VALUES[:2], VALUES[1:], [*VALUES, b"a"], [b"b", b"a", b"c"], [*VALUES, b"x"]):
        assert problems(SOUND, ending(wrong)), wrong


def test_a_fresh_read_that_shows_too_little_is_found_and_a_local_one_is_not() -> None:
    assert problems([*SOUND, shows(VALUES[:1], 3)], ending(VALUES))
    assert not problems([*SOUND, shows(VALUES[:1], 3, fresh=False)], ending(VALUES))


def test_a_read_with_a_token_shows_what_the_token_covers() -> None:
    assert not problems([*SOUND, shows(VALUES, 3, fresh=False, least=3)], ending(VALUES))
    [said] = problems([*SOUND, shows(VALUES[:2], 3, fresh=False, least=3)], ending(VALUES))
    assert "had appended up to 3 and was shown 2" in said


def test_log_time_that_is_far_off_or_goes_back_is_found() -> None:
    assert not problems(SOUND, ending(VALUES, 9 * SECOND))
    assert "+60.0 s" in problems(SOUND, ending(VALUES, 60 * SECOND))[0]
    assert "-60.0 s" in problems(SOUND, ending(VALUES, -60 * SECOND))[0]
    backwards = Ending(tuple(VALUES), (EPOCH + 5 * SECOND, EPOCH + 4 * SECOND, EPOCH + 21 * SECOND))
    assert "log time goes back" in problems(SOUND, backwards)[0]


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "one")
    for note in SOUND:
        recorder.note(note)
    recorder.close()
    assert read([tmp_path / "one"]) == SOUND
    assert streams(SOUND) == [STREAM]


def ledger(digests: list[bytes]) -> Ledger:
    made = Ledger()
    for offset, digest in enumerate(digests):
        made.answered([digest], Appended(1, offset, 1, False, Token()))
    return made


@pytest.mark.parametrize("plant", PLANTS)
def test_every_lie_is_found_and_the_truth_is_believed(plant: str) -> None:
    digests = [digest_of(b"%d" % number) for number in range(200)]
    reading = Reading(range(200), digests)
    shown = PLANTS[plant](Shown({"published": {"n1": reading}}, SOUND, {STREAM: ending(VALUES)}))
    found = [
        *judge(ledger(digests), shown.readings["published"]).problems,
        *judge_all(shown.notes, shown.endings, EPOCH).problems,
    ]
    assert bool(found) == bool(plant), found


def test_a_note_is_one_line() -> None:
    line = msgspec.json.encode(SOUND[0])
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Note) == SOUND[0]
