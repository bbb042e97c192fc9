"""Streams and reads against a second implementation."""

import msgspec
import pytest

from simulation.checkers.base import ReadAnswer, Request, Watch
from simulation.checkers.streams import Streams
from simulation.world import Failure
from tests.simulation.checkers.story import STREAM, Story, append, outcome, token
from veritydb.types import entry as entries
from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.outcome import Code


def stream_watch() -> Watch:
    checker = Streams()
    create = entries.with_body(EntryHeader(kind=Kind.COMMAND), b"create")
    checker.requests[create.data] = Request(0, "create", 1, create.header, create.data, (), 0, 0)
    story = Story()
    story.add(create, outcome(1))
    story.add(append(1), outcome(2, base=0))
    story.add(append(2), outcome(3, base=1))
    watch = Watch({}, [checker])
    story.tell(watch)
    return watch


def read(**changed: object) -> ReadAnswer:
    answer = ReadAnswer(0, (1, 0), STREAM, 3, 0, 2, 0, 0, (token(1), token(2)))
    return answer._replace(**changed)  # type: ignore[arg-type]


def test_a_read_shows_the_stream_of_its_op() -> None:
    watch = stream_watch()
    watch.read(read())
    watch.read(read(applied=2, next=1, tokens=(token(1),)))
    for wrong in (
        read(next=3),
        read(floor=1),
        read(tokens=(token(2), token(1))),
        read(applied=2),
        read(floor_op=4),
        read(stream=STREAM + 1),
    ):
        with pytest.raises(Failure):
            watch.read(wrong)


@pytest.mark.parametrize(
    ("code", "base", "expected"),
    [
        (Code.OK, 5, entries.EXPECT_ANY),
        (Code.OK, 0, 3),
        (Code.WRONG_EXPECTED_OFFSET, 0, entries.EXPECT_ANY),
        (Code.WRONG_EXPECTED_OFFSET, 9, 3),
    ],
)
def test_an_append_must_end_as_the_model_says(code: Code, base: int, expected: int) -> None:
    checker = Streams()
    create = entries.with_body(EntryHeader(kind=Kind.COMMAND), b"create")
    checker.requests[create.data] = Request(0, "create", 1, create.header, create.data, (), 0, 0)
    made = append(1)
    made = entries.make(
        msgspec.structs.replace(made.header, expected=expected), made.data[entries.HEADER_BYTES :]
    )
    story = Story()
    story.add(create, outcome(1))
    story.add(made, outcome(2, code, base))
    with pytest.raises(Failure):
        story.tell(Watch({}, [checker]))
