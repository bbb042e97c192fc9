"""What was lost, what came twice, and for how long there was silence."""

import pytest

from benchmarks.outages import compare, silence


@pytest.mark.parametrize(
    ("count", "unknown", "found", "expected"),
    [
        (3, [], [0, 1, 2], (0, 0)),
        (3, [], [0, 2], (1, 0)),
        (3, [1], [0, 2], (0, 0)),
        (3, [1], [0, 1, 2], (0, 0)),
        (3, [], [0, 1, 1, 2, 2, 2], (0, 2)),
        (3, [1], [0, 1, 1, 2], (0, 1)),
        (0, [], [], (0, 0)),
    ],
)
def test_lost_and_duplicated(
    count: int, unknown: list[int], found: list[int], expected: tuple[int, int]
) -> None:
    assert compare(count, unknown, found) == expected


def test_silence_begins_with_the_last_acknowledgement_before_the_fault() -> None:
    assert silence([0.0, 5.0, 5.5, 7.0, 7.5], struck=5.75, until=8.0) == 1.5


def test_an_earlier_pause_is_not_the_faults() -> None:
    assert silence([0.0, 5.0, 5.5, 7.0, 7.5], struck=6.9, until=8.0) == 1.5
    assert silence([0.0, 5.0, 5.5, 7.0, 7.5], struck=7.1, until=8.0) == 0.5


def test_service_that_does_not_come_back_is_silence_until_the_end() -> None:
    assert silence([0.0, 5.0], struck=5.1, until=11.0) == 6.0
    assert silence([], struck=5.0, until=11.0) == 6.0
