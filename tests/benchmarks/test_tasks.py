"""What is said between the benchmark and its clients."""

import pytest

from benchmarks import payloads
from benchmarks.tasks import (
    Answer,
    Append,
    Failed,
    Numbers,
    Ready,
    Steady,
    Task,
    read_answer,
    read_task,
    to_line,
)

APPEND = Append(
    url="veritydb://127.0.0.1:1",
    lanes=("a", "a"),
    batch=1,
    payload_bytes=256,
    coalesce=True,
    warm_s=1.0,
    seconds=3.0,
)


@pytest.mark.parametrize("task", [APPEND, Steady(url="x", stream="s", payload_bytes=8)])
def test_a_task_is_one_line_and_comes_back(task: Task) -> None:
    line = to_line(task)
    assert b"\n" not in line
    assert read_task(line) == task


@pytest.mark.parametrize("answer", [Ready(), Numbers(found=[1, 2]), Failed("two\nlines")])
def test_an_answer_is_one_line_and_comes_back(answer: Answer) -> None:
    line = to_line(answer)
    assert b"\n" not in line
    assert read_answer(line) == answer


def test_payloads_are_the_same_every_time() -> None:
    assert payloads.batches(3, 16) == payloads.batches(3, 16)
    assert {len(event.payload) for batch in payloads.batches(3, 16) for event in batch} == {16}


@pytest.mark.parametrize("events", [1, 999, 1000, 1001, 12_345])
def test_a_stream_has_exactly_so_many_events(events: int) -> None:
    made = payloads.stream_of_batches(events, 1000, 8)
    assert sum(map(len, made)) == events
    assert all(made)


def test_numbered_events_can_be_told_apart() -> None:
    events = [payloads.numbered(number, 256) for number in (0, 1, 2**40)]
    assert [payloads.number_of(event.payload) for event in events] == [0, 1, 2**40]
    assert {len(event.payload) for event in events} == {256}
