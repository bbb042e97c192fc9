"""The states that searches begin with."""

from simulation.model.group import Chance, Group, pack
from simulation.model.happenings import Event
from simulation.model.images import REPLICAS
from simulation.model.scopes import Begin
from simulation.model.traces import Replay

OLD, NEW = 14, 13
"""Requests that were proposed before the search began."""


def first_state(group: Group) -> int:
    """Where the scope begins; the group takes note of it."""
    boots = [group.sites.boot(index, group.scope.born) for index in range(REPLICAS)]
    actors = [group.actor(boot.site, 0) for boot in boots]
    for boot in boots:
        for number in boot.sends:
            target = group.sites.targets[number]
            actors[target] = group.post(actors[target], group.inbox((number,)))
    group.first = pack((actors[0], actors[1], actors[2]), 0, group.scope.budget())
    if group.scope.begin == Begin.START:
        return group.first
    replay = Replay(group)
    rest(replay, (0, 1, 2))
    # From here on what was said before is said no more: nobody could hear it for the first time.
    sites = [group.actors[actor][0] for actor in replay.actors]
    replay.actors = tuple(group.actor(site, 0) for site in sites)  # type: ignore[assignment]
    if group.scope.begin == Begin.DIVIDED:
        divide(replay)
    group.first = pack(replay.actors, replay.agreed, group.scope.budget())
    return group.first


def divide(replay: Replay) -> None:
    """The primary of view 1 has an op of its own; the others are in view 2 and agree on another.

    All that they said is still on its way to it, and what it said to them.
    """
    replay.take(1, Chance(Event("propose", OLD)))
    rest(replay, (1,))
    replay.step(2, Event("suspect"))
    replay.step(0, Event("suspect"))
    rest(replay, (2, 0), deaf_to=1)
    replay.take(2, Chance(Event("propose", NEW)))
    rest(replay, (2, 0), deaf_to=1)
    assert replay.group.agreement.length(replay.agreed) == 1


def rest(replay: Replay, indexes: tuple[int, ...], deaf_to: int = -1) -> None:
    """Let all writes of some replicas end, and all messages arrive there, until nothing is new."""
    group = replay.group
    heard: set[tuple[int, int]] = set()
    again = True
    while again:
        again = False
        for index in indexes:
            while group.sites.all[group.actors[replay.actors[index]][0]].queue:
                replay.step(index, Event("write", 1))
                again = True
            for number in group.inboxes[group.actors[replay.actors[index]][1]]:
                sender = group.sites.messages[number].sender
                if (index, number) not in heard and sender != deaf_to:
                    heard.add((index, number))
                    again = replay.step(index, Event("deliver", number)) or again
