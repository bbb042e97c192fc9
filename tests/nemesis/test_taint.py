"""What nodes print is searched for what clients sent, and for errors nobody expected."""

import pytest

from nemesis.taint import TAINT, found_in

SOUND = b"2026-11-20T08:56:18.601Z info    role node=node-1 group=0 role=primary view=3\n"


def test_an_ordinary_log_is_all_right() -> None:
    assert found_in(SOUND * 3, "node-1") == []


@pytest.mark.parametrize(
    "form", [TAINT.encode(), repr(TAINT).encode(), TAINT.encode().hex().encode()]
)
def test_phi_is_found_in_any_form_and_not_shown_again(form: bytes) -> None:
    [said] = found_in(SOUND + b"cannot append " + form + b"-1\n", "node-1")
    assert said.startswith("node-1 printed PHI, 1 times")
    assert TAINT not in said


@pytest.mark.parametrize(
    "line",
    [
        b"Traceback (most recent call last):",
        b"x error   crashed where=step error=KeyError at=apply.py:7",
        b"x error   handler.failed call=append error=KeyError",
    ],
)
def test_errors_nobody_expected_are_found(line: bytes) -> None:
    [said] = found_in(SOUND + line + b"\n", "node-2")
    assert line.decode().strip() in said
