"""A failing run made small: as little as possible that still fails the same way.

Every pass proposes smaller runs; one that fails with the same key, and is smaller when it has run,
takes the place of the best so far. First comes a small world: fewer requests, clients and classes
of faults, where any of some seeds will do, since a small run that fails by other draws is worth
more than a large one. Then single faults, clients and requests are left out of that one run, labels
are set to nought (no loss, no delay, the first kind of request), and last single draws.

The outcome depends on the number of runs allowed and on nothing else, unless time runs out first.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from simulation import case
from simulation.case import Case
from simulation.choices import Tape
from simulation.plan import Plan
from simulation.run import Result
from simulation.world import EVENTS_MAX

RUNS = 600
REQUESTS = (5, 10, 20, 40, 80)
SEEDS_BY_SIZE, SEEDS_BY_PLAN = 12, 3
"""Other seeds that are tried for each number of requests, and for each other change of a plan."""
SMALL: dict[str, object] = {
    "shape": "three",
    "clients": 2,
    "window": 1,
    "twins": False,
    # No requests beyond those asked for, and all replicas heal in the end.
    "events": 0,
    "core": False,
}
PASS_SHARE = 6
"""No pass takes more than one part in so many of all runs."""
FAULT_WEIGHT, TURN_WEIGHT = 200, 20
"""Events that one fault, or one request, is worth to somebody who has to read the run."""

CLOCK_FIELDS = {"rate": "clock_rate_ppm", "skew": "clock_offset", "drift": "clock_drift_ppm"}


class Weight(NamedTuple):
    """How much there is to read in a run, and then how far its draws are from nought."""

    size: int
    draws: int


class Shrunk(NamedTuple):
    """What came of it."""

    case: Case
    result: Result
    runs: int


class Shrinker:
    """The best case so far, and the passes that look for a better one."""

    def __init__(self, start: Case, runs: int = RUNS, enough: Callable[[], bool] | None = None):
        """Run the case once; `enough` says when no more time is to be spent."""
        self._runs_max = runs
        self._enough = enough or (lambda: False)
        self.runs = 1
        self.result, self.best = case.run(start, lines=None)
        self.key = self.result.key
        self.weight = weigh(self.result, self.best.tape)

    def shrink(self) -> Shrunk:
        """All passes, again and again while they still help."""
        assert self.key, "a run that does not fail has nothing to shrink to"
        while not self._over():
            before = self.weight
            self._shrink_plan()
            self._thin(self._faults, _without_pieces)
            self._thin(self._clients, _without_pieces)
            self._thin(self._turns, _without_pieces)
            self._thin(self._labels, _with_nought)
            if self.weight.size == before.size:
                break
        self._shrink_draws()
        return self.best_so_far()

    def best_so_far(self) -> Shrunk:
        """What there is, also if it was interrupted."""
        return Shrunk(self.best, self.result, self.runs)

    def _over(self) -> bool:
        return self.runs >= self._runs_max or self._enough()

    def attempt(self, candidate: Case) -> bool:
        """Run a candidate; keep it if it fails the same way and is smaller."""
        if self._over():
            return False
        self.runs += 1
        # What takes longer than the best cannot be better.
        most = min(self.weight.size + 1, EVENTS_MAX)
        result, drawn = case.run(candidate, lines=None, events_max=most)
        weight = weigh(result, drawn.tape)
        if result.key != self.key or weight >= self.weight:
            return False
        self.result, self.best, self.weight = result, drawn, weight
        return True

    # -- the plan

    def _shrink_plan(self) -> None:
        plan = self.best.plan
        for requests in REQUESTS:
            if requests < plan.requests:
                small = msgspec.structs.replace(plan, requests=requests, **SMALL)
                if self._try_seeds(small, SEEDS_BY_SIZE):
                    break
        faults = list(self.best.plan.faults)
        size = len(faults)
        while size and not self._over():
            for at in range(0, len(faults), size):
                self._try_seeds(without(self.best.plan, faults[at : at + size]), SEEDS_BY_PLAN)
            size //= 2
        for name, value in (("clients", 1), *SMALL.items()):
            changed = msgspec.structs.replace(self.best.plan, **{name: value})
            self._try_seeds(changed, SEEDS_BY_PLAN)

    def _try_seeds(self, plan: Plan, seeds: int) -> bool:
        """Try a plan with the draws at hand, then with those of other seeds."""
        if plan == self.best.plan:
            return False
        if self.attempt(msgspec.structs.replace(self.best, plan=plan)):
            return True
        return any(
            self.attempt(Case(plan=msgspec.structs.replace(plan, seed=seed)))
            for seed in range(plan.seed + 1, plan.seed + 1 + seeds)
        )

    # -- pieces and labels

    def _thin(
        self, items: Callable[[], list[str]], reduced: Callable[[Case, Sequence[str]], Case]
    ) -> None:
        """Do without some of the items: many at a time first, one at a time last."""
        end = self.runs + self._runs_max // PASS_SHARE
        size = len(items())
        while size:
            at = 0
            while chunk := items()[at : at + size]:
                if self._over() or self.runs >= end:
                    return
                if not self.attempt(reduced(self.best, chunk)):
                    at += size
            size //= 2

    def _pieces(self) -> list[str]:
        return [piece for piece in self.best.tape if piece]

    def _faults(self) -> list[str]:
        return [piece for piece in self._pieces() if not is_client(piece)]

    def _clients(self) -> list[str]:
        return [piece for piece in self._pieces() if is_client(piece) and "#" not in piece]

    def _turns(self) -> list[str]:
        return [piece for piece in self._pieces() if is_client(piece) and "#" in piece]

    def _labels(self) -> list[str]:
        labels = {label: None for drawn in self.best.tape.values() for label in drawn}
        return [label for label in labels if label not in self.best.nought]

    # -- single draws

    def _shrink_draws(self) -> None:
        """Each draw of the faults that are left: nought, or half of what it was."""
        for piece, label, at in list(positions(self.best.tape)):
            if self._over():
                return
            if (
                piece
                and not is_client(piece)
                and not self.attempt(redrawn(self.best, piece, label, at, 0))
            ):
                self.attempt(redrawn(self.best, piece, label, at, 2))


def is_client(piece: str) -> bool:
    """Whether a piece is something that a client does, and no fault."""
    return piece.startswith("client")


def weigh(result: Result, tape: Tape) -> Weight:
    """How large a run is."""
    faults = sum(bool(piece) and not is_client(piece) for piece in tape)
    turns = sum(is_client(piece) for piece in tape)
    draws = sum(value != 0 for _, _, value in drawn_values(tape))
    return Weight(result.events + FAULT_WEIGHT * faults + TURN_WEIGHT * turns, draws)


def drawn_values(tape: Tape) -> Iterator[tuple[str, str, int]]:
    """All draws of a tape."""
    for piece, labels in tape.items():
        for label, values in labels.items():
            for value in values:
                yield piece, label, value


def positions(tape: Tape) -> Iterator[tuple[str, str, int]]:
    """Where a tape has draws: (piece, label, index)."""
    for piece, labels in tape.items():
        for label, values in labels.items():
            for at in range(len(values)):
                yield piece, label, at


def redrawn(whole: Case, piece: str, label: str, at: int, divisor: int) -> Case:
    """The case with one draw nought (`divisor` 0), or divided."""
    labels = dict(whole.tape.get(piece, {}))
    values = list(labels.get(label, ()))
    if at < len(values):
        values[at] = values[at] // divisor if divisor else 0
    return msgspec.structs.replace(whole, tape={**whole.tape, piece: {**labels, label: values}})


def _without_pieces(whole: Case, pieces: Sequence[str]) -> Case:
    return msgspec.structs.replace(whole, left_out=(*whole.left_out, *pieces))


def _with_nought(whole: Case, labels: Sequence[str]) -> Case:
    return msgspec.structs.replace(whole, nought=(*whole.nought, *labels))


def without(plan: Plan, faults: Sequence[str]) -> Plan:
    """The plan without some classes of faults."""
    rates = {f"{fault}_ppm": 0 for fault in faults if hasattr(plan.network, f"{fault}_ppm")}
    changes: dict[str, object] = {
        "faults": tuple(each for each in plan.faults if each not in faults),
        "nemeses": {name: mean for name, mean in plan.nemeses.items() if name not in faults},
        "network": msgspec.structs.replace(plan.network, **rates),
    }
    changes |= {CLOCK_FIELDS[fault]: 0 for fault in faults if fault in CLOCK_FIELDS}
    return msgspec.structs.replace(plan, **changes)
