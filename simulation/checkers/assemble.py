"""Every checker of a run, and what each needs to know. docs/simulation.md lists what they hold."""

from collections.abc import Callable
from typing import Protocol

from simulation.checkers.audit import Audit, Tenants
from simulation.checkers.base import Checker, Files, Log, Replica
from simulation.checkers.clients import ExactlyOnce, RealTime, Replies, Validity
from simulation.checkers.damage import Damage
from simulation.checkers.disks import Disks, Erased
from simulation.checkers.limits import Asking, Calm, Queues
from simulation.checkers.linearizable import Histories
from simulation.checkers.log import Agreement, Durability, HashChain, OutcomeChain, Timestamps
from simulation.checkers.messages import AcksDurable, Promises, SameStory, ViewsDurable
from simulation.checkers.placement import Leaks, Placement
from simulation.checkers.replicas import Forward, Kept, Remembered, Snapshots, Versions
from simulation.checkers.sessions import Sessions
from simulation.checkers.streams import Streams
from simulation.checkers.stuck import Stuck
from simulation.checkers.views import Leaders, Truncation
from veritydb.types.frame import Header

SEARCHED_EVERY = 4
"""In one of so many runs the orders of clients' histories are searched for."""


class Questions(Protocol):
    """What checkers ask of the machines of a run: of their disks, that is."""

    outside: set[Replica]

    def survives(self, key: Replica, header: Header) -> bool:
        """Whether a power cut would leave this frame and its record, injected rot aside."""

    def holds(self, key: Replica, header: Header) -> bool:
        """The same, and nothing is put aside: neither rot nor what a disk took back."""

    def acknowledged_survives(self, key: Replica, op: int, digest: bytes) -> bool:
        """The same, for a frame known by its hash."""

    def durable_views(self, key: Replica) -> tuple[int, int]:
        """(view, log view) that a power cut would leave."""

    def recorded(self, key: Replica, op: int) -> Header | None:
        """The header that a replica's journal names."""

    def header_of(self, digest: bytes) -> Header | None:
        """The header of a frame that was ever written, by its hash."""

    def erased(self, key: Replica, segment: int) -> dict[int, Erased]:
        """Where in a segment file bytes were erased, by op."""

    def kernel_of(self, key: Replica) -> int:
        """The newest version of the kernel that a replica's program knows."""

    def files(self) -> dict[Replica, Files]:
        """Every replica's disk."""

    def damaged_disks(self) -> set[Replica]:
        """Whose disks lost more than the protocol knows how to bring back."""


class Checkers:
    """All of them, those that are also asked directly by name."""

    def __init__(
        self,
        seed: int,
        log: Log,
        homes: dict[int, tuple[int, ...]],
        cluster: Questions,
        now: Callable[[], int],
        latest: Callable[[], int],
    ) -> None:
        """`homes` are the nodes of each group; `latest()` bounds what any clock says."""
        sizes = {group: len(nodes) for group, nodes in homes.items()}
        self.streams = Streams()
        self.placement = Placement({group: frozenset(nodes) for group, nodes in homes.items()})
        self.leaks = Leaks()
        self.histories = Histories(self.streams.contents, seed % SEARCHED_EVERY == 0)
        durability = Durability(log, cluster.survives)
        durability.groups, durability.outside = sizes, cluster.outside
        self.all: list[Checker] = [
            Agreement(log),
            HashChain(log),
            Timestamps(log, latest),
            durability,
            OutcomeChain(log),
            Audit(),
            Tenants(),
            Sessions(),
            ExactlyOnce(),
            Validity(),
            Replies(log),
            RealTime(),
            self.streams,
            ViewsDurable(cluster.durable_views),
            AcksDurable(cluster.acknowledged_survives),
            SameStory(),
            Promises(log, cluster.recorded),
            Leaders(log, sizes),
            Truncation(sizes, cluster.header_of, cluster.holds),
            Forward(),
            Kept(),
            Remembered(),
            Snapshots(),
            Versions(cluster.kernel_of),
            Damage(),
            Queues(),
            Calm(),
            Asking(now),
            Stuck(now),
            Disks(log, cluster.files, cluster.damaged_disks, cluster.erased),
            self.histories,
            self.placement,
            self.leaks,
        ]
