"""Planted bugs, each of a kind that real systems had: the simulator has to find every one.

A canary changes the running code of this process for good, so each is hunted in a process of its
own (`hunt`). In the standard mix of runs, the checker that fails first has to be one that it names.

    planting      what a canary is, and how code is changed
    durability    promises before they are true
    view_change   leaving a view, deciding on the next one's log
    repair        rot, loss, misdirection
    transfer      a peer's snapshot and history
    storage       files: names, order, leftovers
    meaning       sessions, repeats, streams, tenants, rules, outcomes
    service       reads, time, placement, and how much at once
"""

from simulation.canaries import (
    durability,
    meaning,
    repair,
    service,
    storage,
    transfer,
    view_change,
)
from simulation.canaries.planting import Canary

CANARIES: tuple[Canary, ...] = (
    *durability.CANARIES,
    *view_change.CANARIES,
    *repair.CANARIES,
    *transfer.CANARIES,
    *storage.CANARIES,
    *meaning.CANARIES,
    *service.CANARIES,
)
NAMES = tuple(canary.name for canary in CANARIES)


def find(name: str) -> Canary:
    """The canary of this name."""
    (canary,) = [each for each in CANARIES if each.name == name]
    return canary
