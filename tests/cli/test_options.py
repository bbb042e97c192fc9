"""Texts that options accept, and what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritydb.cli.options import (
    DEFAULT_URL,
    read_class,
    read_duration,
    read_size,
    read_time,
    read_url,
)
from veritydb.types.ids import U64_MAX
from veritydb.types.labels import DataClass

SECOND = 1_000_000_000


def test_an_address_needs_no_scheme() -> None:
    assert read_url("127.0.0.1:7401") == "veritydb://127.0.0.1:7401"
    assert read_url("veritydb://a:1,b:2") == "veritydb://a:1,b:2"
    assert read_url("[::1]:7401,h:65535") == "veritydb://[::1]:7401,h:65535"
    assert read_url(DEFAULT_URL) == DEFAULT_URL


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:65536", "a:1,,b:2"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        read_url(text)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("phi", DataClass.PHI),
        ("PHI", DataClass.PHI),
        ("nonphi", DataClass.NON_PHI),
        ("non-phi", DataClass.NON_PHI),
        ("NON_PHI", DataClass.NON_PHI),
        ("deidentified", DataClass.DEIDENTIFIED),
    ],
)
def test_classes(text: str, meaning: DataClass) -> None:
    assert read_class(text) is meaning


def test_an_unknown_class_names_the_known() -> None:
    with pytest.raises(ValueError, match="phi, nonphi, deidentified"):
        read_class("secret")


def test_durations_and_sizes() -> None:
    assert read_duration("0") == 0
    assert read_duration("90s") == 90 * SECOND
    assert read_duration("36h") == 36 * 3_600 * SECOND
    assert read_duration("30d") == 30 * 86_400 * SECOND
    assert read_size("1048576") == read_size("1m") == read_size("1MiB") == 1 << 20
    assert read_size("64k") == 64 << 10
    assert read_size("0") == 0
    for text in ("", "s", "5", "-1s", "1.5h", "1 h", "999999999999y"):
        with pytest.raises(ValueError, match=r"duration|too large"):
            read_duration(text)
    for text in ("", "k", "-1", "1.5m", "1x", "99999999999999999999g"):
        with pytest.raises(ValueError, match=r"size|too large"):
            read_size(text)


def test_times() -> None:
    assert read_time("1970-01-01T00:00:01Z") == SECOND
    assert read_time("1970-01-01T00:00:01") == SECOND
    assert read_time("1970-01-01T02:00:00+02:00") == 0
    assert read_time("1772442000000000001") == 1_772_442_000_000_000_001
    for text in ("", "yesterday", "1969-12-31T23:59:59Z", "9" * 30):
        with pytest.raises(ValueError, match=r"time|1970|too large"):
            read_time(text)


@given(st.integers(0, U64_MAX))
def test_any_number_of_nanoseconds_is_a_time(ns: int) -> None:
    assert read_time(str(ns)) == ns
