"""Tables for people, JSON for programs, and nothing a terminal would obey."""

import json

import pytest

from veritydb.cli.output import Output, cell, harmless, moment

ROWS = [{"name": "notes", "events": 3, "sealed": False}, {"name": "[red]x", "events": 20_000}]


def test_json_is_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output("json").document({"streams": ROWS}, ROWS, ["name"])
    Output("json").say("for people")
    assert json.loads(capsys.readouterr().out) == {"streams": ROWS}


def test_a_table_has_a_line_per_row_and_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*ROWS, {"name": "x" * 300, "events": 1, "sealed": True}]
    Output("table").document({"streams": rows}, rows, ["name", "events", "sealed"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "events", "sealed"],
        ["notes", "3", "no"],
        ["[red]x", "20000", "-"],
        ["x" * 300, "1", "yes"],
    ]


def test_a_record_has_a_line_per_field(capsys: pytest.CaptureFixture[str]) -> None:
    Output("table").record({"name": "notes", "id": 7})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["name", "notes"],
        ["id", "7"],
    ]


def test_stored_text_cannot_steer_a_terminal() -> None:
    assert harmless("a\x1b[2Jb\nc\u202e\x9b") == "a\\x1b[2Jb\\nc\\u202e\\x9b"
    assert harmless("Müller 病院") == "Müller 病院"
    assert cell(["\x1b", 1]) == '["\\u001b",1]'
    assert cell(b"\x01\x02") == "0102"


def test_moments_are_utc_to_the_nanosecond() -> None:
    assert moment(0) == ""
    assert moment(1_772_442_000_000_000_001) == "2026-03-02T09:00:00.000000001Z"
