"""What must hold of one replica for as long as it lives, and over its restarts."""

from collections.abc import Callable
from typing import ClassVar

from simulation.checkers.base import Checker, Replica, SentFact, Standing, Start
from veritydb.types.durable import SnapshotRef, Superblock, ViewState
from veritydb.types.frame import Header
from veritydb.types.limits import PIPELINE_OPS_MAX


class Forward(Checker):
    """Views and commits only grow; a log is shown to be no longer than it may be."""

    name: ClassVar[str] = "forward"

    def __init__(self) -> None:
        """Nobody runs."""
        self._last: dict[Replica, Standing] = {}

    def stepped(self, replica: Replica, standing: Standing) -> None:
        """Compare with the step before, and the numbers with each other."""
        now, before = standing, self._last.get(replica)
        self._last[replica] = now
        if now.log_view > now.view or (now.normal and now.log_view != now.view):
            self.fail(f"{replica} is in view {now.view} with the log of view {now.log_view}")
        if now.commit > now.commit_max or now.commit > now.op:
            self.fail(
                f"{replica} has committed {now.commit} of {now.commit_max}, its log has {now.op}"
            )
        if now.leading and now.op - now.commit_max > PIPELINE_OPS_MAX:
            self.fail(f"{replica} proposes op {now.op} when {now.commit_max} are committed")
        if before is None or before.life != now.life:
            return
        if (
            now.view < before.view
            or now.log_view < before.log_view
            or now.commit < before.commit
            or now.commit_max < before.commit_max
        ):
            self.fail(f"{replica} goes back from {before} to {now}")


class Kept(Checker):
    """What a replica acknowledged stays in its log until a view change gives it up.

    After a restart too: what the disk gives back contains it, or the replica is in doubt.
    """

    name: ClassVar[str] = "kept"

    def __init__(self) -> None:
        """Nothing was acknowledged."""
        self._acked: dict[Replica, tuple[int, bytes]] = {}
        self._incarnations: dict[Replica, int] = {}

    def begun(self, replica: Replica, start: Start) -> None:
        """Compare what was found with what was acknowledged."""
        if self._incarnations.get(replica) != start.incarnation or not start.certain:
            self._incarnations[replica] = start.incarnation
            self._acked.pop(replica, None)
            return
        op, digest = self._acked.get(replica, (0, b""))
        if start.head < op:
            self.fail(f"{replica} acknowledged op {op} and finds {start.head} after a restart")
        if start.head == op and digest and start.hash not in (b"", digest):
            self.fail(f"{replica} finds another op {op} than it acknowledged")

    def forgot(self, replica: Replica) -> None:
        """Its disk has taken back what it was given."""
        self._acked.pop(replica, None)

    def hears(self, kind: str) -> bool:
        """See `Checker.hears`."""
        return kind == "PrepareOk"

    def sent(self, fact: SentFact) -> None:
        """Note what is acknowledged."""
        if fact.incarnation != self._incarnations.get(fact.sender):
            return
        if fact.op >= self._acked.get(fact.sender, (0, b""))[0]:
            self._acked[fact.sender] = (fact.op, fact.hash)

    def cut(self, replica: Replica, after: int) -> None:
        """What is given up needs no longer be there."""
        if after < self._acked.get(replica, (0, b""))[0]:
            self._acked[replica] = (after, b"")

    def stepped(self, replica: Replica, standing: Standing) -> None:
        """Compare the log's length with what was acknowledged."""
        op, _ = self._acked.get(replica, (0, b""))
        if standing.op < op:
            self.fail(f"{replica} acknowledged op {op}, and its log ends with {standing.op}")


class Remembered(Checker):
    """When a replica is told that its memory is durable, the disk holds just that.

    And what is durable only moves forward.
    """

    name: ClassVar[str] = "remembered"

    def __init__(self) -> None:
        """Nothing was asked for."""
        self._asked: dict[Replica, list[tuple[int, ViewState | None, SnapshotRef | None]]] = {}
        self._found: dict[Replica, Superblock] = {}

    def begun(self, replica: Replica, start: Start) -> None:
        """What an earlier life asked for does not count."""
        self._asked[replica] = []
        found = self._found.get(replica)
        if found is not None and found.identity.incarnation != start.incarnation:
            del self._found[replica]

    def forgot(self, replica: Replica) -> None:
        """Its disk has taken back what it was given."""
        self._found.pop(replica, None)

    def asked(
        self, replica: Replica, number: int, view: ViewState | None, ref: SnapshotRef | None
    ) -> None:
        """Note it."""
        self._asked.setdefault(replica, []).append((number, view, ref))

    def remembered(self, replica: Replica, number: int, found: Superblock | None) -> None:
        """Compare the disk with what was asked for: with this, or with something after it."""
        if found is None:
            return
        before = self._found.get(replica)
        self._found[replica] = found
        if before is not None:
            self._forward(replica, before, found)
        asked = self._asked.get(replica, [])
        views = [view for at, view, _ in asked if at >= number and view is not None]
        refs = [ref for at, _, ref in asked if at >= number and ref is not None]
        this = next((row for row in asked if row[0] == number), (number, None, None))
        if this[1] is not None and found.view_state not in views:
            state = found.view_state
            self.fail(f"{replica} asked for view {this[1].view}; its disk has {state.view}")
        named, has = this[2], found.snapshot
        if named is not None and has not in refs and has.op <= named.op:
            self.fail(f"{replica} named snapshot {named.op}; its disk has {has.op}")

    def _forward(self, replica: Replica, before: Superblock, found: Superblock) -> None:
        old, new = before.view_state, found.view_state
        if found.sequence < before.sequence:
            self.fail(f"the superblock of {replica} goes back to number {found.sequence}")
        if new.view < old.view or new.log_view < old.log_view or new.log_view > new.view:
            was, has = (old.view, old.log_view), (new.view, new.log_view)
            self.fail(f"the views that {replica} remembers go from {was} to {has}")
        if found.snapshot.op < before.snapshot.op:
            self.fail(f"{replica} goes back to the snapshot of op {found.snapshot.op}")


class Versions(Checker):
    """No program applies an op that was made for a version of the kernel which it does not know."""

    name: ClassVar[str] = "versions"

    def __init__(self, newest: Callable[[Replica], int]) -> None:
        """`newest(replica)` is the newest version that its program knows."""
        self._newest = newest

    def applied(self, replica: Replica, header: Header, body: bytes, records: bytes) -> None:
        """Compare the op with the program."""
        if header.kernel > self._newest(replica):
            self.fail(f"{replica} applies op {header.op} of kernel version {header.kernel}")


class Snapshots(Checker):
    """The snapshots of one op are the same bytes on all replicas."""

    name: ClassVar[str] = "snapshots"

    def __init__(self) -> None:
        """None was taken."""
        self._taken: dict[tuple[int, int], tuple[Replica, SnapshotRef]] = {}

    def asked(
        self, replica: Replica, number: int, view: ViewState | None, ref: SnapshotRef | None
    ) -> None:
        """Compare with who was first."""
        if ref is None:
            return
        first, known = self._taken.setdefault((replica[0], ref.op), (replica, ref))
        if known != ref:
            self.fail(f"{replica} and {first} have different snapshots of op {ref.op}")
