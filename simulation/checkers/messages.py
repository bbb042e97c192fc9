"""What no message may promise before it is true, checked as it leaves the machine."""

from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Checker, Log, Replica, SentFact, Start
from veritydb.types.frame import Header

NO_PROMISE = frozenset(
    {
        *("Ping", "Pong", "RequestStartView", "RequestHeaders", "RequestFrames", "Replaced"),
        *("RequestSnapshot", "SnapshotOffer", "RequestSnapshotPart", "SnapshotPart"),
        *("RequestHistory", "HistoryPart", "Promised"),
    }
)
"""Messages whose view claims nothing."""
AS_NORMAL = frozenset({"Prepare", "PrepareOk", "Heartbeat", "StartView"})
"""Messages that say: I have taken up this view's log."""


class ViewsDurable(Checker):
    """No message of a view that the sender would have forgotten after a power cut."""

    name: ClassVar[str] = "views-durable"

    def __init__(self, durable: Callable[[Replica], tuple[int, int]]) -> None:
        """`durable(replica)` is (view, log view) as its disk would have them after a power cut."""
        self._durable = durable

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind not in NO_PROMISE

    def sent(self, fact: SentFact) -> None:
        """Compare the message with the disk."""
        view, log_view = self._durable(fact.sender)
        if fact.view > view:
            self.fail(f"{fact.sender} sends {fact.kind} of view {fact.view}; durable is {view}")
        if fact.kind in AS_NORMAL and fact.view != log_view:
            self.fail(
                f"{fact.sender} sends {fact.kind} of view {fact.view}; durable log view {log_view}"
            )
        if fact.log_view > log_view:
            self.fail(f"{fact.sender} claims log view {fact.log_view}; durable is {log_view}")


class AcksDurable(Checker):
    """An acknowledged frame would be there after a power cut, byte for byte."""

    name: ClassVar[str] = "acks-durable"

    def __init__(self, survives: Callable[[Replica, int, bytes], bool]) -> None:
        """`survives(replica, op, hash)` asks the disk."""
        self._survives = survives
        self._known: set[tuple[Replica, int, int, bytes]] = set()

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind == "PrepareOk"

    def sent(self, fact: SentFact) -> None:
        """Compare the acknowledgement with the disk."""
        if fact.op == 0:
            return
        key = (fact.sender, fact.life, fact.op, fact.hash)
        if key in self._known:
            return
        if not self._survives(fact.sender, fact.op, fact.hash):
            self.fail(f"{fact.sender} acknowledges op {fact.op}, which a power cut would take")
        self._known.add(key)


class Promises(Checker):
    """Whoever has lost a disk, or the end of a log, speaks only once it holds what it had promised.

    That is what was decided, up to the last op that was acknowledged in its name.
    """

    name: ClassVar[str] = "promises"

    def __init__(self, log: Log, recorded: Callable[[Replica, int], Header | None]) -> None:
        """`log` is what was decided; `recorded(replica, op)` looks into a journal."""
        self._log = log
        self._recorded = recorded
        self._acked: dict[Replica, dict[tuple[int, int], dict[int, bytes]]] = {}
        self._doubts: dict[tuple[Replica, int], int] = {}

    def begun(self, replica: Replica, start: Start) -> None:
        """One that is in doubt about its log is another one, as far as its word goes."""
        if not start.certain:
            key = (replica, start.incarnation)
            self._doubts[key] = self._doubts.get(key, 0) + 1

    def forgot(self, replica: Replica) -> None:
        """Its disk has taken back what it was given: it cannot be in doubt about that."""
        acked = self._acked.get(replica, {})
        newest = max(acked, default=(0, 0))[0]
        self._acked[replica] = {who: ops for who, ops in acked.items() if who[0] < newest}

    def sent(self, fact: SentFact) -> None:
        """Compare with the acknowledgements of those before."""
        acked = self._acked.get(fact.sender)
        if acked is None:
            acked = self._acked[fact.sender] = {}
        doubts = self._doubts.get((fact.sender, fact.incarnation), 0) if self._doubts else 0
        who = (fact.incarnation, doubts)
        if who not in acked:
            acked[who] = {}
        if fact.kind not in ("PrepareOk", "DoViewChange"):
            return
        if who < max(acked):
            # What an old one says beside its successor counts for nobody.
            return
        if fact.kind == "PrepareOk" and fact.op == 0:
            # It only says that its primary was heard.
            return
        if fact.kind == "PrepareOk":
            acked[who][fact.op] = fact.hash
        if len(acked) == 1:
            return
        promised = self._promised(fact.sender[0], [acked[other] for other in acked if other < who])
        if fact.op < promised and not (fact.kind == "PrepareOk" and self._knows(fact, promised)):
            self.fail(f"{fact.sender} speaks for op {fact.op}; {promised} was promised in its name")

    def _knows(self, fact: SentFact, op: int) -> bool:
        """Whether it has an op in its journal, and only lacks a frame that can be read."""
        log, found = self._log.get(fact.sender[0], []), self._recorded(fact.sender, op)
        return found is not None and op <= len(log) and log[op - 1].header.hash == found.hash

    def _promised(self, group: int, before: list[dict[int, bytes]]) -> int:
        """The last op that was acknowledged, and decided as it was acknowledged."""
        log = self._log.get(group, [])
        return max(
            (
                op
                for acked in before
                for op, digest in acked.items()
                if op <= len(log) and log[op - 1].header.hash == digest
            ),
            default=0,
        )


class SameStory(Checker):
    """In one view a replica tells one story: its DoViewChange never changes, nor a StartView's log.

    And after having left a view it acknowledges nothing in it. Its successor on a new disk may: who
    knows of that one heeds nothing of what was told before.
    """

    name: ClassVar[str] = "same-story"

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[tuple[Replica, int, int], bytes] = {}
        self._left: dict[tuple[Replica, int], int] = {}
        self._prepared: dict[tuple[int, int, int], bytes] = {}

    def forgot(self, replica: Replica) -> None:
        """Its earlier story counts no more: it does not know it."""
        self._told = {key: story for key, story in self._told.items() if key[0] != replica}
        self._left = {key: view for key, view in self._left.items() if key[0] != replica}

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind in ("DoViewChange", "Prepare", "PrepareOk")

    def sent(self, fact: SentFact) -> None:
        """Compare with what was told before."""
        who = (fact.sender, fact.incarnation)
        if fact.kind == "DoViewChange":
            story = self._told.setdefault((*who, fact.view), fact.content)
            if story != fact.content:
                self.fail(f"{fact.sender} tells another log in view {fact.view} than before")
            self._left[who] = max(self._left.get(who, 0), fact.view)
        elif fact.kind == "PrepareOk" and fact.view < self._left.get(who, 0):
            self.fail(f"{fact.sender} acknowledges in view {fact.view}, which it has left")
        elif fact.kind == "Prepare":
            key = (fact.sender[0], fact.view, fact.op)
            if self._prepared.setdefault(key, fact.hash) != fact.hash:
                self.fail(f"two different ops {fact.op} are prepared in view {fact.view}")
