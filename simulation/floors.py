"""The least that has to happen in a run for it to mean anything.

A run below a floor is *empty*: it has not passed, since it has hardly tried. Each row of the table
says for which plans it holds, what is looked at, and how much of it there must be.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from simulation.plan import REPLICAS, Plan

Counts = Mapping[str, int]

COUNTED_ANSWERS = 150
"""Of a run that counts as one, when runs are counted per hour."""


class Floor(NamedTuple):
    """One row: what is missing if there is less than `least` of it."""

    what: str
    holds: Callable[[Plan], bool]
    seen: Callable[[Counts], int]
    least: Callable[[Plan], int]


def _sum(*names: str) -> Callable[[Counts], int]:
    return lambda counts: sum(counts.get(name, 0) for name in names)


def _always(plan: Plan) -> bool:
    return True


def _replicated(plan: Plan) -> bool:
    return REPLICAS[plan.shape] > 1


FLOORS = (
    Floor(
        "answers",
        _always,
        _sum("client.answers", "client.reads"),
        lambda plan: plan.requests * 6 // 10,
    ),
    Floor("requests accepted", _always, _sum("code.OK"), lambda plan: plan.requests // 4),
    Floor("messages", _replicated, _sum("messages"), lambda plan: 150),
    Floor(
        "view changes or restarts",
        lambda plan: (
            _replicated(plan) and {"crash", "power-cut", "step-down"} & {*plan.faults} != set()
        ),
        _sum("role-changes", "crashes"),
        lambda plan: 1,
    ),
)


def missing(plan: Plan, counts: Counts) -> str:
    """What there was too little of, or nothing."""
    for floor in FLOORS:
        if floor.holds(plan) and floor.seen(counts) < floor.least(plan):
            return f"{floor.seen(counts)} {floor.what}, less than {floor.least(plan)}"
    if not plan.faults and counts.get("client.gave-up", 0):
        return "requests given up in a run without faults"
    return ""


def counted(plan: Plan, counts: Counts) -> bool:
    """Whether a run that passed counts when the speed of the search is told."""
    answers = counts.get("client.answers", 0) + counts.get("client.reads", 0)
    return REPLICAS[plan.shape] >= 3 and answers >= COUNTED_ANSWERS
