"""The least that has to happen in a run for it to mean anything.

A run below a floor is *empty*: it has not passed, since it has hardly tried. Each row of the table
says for which plans it holds, what is looked at, and how much of it there must be.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from simulation.plan import REPLICAS, Plan

Counts = Mapping[str, int]

COUNTED_REQUESTS = 150
"""Acknowledged, in a run that counts as one when runs are counted per hour."""
STRIKES_OF_TEN = 8
"""In how many of ten runs that drew it a class of faults has to find something to strike at."""
STRIKES_DRAWN = 50
"""Fewer runs than this say nothing about that."""


class Floor(NamedTuple):
    """One row: what is missing if there is less than `least` of it."""

    what: str
    holds: Callable[[Plan, Counts], bool]
    seen: Callable[[Counts], int]
    least: Callable[[Plan], int]


def _sum(*names: str) -> Callable[[Counts], int]:
    return lambda counts: sum(counts.get(name, 0) for name in names)


def _always(plan: Plan, counts: Counts) -> bool:
    return True


def _ended(plan: Plan, counts: Counts) -> bool:
    """Not where it was proved that the core that healed cannot go on."""
    return not counts.get("core.excused")


def _replicated(plan: Plan, counts: Counts) -> bool:
    return REPLICAS[plan.shape] > 1


def _shaken(plan: Plan, counts: Counts) -> bool:
    return REPLICAS[plan.shape] > 1 and not {*plan.faults}.isdisjoint(SHAKING)


SHAKING = ("crash", "crash-loop", "power-cut", "step-down")
_ANSWERS = _sum("client.answers", "client.reads")
_ACKNOWLEDGED = _sum("code.OK", "code.DUPLICATE", "client.reads")
FLOORS = (
    Floor("answers", _always, _ANSWERS, lambda plan: plan.requests // 5),
    Floor("answers", _ended, _ANSWERS, lambda plan: plan.requests * 6 // 10),
    Floor("requests accepted", _ended, _sum("code.OK"), lambda plan: plan.requests // 4),
    Floor("messages", _replicated, _sum("messages"), lambda plan: 150),
    Floor("changes of roles", _shaken, _sum("role-changes"), lambda plan: 4),
)


def missing(plan: Plan, counts: Counts) -> str:
    """What there was too little of, or nothing."""
    for floor in FLOORS:
        if floor.holds(plan, counts) and floor.seen(counts) < floor.least(plan):
            return f"{floor.seen(counts)} {floor.what}, less than {floor.least(plan)}"
    if not plan.faults and counts.get("client.gave-up", 0):
        return "requests given up in a run without faults"
    return ""


def idle(plan: Plan, counts: Counts) -> list[str]:
    """The classes that a run drew and that found nothing to strike at, or no right moment.

    The budget may leave none, where the only machine that may be hurt is just being replaced.
    """
    return [fault for fault in plan.faults if not counts.get(f"fault.{fault}")]


def acknowledged(counts: Counts) -> int:
    """How many requests were done: a refusal is an answer, but no acknowledgement."""
    return _ACKNOWLEDGED(counts)


def counted(plan: Plan, counts: Counts) -> bool:
    """Whether a run that passed counts when the speed of the search is told."""
    enough = REPLICAS[plan.shape] >= 3 and acknowledged(counts) >= COUNTED_REQUESTS
    return enough and not idle(plan, counts)


def tame(drawn: Counts, struck: Counts) -> list[str]:
    """The classes that struck in too few of the runs of a search that drew them."""
    return [
        fault
        for fault in sorted(drawn)
        if drawn[fault] >= STRIKES_DRAWN
        and struck.get(fault, 0) * 10 < drawn[fault] * STRIKES_OF_TEN
    ]
