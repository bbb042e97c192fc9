"""Whom a client asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritydb.client.routing import DEFAULT_PORT, SUSPECT_S, Routing, parse_url
from veritydb.client.values import GroupInfo
from veritydb.types.errors import InvalidInput, PlacementRefused, UnreachablePlacement
from veritydb.types.labels import GLOBAL, DataClass, Region

SYDNEY, DUBLIN = Region("au-syd"), Region("eu-dub")
GROUPS = [
    GroupInfo(0, "", ("a:1", "b:1", "x:1")),
    GroupInfo(1, "au-syd", ("a:1", "b:1", "c:1")),
    GroupInfo(2, "eu-dub", ("x:1", "y:1", "z:1")),
]


def routing() -> Routing:
    made = Routing(["a:1"])
    made.learn(GROUPS)
    return made


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("veritydb://h:1", ("h:1",)),
        ("veritydb://h", (f"h:{DEFAULT_PORT}",)),
        ("veritydb://h:1,g:2,h:1/", ("h:1", "g:2")),
        ("veritydb://[::1]:5, 127.0.0.1:6", ("[::1]:5", "127.0.0.1:6")),
    ],
)
def test_urls(url: str, addresses: tuple[str, ...]) -> None:
    assert parse_url(url) == addresses


@pytest.mark.parametrize(
    "url",
    [
        *("", "h:1", "http://h:1", "veritydb://", "veritydb://h:1,", "veritydb://h:x"),
        *("veritydb://h:0", "veritydb://h:70000", "veritydb://u@h:1", "veritydb://h:1/db"),
    ],
)
def test_bad_urls(url: str) -> None:
    with pytest.raises(InvalidInput):
        parse_url(url)


@given(st.text())
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        assert parse_url("veritydb://" + text)
    except InvalidInput:
        return


def test_placements_are_checked_before_anything_is_sent() -> None:
    here = routing()
    assert here.group_for_new(DataClass.PHI, SYDNEY) == 1
    assert here.group_for_new(DataClass.NON_PHI, GLOBAL) == 0
    assert here.group_for_new(DataClass.DEIDENTIFIED, DUBLIN) == 2
    with pytest.raises(PlacementRefused):
        here.group_for_new(DataClass.PHI, GLOBAL)
    with pytest.raises(UnreachablePlacement):
        here.group_for_new(DataClass.PHI, Region("mars"))
    assert here.group_at(DUBLIN) == 2
    assert here.placement(2) == DUBLIN and here.placement(0) == GLOBAL
    for call in (lambda: here.group_at(Region("mars")), lambda: here.placement(9)):
        with pytest.raises(UnreachablePlacement):
            call()


def test_redirects_are_followed_within_the_group() -> None:
    here = routing()
    assert here.primary(1) is None
    here.leads(1, "a:1")
    here.redirected(1, "a:1", "b:1", 0.0)
    assert here.primary(1) == "b:1"
    # Nobody outside the group is believed to lead it: its bytes must not go there.
    here.redirected(1, "b:1", "x:1", 0.0)
    assert here.primary(1) is None
    here.redirected(1, "a:1", "evil:1", 0.0)
    assert here.primary(1) is None
    # A late answer of a node that nobody believes in any more changes nothing.
    here.leads(1, "c:1")
    here.redirected(1, "a:1", "", 0.0)
    assert here.primary(1) == "c:1"
    assert here.primary(0) is None


def test_what_failed_is_avoided_for_a_while() -> None:
    here = routing()
    here.leads(0, "a:1")
    here.leads(1, "a:1")
    here.leads(2, "x:1")
    here.failed("a:1", 10.0)
    assert here.primary(0) is None and here.primary(1) is None and here.primary(2) == "x:1"
    assert here.replicas(1, 10.5) == ("b:1", "c:1", "a:1")
    here.redirected(1, "b:1", "a:1", 10.5)
    assert here.primary(1) is None
    here.redirected(1, "b:1", "a:1", 10.0 + SUSPECT_S)
    assert here.primary(1) == "a:1"
    here.failed("a:1", 20.0)
    here.answered("a:1")
    assert here.replicas(1, 20.0) == ("a:1", "b:1", "c:1")


def test_a_pinned_client_asks_nobody_else() -> None:
    here = Routing(["only:1"], pinned=True)
    here.learn(GROUPS)
    assert here.addresses == ("only:1",)
    assert here.replicas(1, 0.0) == ("only:1",)
    here.redirected(1, "other:1", "b:1", 0.0)
    assert here.primary(1) == "only:1"


def test_unknown_groups() -> None:
    here = routing()
    assert here.known and not Routing(["a:1"]).known
    assert here.groups == (0, 1, 2)
    assert here.addresses == ("a:1", "b:1", "x:1", "c:1", "y:1", "z:1")
    with pytest.raises(UnreachablePlacement):
        here.replicas(9, 0.0)
