"""Small scope, breadth first, from the command line.

    python -m simulation.model               all scopes, all planted bugs, the variants
    python -m simulation.model --small       a few thousand states, to see that it works
    python -m simulation.model --only crash  what has this in its name

Exit status: 0 nothing found; 1 an invariant is broken, or the group cannot go on; 3 too few states
to mean anything, or none; 4 a planted bug was not found; 130 interrupted. (2 is a wrong command
line.)
"""

import gc
import sys
from collections.abc import Iterator

from simulation.arguments import INTERRUPTED, Parser
from simulation.arguments import processes as how_many
from simulation.model import runs
from simulation.model.runs import Result, Task
from simulation.model.scopes import KINDS, Scope
from simulation.report import EMPTY, FAILED, SURVIVED
from simulation.workers import Lost, share


def main(arguments: list[str]) -> int:
    """Search, and return the exit status."""
    parser = Parser(prog="python -m simulation.model")
    parser.add_argument("--small", action="store_true", help="only a few thousand states")
    parser.add_argument("--only", default="", help="only what has this in its name")
    parser.add_argument("--processes", type=how_many, default=2, help="how many searches at a time")
    options = parser.parse_args(arguments)
    every = runs.tasks(runs.SMALL if options.small else runs.SCOPES, planted=not options.small)
    chosen = [task for task in every if options.only in task.name]
    if not chosen:
        print(f"nothing has {options.only!r} in its name", file=sys.stderr)
        return EMPTY
    began = runs.now()
    results: list[Result] = []
    interrupted = False
    try:
        print(f"{len(chosen)} searches", flush=True)
        results.extend(search(chosen, options.processes))
    except KeyboardInterrupt:
        interrupted = True
        print(f"interrupted, with {len(chosen) - len(results)} searches to go")
    order = {task: at for at, task in enumerate(chosen)}
    results.sort(key=lambda result: order[result.task])
    whole = len(chosen) == len(every) and not options.small
    for line in table(results, runs.now() - began):
        print(line)
    found = status(results, runs.STATES_MIN if whole else 1)
    return INTERRUPTED if interrupted and found in (0, EMPTY) else found


def search(chosen: list[Task], processes: int) -> Iterator[Result]:
    """Carry out each task in a process of its own; show what was found at once."""
    for task, done in share(iter(chosen), alone, processes, each_anew=True):
        result = died(task, done) if isinstance(done, Lost) else done
        print(summary(result), flush=True)
        for line in result.trace:
            print("  " + line, flush=True)
        yield result


def alone(task: Task) -> Result:
    """Carry a task out in a process that has no other."""
    # Nothing that a search remembers is ever let go of, so there is no garbage to look for.
    gc.disable()
    return runs.run(task)


def died(task: Task, lost: Lost) -> Result:
    """What to make of a search over which its process died: a planted bug was not found so."""
    broken = ("process-died", f"exit status {lost.status}") if task.kind != "planted" else None
    return Result(
        task=task,
        states=0,
        transitions=0,
        depth=0,
        complete=False,
        seconds=0.0,
        cpu=0.0,
        steps=0,
        broken=broken,
        tried=0,
        stuck=0,
        trace=(),
    )


def summary(result: Result) -> str:
    """One line of what came of a task."""
    what = {"scope": "scope", "planted": "planted bug", "variant": "variant"}[result.task.kind]
    ended = "nothing found"
    if result.broken is not None:
        ended = f"{result.broken[0]}: {result.broken[1]}"
    return f"{what} '{result.task.name}': {ended} ({result.states:,} states)"


def bounds(scope: Scope) -> str:
    """The bounds of a scope in a few words."""
    counts = [(kind, getattr(scope, kind)) for kind in KINDS]
    told = [f"{kind} {count}" for kind, count in counts if count]
    return ", ".join([f"views to {scope.views}", *told, f"begins {scope.begin.value}"])


def table(results: list[Result], seconds: float) -> Iterator[str]:
    """All results for people."""
    yield ""
    yield (
        f"{'searched':<40} {'states':>11} {'transitions':>12} {'depth':>5} {'all':>4} {'cpu s':>6}"
        f" {'states/s':>8}  {'found'}"
    )
    for result in results:
        mark = {"scope": "", "planted": "bug: ", "variant": "variant: "}[result.task.kind]
        found = result.broken[0] if result.broken else "-"
        if result.broken and result.trace:
            found += f", {len(result.trace) - 2} events"
        if result.stuck:
            found += f"; stuck in {result.stuck} of {result.tried} courses"
        yield (
            f"{mark + result.task.name:<40.40} {result.states:>11,} {result.transitions:>12,}"
            f" {result.depth:>5} {'yes' if result.complete else 'no':>4} {result.cpu:>6.0f}"
            f" {result.states / max(result.cpu, 0.01):>8,.0f}  {found}"
        )
    yield ""
    for result in results:
        if result.task.kind != "planted":
            yield f"{result.task.name}: {bounds(result.task.scope)}"
    scopes = [result for result in results if result.task.kind == "scope"]
    bugs = [result for result in results if result.task.kind == "planted"]
    caught = sum(result.broken is not None for result in bugs)
    yield ""
    yield (
        f"{sum(result.states for result in scopes):,} distinct states without planted bugs, "
        f"{sum(result.broken is not None for result in scopes)} violations, "
        f"{sum(result.stuck for result in scopes)} of "
        f"{sum(result.tried for result in scopes)} courses stuck; "
        f"{caught} of {len(bugs)} planted bugs found; {seconds:.0f} s"
    )


def status(results: list[Result], states_min: int) -> int:
    """The exit status. What a variant shows is no failure: it is not the product."""
    scopes = [result for result in results if result.task.kind == "scope"]
    if any(result.broken or result.stuck for result in scopes):
        return FAILED
    if any(result.task.kind == "planted" and not result.broken for result in results):
        return SURVIVED
    if scopes and sum(result.states for result in scopes) < states_min:
        return EMPTY
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
