"""Can the group go on? From a state, with no more faults and one replica gone or none.

This is no proof of liveness: one fair course is tried, in which timers go off when nothing else
is left to do. A state from which it does not lead to another agreed request is one to look at.
"""

from simulation.model.group import Group, unpack
from simulation.model.happenings import Event
from simulation.model.images import REPLICAS
from veritydb.vsr.config import Status

ROUNDS = 24
STEPS = 5_000
FRESH = 15
"""The number of a request that no scope uses."""


class Course:
    """One fair course of events among those who are alive."""

    def __init__(self, group: Group, state: int, dead: int | None) -> None:
        """Begin in a state. All that was under way between the replicas is lost."""
        self._sites = group.sites
        self._at = [group.actors[actor][0] for actor in unpack(state)[0]]
        self._alive = [index for index in range(REPLICAS) if index != dead]
        self._pending: list[int] = []
        self._steps = 0

    def goes_on(self) -> bool:
        """Whether a request is agreed on before patience is at its end."""
        self._rest()
        for number in range(ROUNDS):
            for index in self._alive:
                self._timers(index, impatient=number % 3 == 2)
                self._rest()
            if self._try_request():
                return True
        return False

    def _try_request(self) -> bool:
        """Propose something, if somebody takes it, and see whether it becomes agreed on."""
        for index in self._alive:
            facts = self._sites.facts[self._at[index]]
            if facts.proposing:
                self._step(index, Event("propose", FRESH))
                self._rest()
                after = self._sites.facts[self._at[index]]
                if after.leading and after.head > facts.head and after.commit == after.head:
                    return True
        return False

    def _timers(self, index: int, impatient: bool) -> None:
        facts = self._sites.facts[self._at[index]]
        if facts.leading:
            self._step(index, Event("heartbeat"))
        if facts.status == Status.VIEW_CHANGE:
            self._step(index, Event("tell again"))
        if facts.voting:
            self._step(index, Event("vote again"))
        self._step(index, Event("ask again"))
        facts = self._sites.facts[self._at[index]]
        if impatient and facts.leading and facts.commit < facts.head:
            self._step(index, Event("abdicate"))
        elif impatient and facts.status == Status.VIEW_CHANGE:
            self._step(index, Event("overdue"))
        elif impatient and facts.status == Status.NORMAL and not self._led(facts.view):
            self._step(index, Event("suspect"))

    def _led(self, view: int) -> bool:
        """Whether somebody who is alive leads the view, so that it would be heard."""
        found = [self._sites.facts[self._at[index]] for index in self._alive]
        return any(facts.leading and facts.view == view for facts in found)

    def _step(self, index: int, event: Event) -> None:
        self._steps += 1
        outcome = self._sites.outcome(self._at[index], event)
        self._at[index] = outcome.site
        self._pending.extend(outcome.sends)

    def _rest(self) -> None:
        """Let all writes and reads end and all messages arrive, in order."""
        busy = True
        while busy and self._steps < STEPS:
            busy = bool(self._pending)
            for index in self._alive:
                site = self._sites.all[self._at[index]]
                if site.queue:
                    self._step(index, Event("write", 1))
                    busy = True
                elif site.reads:
                    self._step(index, Event("read", 1))
                    busy = True
            if self._pending:
                number = self._pending.pop(0)
                target = self._sites.targets[number]
                if target in self._alive:
                    self._step(target, Event("deliver", number))


def stuck(group: Group, states: list[int], one_gone: bool) -> list[tuple[int, int | None]]:
    """Those (state, who is gone) from which the group does not go on."""
    gone: tuple[int | None, ...] = (None, *range(REPLICAS)) if one_gone else (None,)
    return [
        (state, dead)
        for state in states
        for dead in gone
        if not Course(group, state, dead).goes_on()
    ]
