"""Where payloads may be, and where nothing of them may be."""

import pytest

from simulation.checkers.base import TOKEN_MARK
from simulation.checkers.placement import SECRET_NAME, Leaks, Placement
from simulation.world import Failure
from tests.simulation.checkers.story import token


def test_a_payload_away_from_home_is_seen() -> None:
    checker = Placement({1: frozenset({0, 1}), 2: frozenset({2})})
    payload = b"..." + TOKEN_MARK + (1).to_bytes(4, "big") + b"12345678"
    checker.bytes_at((0, 1), payload, "on a link")
    checker.bytes_at((2,), b"nothing of interest", "on a disk")
    with pytest.raises(Failure, match="group 1 is on a disk"):
        checker.bytes_at((2,), payload, "on a disk")


def test_the_name_of_a_clinical_stream_away_from_home_is_seen() -> None:
    checker = Placement({1: frozenset({0, 1}), 2: frozenset({2})})
    name = f"{SECRET_NAME}2-17".encode()
    checker.bytes_at((2,), name, "on a disk")
    with pytest.raises(Failure, match="name of a stream of group 2"):
        checker.bytes_at((0, 1), name, "on a link")


@pytest.mark.parametrize(
    "text",
    [
        f"bad entry {token(7)!r}",
        f"body {token(7).hex()}",
        f"no stream {SECRET_NAME}1-3",
        "count of " + token(7).decode("latin-1"),
    ],
)
def test_a_payload_in_what_people_read_is_seen(text: str) -> None:
    checker = Leaks()
    checker.told(["start", "role primary view 3", "frame.rotten op=7"])
    with pytest.raises(Failure, match="hold a payload"):
        checker.told(["start", text])
