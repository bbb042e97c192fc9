"""Breadth first through all states, so that what is found is found by the shortest way."""

from array import array
from collections.abc import Callable
from itertools import pairwise

import msgspec

from simulation.model.broken import Broken
from simulation.model.group import Group, pack, unpack
from simulation.model.happenings import Event
from simulation.model.scopes import Scope
from simulation.model.start import first_state
from simulation.model.traces import breaking, echoes, shortest


class Report(msgspec.Struct, kw_only=True):
    """How a search ended. `complete`: there is nothing within the bounds that was not seen."""

    scope: Scope
    states: int
    transitions: int
    depth: int
    complete: bool
    sites: int
    steps: int
    messages: int
    images: int
    broken: tuple[str, str] | None = None
    trace: list[tuple[int, Event]] = []
    group: Group


class Search:
    """One search."""

    def __init__(self, scope: Scope, promises: bool = True, reduce: bool = True) -> None:
        """Begin with the scope's first state."""
        self.group = Group(scope, promises, reduce)
        self._reduce = reduce
        first = first_state(self.group)
        # States in the order in which they were found, and from which one each was.
        self.order: list[int] = [first]
        self.parents = array("q", [-1])
        self._seen: dict[int, list[tuple[int, int, int, int]]] = {}
        self._covered = bytearray(1)
        self._is_new(first, 0)

    def run(self, progress: Callable[[int, int, int], None] | None = None) -> Report:
        """Search until all is seen, a bound is reached, or an invariant is broken.

        `progress` hears of (depth, states, transitions) with every level, and now and then.
        """
        scope, group = self.group.scope, self.group
        order, parents, covered = self.order, self.parents, self._covered
        at = depth = transitions = 0
        level_ends = 1
        broken: Broken | None = None
        while at < len(order) and len(order) < scope.states and depth < scope.depth:
            try:
                for after, _, _ in group.next(order[at]) if not covered[at] else ():
                    transitions += 1
                    if self._is_new(after, len(order)):
                        order.append(after)
                        parents.append(at)
                        covered.append(0)
            except Broken as found:
                broken = found
                break
            at += 1
            if at == level_ends:
                depth, level_ends = depth + 1, len(order)
            if progress is not None and (at & 0xFFF == 0 or at == level_ends):
                progress(depth, len(order), transitions)
        report = Report(
            scope=scope,
            states=len(order),
            transitions=transitions,
            depth=depth,
            complete=at == len(order),
            sites=len(group.sites.all),
            steps=group.sites.worked_out,
            messages=len(group.sites.messages),
            images=len(group.sites.images.all),
            group=group,
        )
        if broken is not None:
            report.broken = broken.name, broken.text
            report.trace = shortest(group, self.trace(at), broken.name)
        return report

    def _is_new(self, state: int, number: int) -> bool:
        """Whether no state was seen that is the same but for more messages. Then it is noted."""
        (a, b, c), agreed, budget = unpack(state)
        actors, bits = self.group.actors, self.group.bits
        (site_a, in_a), (site_b, in_b), (site_c, in_c) = actors[a], actors[b], actors[c]
        key = pack((site_a, site_b, site_c), agreed, budget)
        x, y, z = bits[in_a], bits[in_b], bits[in_c]
        alike = self._seen.get(key)
        if alike is None:
            self._seen[key] = [(x, y, z, number)]
            return True
        for p, q, r, _ in alike:
            if p | x == p and q | y == q and r | z == r:
                return False
        kept = []
        for known in alike:
            p, q, r, other = known
            if p | x == x and q | y == y and r | z == z:
                self._covered[other] = 1
            else:
                kept.append(known)
        kept.append((x, y, z, number))
        self._seen[key] = kept
        return True

    def trace(self, at: int) -> list[tuple[int, Event]]:
        """All that happened on the way to a state, and then that which broke it."""
        way = [at]
        while self.parents[way[-1]] >= 0:
            way.append(self.parents[way[-1]])
        way.reverse()
        events = echoes(self.group, self.order[way[0]])
        for before, after in pairwise(way):
            events.append(self._event(self.order[before], self.order[after]))
            events += echoes(self.group, self.order[after])
        return [*events, breaking(self.group, self.order[at])]

    def _event(self, before: int, after: int) -> tuple[int, Event]:
        for state, move, index in self.group.next(before):
            if state == after:
                return index, move.event
        raise AssertionError("a state without the step that led to it")
