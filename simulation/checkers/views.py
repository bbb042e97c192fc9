"""What must hold between the views that follow each other."""

from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Checker, Log, Replica, SentFact
from veritydb.types.frame import Header

PRIMARYS = frozenset({"Prepare", "Heartbeat", "StartView"})
"""Messages that only the primary of their view may send."""


class Leaders(Checker):
    """A view is led by its primary alone, and its acknowledgements go there.

    Whoever begins to lead has every op that was decided before: it says so in its first StartView.
    """

    name: ClassVar[str] = "leaders"

    def __init__(self, log: Log, sizes: dict[int, int]) -> None:
        """`sizes` tells how many replicas each group has."""
        self._log = log
        self._sizes = sizes
        self._begun: dict[tuple[int, int], int] = {}
        self._latest: dict[int, int] = {}

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind == "PrepareOk" or kind in PRIMARYS

    def sent(self, fact: SentFact) -> None:
        """Look at who says it to whom, and at what a new primary has."""
        group, index = fact.sender
        primary = fact.view % self._sizes[group]
        if fact.kind in PRIMARYS and index != primary:
            self.fail(f"{fact.sender} sends {fact.kind} in view {fact.view} of {primary}")
        if fact.kind == "PrepareOk" and fact.to not in (-1, primary):
            self.fail(f"{fact.sender} acknowledges to {fact.to} in view {fact.view} of {primary}")
        if fact.kind == "StartView":
            self._complete(fact)

    def _complete(self, fact: SentFact) -> None:
        group = fact.sender[0]
        log = self._log.get(group, [])
        if (group, fact.view) not in self._begun:
            # A view that begins when a later one has begun owes nothing of that one.
            latest = self._latest.get(group, -1)
            self._begun[(group, fact.view)] = len(log) if fact.view > latest else 0
            self._latest[group] = max(latest, fact.view)
        owed = self._begun[(group, fact.view)]
        if fact.op < owed:
            self.fail(f"view {fact.view} begins with op {fact.op}; decided were {owed}")
        if 0 < fact.op <= owed and log[fact.op - 1].header.hash != fact.hash:
            self.fail(f"view {fact.view} begins with another op {fact.op} than was decided")
        if fact.op < fact.commit:
            self.fail(f"view {fact.view} ends with op {fact.op}, of which {fact.commit} count")


class Truncation(Checker):
    """What is cut off a log was never acknowledged by a quorum, in any view.

    An acknowledgement is for all ops up to its own, along the chain of hashes.
    """

    name: ClassVar[str] = "truncation"

    def __init__(
        self,
        sizes: dict[int, int],
        header_of: Callable[[bytes], Header | None],
        holds: Callable[[Replica, Header], bool],
    ) -> None:
        """`header_of` knows every frame ever written by its hash; `holds` asks a disk."""
        self._sizes = sizes
        self._header_of = header_of
        self._holds = holds
        self._acks: dict[tuple[int, int], dict[int, tuple[int, bytes]]] = {}

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind == "PrepareOk"

    def sent(self, fact: SentFact) -> None:
        """Note the last thing that each replica acknowledged in each view."""
        if fact.op:
            acks = self._acks.setdefault((fact.sender[0], fact.view), {})
            if fact.op >= acks.get(fact.sender[1], (0, b""))[0]:
                acks[fact.sender[1]] = (fact.op, fact.hash)

    def erased(self, replica: Replica, headers: list[Header]) -> None:
        """Count who acknowledged what goes."""
        group = replica[0]
        size = self._sizes[group]
        for (of, view), acks in self._acks.items():
            if of != group or not headers or view < headers[0].view:
                continue
            primary = view % size
            for header in headers:
                who = {at for at, ack in acks.items() if self._contains(ack, header)}
                if replica[1] == primary or self._holds((group, primary), header):
                    who.add(primary)
                if len(who) > size // 2:
                    self.fail(
                        f"{replica} gives up op {header.op}, which {sorted(who)} hold in {view}"
                    )

    def _contains(self, ack: tuple[int, bytes], header: Header) -> bool:
        op, digest = ack
        while op > header.op:
            found = self._header_of(digest)
            if found is None:
                return False
            op, digest = op - 1, found.previous
        return op == header.op and digest == header.hash
