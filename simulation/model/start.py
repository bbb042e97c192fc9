"""The states that searches begin with."""

from simulation.model.group import Group, pack
from simulation.model.happenings import Event
from simulation.model.images import REPLICAS

WRITES = 100


def first_state(group: Group) -> int:
    """Three new replicas; unless the scope is about their first start, at rest in view 1."""
    boots = [group.sites.boot(index) for index in range(REPLICAS)]
    sites = [boot.site for boot in boots]
    sent = [number for boot in boots for number in boot.sends]
    if not group.scope.genesis:
        rest(group, sites, sent)
        assert all(group.sites.facts[site].view == 1 for site in sites)
        sent = []
    actors = [group.actor(site, 0) for site in sites]
    for number in sent:
        target = group.sites.targets[number]
        actors[target] = group.post(actors[target], group.inbox((number,)))
    return pack((actors[0], actors[1], actors[2]), 0, group.scope.budget())


def rest(group: Group, sites: list[int], sent: list[int]) -> None:
    """Let all writes end and all messages arrive, in the order in which they were sent."""
    pending = list(sent)

    def step(index: int, event: Event) -> None:
        outcome = group.sites.outcome(sites[index], event)
        sites[index] = outcome.site
        pending.extend(outcome.sends)

    while pending or any(group.sites.all[site].queue for site in sites):
        for index in range(REPLICAS):
            while group.sites.all[sites[index]].queue:
                step(index, Event("write", 1))
        if pending:
            number = pending.pop(0)
            step(group.sites.targets[number], Event("deliver", number))
