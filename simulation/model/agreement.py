"""What must be so of the group: it agrees, and what was agreed on is never lost."""

from simulation.model.broken import Broken
from simulation.model.promises import Facts
from simulation.model.sites import Outcome

QUORUM = 2
Agreed = tuple[tuple[bytes, int], ...]
"""By op: the hash, and in which view whoever said so first was. A history of the whole run."""


class Agreement:
    """The invariants of the group, over facts and what was agreed on so far, by number."""

    def __init__(self, facts: list[Facts]) -> None:
        """`facts` are those of every site, by its number."""
        self._facts = facts
        self.all: list[Agreed] = [()]
        self._numbers: dict[Agreed, int] = {(): 0}
        self._good: set[tuple[object, ...]] = set()

    def length(self, agreed: int) -> int:
        """How many ops were agreed on."""
        return len(self.all[agreed])

    def after(self, agreed: int, sites: tuple[int, ...], index: int, outcome: Outcome) -> int:
        """What is agreed on after a step of one replica. Raises Broken."""
        for told, point in outcome.points:
            if point < told:
                raise Broken("stale read", f"{index} reads at op {point} after op {told}")
        if outcome.commits:
            agreed = self._extended(agreed, index, self._facts[sites[index]].view, outcome)
        log = self.all[agreed]
        facts = [self._facts[site] for site in sites]
        if log:
            self._check_kept(log, facts)
        if outcome.leads:
            check_leader(log, facts[index])
        self._check_stories(facts, index)
        return agreed

    def _extended(self, agreed: int, index: int, view: int, outcome: Outcome) -> int:
        log = self.all[agreed]
        for op, digest in outcome.commits:
            if op <= len(log):
                if log[op - 1][0] != digest:
                    raise Broken("agreement", f"{index} commits another op {op} than was agreed on")
            elif op == len(log) + 1:
                log = (*log, (digest, view))
            else:
                raise Broken("order", f"{index} commits op {op} after op {len(log)}")
        if log not in self._numbers:
            self._numbers[log] = len(self.all)
            self.all.append(log)
        return self._numbers[log]

    def _check_kept(self, log: Agreed, facts: list[Facts]) -> None:
        """What was agreed on would be found on a quorum of disks, if all power failed now."""
        key = log, *(fact.kept for fact in facts)
        if key in self._good:
            return
        for at, (digest, _) in enumerate(log):
            if sum(keeps(fact, at, digest) for fact in facts) < QUORUM:
                raise Broken("lost", f"op {at + 1} was agreed on and is on less than two disks")
        self._good.add(key)

    def _check_stories(self, facts: list[Facts], index: int) -> None:
        """In one view there is one log: of any two, one begins with the other."""
        mine = facts[index].story
        if mine is None:
            return
        for fact in facts:
            other = fact.story
            if fact.replica == index or other is None or other[0] != mine[0]:
                continue
            if any(a != b for a, b in zip(mine[1], other[1], strict=False)):
                raise Broken(
                    "one log", f"{index} and {fact.replica} have different logs in view {mine[0]}"
                )


def keeps(fact: Facts, at: int, digest: bytes) -> bool:
    """Whether an op is on a replica's disk, or only rot has taken it from there."""
    return fact.kept is None or fact.kept[at : at + 1] == (digest,)


def check_leader(log: Agreed, leader: Facts) -> None:
    """A view begins with all that was agreed on in earlier views."""
    assert leader.story is not None and leader.leading
    mine = leader.story[1]
    for at, (digest, view) in enumerate(log):
        if view < leader.view and mine[at : at + 1] != (digest,):
            raise Broken("leader", f"view {leader.view} begins without op {at + 1} of view {view}")
