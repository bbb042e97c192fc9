"""Faults in rounds: begin up to three, let them last, undo them, and wait until all is whole again.

Those that come together are of different families and hurt the same node, so that never more than a
minority is hurt; but for those kinds that hurt several nodes, which come alone.
"""

import random
import time
from collections.abc import Callable, Sequence

import msgspec

from nemesis import machine_faults, network_faults, process_faults
from nemesis.site import Fault, Site

KINDS: dict[str, Fault] = {
    **process_faults.KINDS,
    **machine_faults.KINDS,
    **network_faults.KINDS,
}
NEED_SMALL_DISKS = machine_faults.NEED_SMALL_DISKS
# Those that hurt more than one node.
ALONE = {"standstill", "blackout", "drought", "bridge"}
# What ends a node or takes its files; of these only one at a time.
OF_NODE = {*process_faults.KINDS, "broken-disk", "full-disk"} - ALONE
OF_MACHINE = {"clock", "slow-disk"}
OF_LINKS = set(network_faults.KINDS) - ALONE
FAMILIES = (OF_NODE, OF_MACHINE, OF_LINKS)
COMPANY_CHANCE = 0.45
LEADER_CHANCE = 0.5
LASTS_SECONDS = (0.3, 2.5)
# Some of it longer than a client waits for an answer.
STANDSTILL_SECONDS = (1.0, 12.0)


class Account(msgspec.Struct):
    """What one kind of fault caused, together with what came with it."""

    count: int = 0
    leader_changes: int = 0
    silence: float = 0.0
    recovery: float = 0.0


class Rounds:
    """Deals faults from a deck that holds each kind once, so that a short run sees them all."""

    def __init__(
        self,
        site: Site,
        kinds: Sequence[str],
        seed: int,
        wait: Callable[[float], None],
        silence: Callable[[], float],
    ) -> None:
        """`wait` lets time pass; `silence` is the longest time without service since last asked."""
        self.accounts = {kind: Account() for kind in kinds}
        self.count = 0
        self._site = site
        self._kinds = list(kinds)
        self._seed = seed
        self._wait = wait
        self._silence = silence
        self._deck: list[str] = []

    def one(self) -> None:
        """One round, to its end."""
        self._bury()
        self.count += 1
        # Each has dice of its own: what a former one drew, or did not, changes nothing.
        dice = random.Random(f"{self._seed}/{self.count}")
        # Links first, also when they are healed: a node that comes back may have to be told
        # something, or to be replaced.
        kinds = sorted(deal(self._kinds, self._deck, dice), key=lambda kind: kind not in OF_LINKS)
        victim = self._victim(dice)
        lasts = dice.uniform(*(STANDSTILL_SECONDS if kinds == ["standstill"] else LASTS_SECONDS))
        views = self._views()
        self._silence()
        heals = [KINDS[kind](self._site, victim, dice) for kind in kinds]
        self._wait(lasts)
        healed = time.monotonic()
        for heal in heals:
            heal()
        self._site.nodes.whole()
        recovery = time.monotonic() - healed
        changes = sum(now - views.get(group, now) for group, now in self._views().items())
        silence = self._silence()
        for kind in kinds:
            account = self.accounts[kind]
            account.count += 1
            account.leader_changes += changes
            account.silence = max(account.silence, silence)
            account.recovery = max(account.recovery, recovery)

    def _victim(self, dice: random.Random) -> str:
        """Any node, and every other time one that leads: there it hurts most."""
        nodes = self._site.nodes
        any_one, leader = dice.choice(nodes.names), dice.choice(nodes.config.groups).number
        return nodes.primary(leader) if dice.random() < LEADER_CHANCE else any_one

    def _views(self) -> dict[int, int]:
        """The highest view of each group that any node knows of."""
        found: dict[int, int] = {}
        for status in self._site.nodes.status().values():
            for group in status.groups:
                found[group.group] = max(found.get(group.group, 0), group.view)
        return found

    def _bury(self) -> None:
        """A node that ended although nobody ended it is a bug; bring it back all the same."""
        nodes = self._site.nodes
        for name in nodes.names:
            if not nodes.runs(name):
                problem = f"{name} ended by itself with {nodes.ended(name)}: {nodes.last(name)}"
                self._site.problems.append(problem)
                self._site.say(problem)
                nodes.start(name)
        nodes.whole()


def deal(kinds: list[str], deck: list[str], dice: random.Random) -> list[str]:
    """The next kind, and sometimes others that may come with it. An empty deck is made anew."""
    if not deck:
        deck += kinds
        dice.shuffle(deck)
    first = deck.pop()
    together = [first]
    for family in () if first in ALONE else FAMILIES:
        fitting = [one for one in kinds if one in family]
        if fitting and first not in family and dice.random() < COMPANY_CHANCE:
            together.append(dice.choice(fitting))
    return together
