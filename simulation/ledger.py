"""What each replica has promised, and whether enough others hold it should its disk forget."""

from typing import NamedTuple

from simulation.checkers.base import Replica
from veritydb.types.durable import ViewState


class Said(NamedTuple):
    """The most that a replica has ever promised."""

    view: int = 0
    acked_in: int = 0
    """The last view that it acknowledged anything in, and the highest op there."""
    acked: int = 0


class Held(NamedTuple):
    """What a replica's superblock says."""

    view: int = 0
    log_view: int = 0
    announced: int = 0
    """Up to where the log of the view went when it began."""


class Ledger:
    """Kept by the cluster, from what is sent and what is written."""

    def __init__(self) -> None:
        """Nobody has promised anything."""
        self.said: dict[Replica, Said] = {}
        self.held: dict[Replica, Held] = {}

    def acknowledged(self, key: Replica, view: int, op: int) -> None:
        """A replica says that all up to `op` of a view's log is durable."""
        said = self.said.get(key, Said())
        if (view, op) > (said.acked_in, said.acked):
            self.said[key] = said._replace(acked_in=view, acked=op)

    def noted(self, key: Replica, state: ViewState) -> None:
        """A replica's superblock has been written, or read."""
        said = self.said.get(key, Said())
        own = state.view == state.log_view and state.headers
        announced = state.headers[-1].op if own else 0
        self.held[key] = Held(state.view, state.log_view, announced)
        if state.view > said.view:
            self.said[key] = said._replace(view=state.view)

    def begins(self, key: Replica) -> None:
        """Another disk, which has promised nothing."""
        self.said.pop(key, None)

    def vouches(self, other: Replica, head: int, key: Replica) -> bool:
        """Whether a replica whose durable log ends with `head` holds all that `key` had promised.

        Then it will neither follow a view that `key` had left, nor deny an op that `key` had
        acknowledged.
        """
        said, held = self.said.get(key, Said()), self.held.get(other, Held())
        if held.log_view < max(said.view, said.acked_in) or head < held.announced:
            return False
        return held.log_view > said.acked_in or head >= said.acked
