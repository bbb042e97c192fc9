"""What is searched in one go, each search in a process of its own, and what comes back from it."""

import time
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from simulation.model.group import Group
from simulation.model.images import REPLICAS
from simulation.model.planted import PLANTED, STATES_MAX
from simulation.model.progress import stuck
from simulation.model.scopes import Begin, Scope
from simulation.model.search import Report, Search
from simulation.model.traces import lines
from simulation.model.variants import VARIANTS

SAMPLED = 150_000
SCOPES = (
    Scope(name="view change", views=2, requests=1, timeouts=2),
    Scope(name="requests", views=1, requests=2, heartbeats=1, states=SAMPLED),
    Scope(name="divided", views=3, timeouts=2, begin=Begin.DIVIDED, states=SAMPLED),
    Scope(name="divided, crash", views=3, crashes=1, begin=Begin.DIVIDED, states=SAMPLED),
    Scope(name="two requests", views=2, requests=2, timeouts=1, states=SAMPLED),
    Scope(name="crash", views=2, requests=1, crashes=1),
    Scope(
        name="crash, and patience ends", views=2, requests=1, timeouts=1, crashes=1, states=SAMPLED
    ),
    Scope(name="two crashes", views=3, requests=1, crashes=2, states=SAMPLED),
    Scope(name="crash, two requests", views=2, requests=2, crashes=1, states=SAMPLED),
    Scope(name="rot", views=2, requests=1, timeouts=1, crashes=1, rots=1, states=SAMPLED),
    Scope(name="reads", views=2, requests=1, timeouts=1, reads=1, states=SAMPLED),
    Scope(name="heartbeats", views=2, requests=1, timeouts=1, heartbeats=1, states=SAMPLED),
    Scope(name="first start", views=2, requests=1, begin=Begin.START, states=SAMPLED),
)
"""What is searched: all of it up to the bounds, or as far as `states` goes."""
SMALL = (
    Scope(name="requests", views=1, requests=1),
    Scope(name="view change", views=2, timeouts=1),
    Scope(name="crash", views=2, requests=1, crashes=1, states=3_000),
)
STATES_MIN = 1_000_000
"""Fewer in all say that the search went wrong."""
SAMPLE = 200
"""From so many states of each scope it is tried whether the group can go on."""
EVERY_S = 5.0
now = time.monotonic


class Task(msgspec.Struct, frozen=True):
    """One search: of a scope; for the planted bug, or of the variant, of a name."""

    kind: str
    name: str
    scope: Scope


class Result(msgspec.Struct, frozen=True):
    """What came of a task, without the states themselves. `cpu` are seconds of a processor.

    In `stuck` of the courses that were `tried` the group could not go on.
    """

    task: Task
    states: int
    transitions: int
    depth: int
    complete: bool
    seconds: float
    cpu: float
    steps: int
    broken: tuple[str, str] | None
    tried: int
    stuck: int
    trace: tuple[str, ...]


def tasks(scopes: Sequence[Scope], planted: bool) -> list[Task]:
    """Everything that is searched; with the planted bugs and the variants, if asked for."""
    found = [Task("scope", scope.name, scope) for scope in scopes]
    if planted:
        found += [Task("planted", each.name, capped(each.scope)) for each in PLANTED]
        found += [Task("variant", each.name, each.scope) for each in VARIANTS]
    return found


def capped(scope: Scope) -> Scope:
    """The scope of a hunt, which gives up at some time."""
    return msgspec.structs.replace(scope, states=STATES_MAX)


def run(task: Task) -> Result:
    """Carry a task out in this process, which is good for nothing else afterwards."""
    promises, plant = True, nothing
    if task.kind == "planted":
        (one,) = [each for each in PLANTED if each.name == task.name]
        promises, plant = False, one.canary.plant
    elif task.kind == "variant":
        (other,) = [each for each in VARIANTS if each.name == task.name]
        plant = other.plant
    began, cpu = now(), time.process_time()
    search = Search(task.scope, promises)
    plant()
    report = search.run(progress(task))
    sample = []
    if task.kind != "planted" and report.broken is None:
        sample = Random(1).sample(search.order, min(SAMPLE, len(search.order)))
    # What has rotted on one replica may be on another that is gone: then it has to wait.
    one_gone = not task.scope.rots
    left = stuck(search.group, sample, one_gone)
    tried = len(sample) * (1 + REPLICAS * one_gone)
    spent = now() - began, time.process_time() - cpu
    return result(task, report, search.group, spent, (tried, len(left)))


def result(
    task: Task,
    report: Report,
    group: Group,
    spent: tuple[float, float],
    tried: tuple[int, int],
) -> Result:
    """What is told of a search."""
    return Result(
        task=task,
        states=report.states,
        transitions=report.transitions,
        depth=report.depth,
        complete=report.complete,
        seconds=spent[0],
        cpu=spent[1],
        steps=report.steps,
        broken=report.broken,
        tried=tried[0],
        stuck=tried[1],
        trace=tuple(lines(group, report.trace)) if report.broken else (),
    )


def nothing() -> None:
    """Change nothing."""


def progress(task: Task) -> Callable[[int, int, int], None]:
    """Say now and then how far a search is."""
    last = [now()]

    def say(depth: int, states: int, transitions: int) -> None:
        if now() - last[0] >= EVERY_S:
            last[0] = now()
            print(
                f"  ... {task.name}: depth {depth}, {states:,} states, {transitions:,} transitions",
                flush=True,
            )

    return say
