"""Files of lines: exact bytes, bounded batches, and where a repeat is recognised."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritydb.cli.exits import Exit, Failure
from veritydb.cli.lines import batches, lines, origin_of, type_of
from veritydb.types.limits import EVENT_BYTES_MAX

LINE = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))


@given(st.lists(LINE), st.booleans())
def test_lines_are_their_exact_bytes(content: list[bytes], ended: bool) -> None:
    text = b"".join(line + b"\n" for line in content)
    # Without its newline an empty last line is none.
    if content and content[-1] and not ended:
        text = text.removesuffix(b"\n")
    assert list(lines(io.BytesIO(text))) == content


def test_a_carriage_return_belongs_to_its_line() -> None:
    assert list(lines(io.BytesIO(b"a\r\n\nb"))) == [b"a\r", b"", b"b"]


def test_the_longest_line_is_as_long_as_an_event() -> None:
    longest = b"x" * EVENT_BYTES_MAX
    assert list(lines(io.BytesIO(longest + b"\nnext\n"))) == [longest, b"next"]
    assert list(lines(io.BytesIO(longest))) == [longest]
    for text in (b"a\n" + longest + b"x\n", b"a\n" + longest + b"x" * 100):
        with pytest.raises(Failure, match="line 2 is longer") as caught:
            list(lines(io.BytesIO(text)))
        assert caught.value.exit_code == Exit.USAGE


@given(st.lists(LINE), st.integers(1, 7), st.integers(1, 99))
def test_batches_hold_every_line_within_their_bounds(
    content: list[bytes], events_max: int, bytes_max: int
) -> None:
    made = list(batches(iter(content), events_max, bytes_max))
    assert [line for batch in made for line in batch] == content
    for batch in made:
        assert 0 < len(batch) <= events_max
        assert sum(map(len, batch)) <= bytes_max or len(batch) == 1


@given(st.lists(LINE, min_size=1), st.integers(1, 7), st.integers(1, 99))
def test_a_run_that_resumes_makes_the_same_batches(
    content: list[bytes], events_max: int, bytes_max: int
) -> None:
    made = list(batches(iter(content), events_max, bytes_max))
    rest = content[len(made[0]) :]
    assert list(batches(iter(rest), events_max, bytes_max)) == made[1:]


def test_an_origin_is_where_a_file_is_and_never_what_is_in_it(tmp_path: Path) -> None:
    file, other = tmp_path / "day.ndjson", tmp_path / "other.ndjson"
    first = origin_of(file, "")
    file.write_text("one\n")
    assert origin_of(file, "") == first
    assert origin_of(other, "") != first
    assert origin_of(file, "tuesday") not in (first, origin_of(other, "tuesday"))
    assert origin_of(None, "tuesday") == origin_of(None, "tuesday")
    assert len(first) == 16
    assert any(first)
    linked = tmp_path / "link.ndjson"
    os.symlink(file, linked)
    assert origin_of(linked, "") == first


def test_a_field_names_the_type() -> None:
    assert type_of(b'{"n": 1, "resourceType": "Patient"}', "resourceType", 1) == "Patient"
    for line in (b"", b"[]", b"{}", b'{"resourceType": 1}', b'{"resourceType": ""}', b"\xff", b"{"):
        with pytest.raises(Failure, match="line 7 is no JSON object") as caught:
            type_of(line, "resourceType", 7)
        assert caught.value.exit_code == Exit.USAGE
