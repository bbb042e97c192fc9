"""Planted bugs that the search has to find, every one: canaries, each with a scope of its own.

A bug changes the running code of this process for good, so each is hunted in a process of its own.
They are hunted without looking at promises: by what they lead to, not by the first sign of them.
"""

from typing import NamedTuple

from simulation.canaries import find
from simulation.canaries.planting import Canary
from simulation.model.scopes import Begin, Scope


class Planted(NamedTuple):
    """A planted bug, by what it leads to here, and the scope in which it is hunted."""

    name: str
    canary: Canary
    scope: Scope


STATES_MAX = 1_500_000
"""A bug that is not found among so many is not found."""
PLANTED = (
    Planted(
        "acknowledged before it is durable",
        find("acknowledged before sync"),
        Scope(name="crash", views=1, requests=1, crashes=1),
    ),
    Planted(
        "view promised before it is durable",
        find("view not durable"),
        Scope(name="crash", views=2, requests=1, timeouts=1, crashes=1),
    ),
    Planted(
        "log view promised before it is durable",
        find("log view not durable"),
        Scope(name="crash", views=3, requests=1, timeouts=2, crashes=1),
    ),
    Planted(
        "a log of an older log view counts",
        find("old log view counts"),
        Scope(name="divided", views=3, timeouts=2, begin=Begin.DIVIDED),
    ),
    Planted(
        "a rotten frame is nacked",
        find("rotten frame nacked"),
        Scope(name="rot", views=2, requests=1, timeouts=2, crashes=1, rots=1),
    ),
    Planted(
        "a vote counts twice",
        find("view changed alone"),
        Scope(name="view change", views=2, requests=1, timeouts=2),
    ),
    Planted(
        "an acknowledgement counts twice",
        find("quorum too small"),
        Scope(name="view change", views=2, requests=1, timeouts=2),
    ),
    Planted(
        "one nack is enough",
        find("one nack is enough"),
        Scope(name="view change", views=2, requests=1, timeouts=2),
    ),
    Planted(
        "the tail is left out of DoViewChange",
        find("tail left out"),
        Scope(name="view change", views=2, requests=2, timeouts=2),
    ),
    Planted(
        "logs are not compared in a view change",
        find("logs not compared"),
        Scope(name="two requests", views=2, requests=2, timeouts=2),
    ),
    Planted(
        "a restarted primary goes on",
        find("restarted primary goes on"),
        Scope(name="crash", views=1, requests=2, crashes=1),
    ),
    Planted(
        "a read without asking a quorum",
        find("read without a round"),
        Scope(name="read", views=2, requests=1, timeouts=2, reads=1),
    ),
    Planted(
        "a replica votes with an uncertain head",
        find("uncertain head votes"),
        Scope(name="rot", views=2, requests=1, timeouts=2, crashes=1, rots=1),
    ),
)
