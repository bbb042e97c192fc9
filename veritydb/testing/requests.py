"""From a request to what became of it: the right replica, again if need be, within a time."""

from collections.abc import Iterable
from datetime import datetime

from veritydb.kernel.admission import Command, admit
from veritydb.node.effects import RefuseReason
from veritydb.node.events import Submitted
from veritydb.server.group import REASONS
from veritydb.server.refusals import MESSAGES
from veritydb.streams.state import Stream as StreamState
from veritydb.testing.replica import Answer, Replica
from veritydb.testing.world import World
from veritydb.types.entry import Entry, EntryHeader, with_body
from veritydb.types.errors import (
    ERRORS,
    Applied,
    DeadlineExceeded,
    Internal,
    Unavailable,
    VerityError,
    code_name,
)
from veritydb.types.ids import StreamId
from veritydb.types.limits import MS_NS, SECOND_NS
from veritydb.types.outcome import Code, Outcome
from veritydb.vsr.events import ReadIndex, Tick
from veritydb.wire.log import encode

TIMEOUT = 10 * SECOND_NS
"""How long a call tries, in simulated time."""
PATIENCE = SECOND_NS
PAUSE = 10 * MS_NS


class Requests(World):
    """What streams and clusters ask of the replicas."""

    def __init__(self, replicas: int, regions: Iterable[str], start: datetime) -> None:
        """See World."""
        super().__init__(replicas, regions, start)
        self._tokens = 0
        self._ids = 0

    def lead(self, number: int) -> Replica:
        """The latest of the replicas that say that they lead. Raises Unavailable."""
        replica = self._leader(number, TIMEOUT)
        if replica is None:
            raise Unavailable("no node became the primary in time")
        return replica

    def _leader(self, number: int, at_most: int) -> Replica | None:
        def leads() -> bool:
            return any(node[number].leads for node in self._nodes)

        self._wait(leads, at_most)
        found = [node[number] for node in self._nodes if node[number].leads]
        return max(found, key=lambda one: one.node.replica.view, default=None)

    def take_id(self) -> bytes:
        """16 bytes that nothing else in this cluster has for an id."""
        self._ids += 1
        return self._ids.to_bytes(16, "big")

    def state(self, group: int, stream: int) -> StreamState:
        """A stream as of now."""
        return self.fresh(group).node.kernel.streams.records[StreamId(stream)]

    def replica(self, group: int, node: int) -> Replica:
        """A group's replica on a node. Raises Unavailable if it is down."""
        self._check_node(node)
        replica = self._nodes[node][group]
        if not replica.up:
            raise Unavailable("the node is down")
        return replica

    def command(
        self, group: int, header: EntryHeader, command: Command, also: Code = Code.OK
    ) -> Outcome:
        """Have a command agreed on. Raises what its refusal stands for, unless that is `also`."""
        return self.submit(group, with_body(header, encode(command)), command, also)

    def submit(
        self, group: int, entry: Entry, command: Command | None = None, also: Code = Code.OK
    ) -> Outcome:
        """Have an entry agreed on, asking again as a client does. Raises VerityError."""
        until = self._now + TIMEOUT
        maybe = False
        refused = 0
        while self._now < until:
            replica = self._leader(group, until - self._now)
            if replica is None:
                break
            answer = self._attempt(replica, entry, command, min(until - self._now, PATIENCE))
            if answer.outcome is not None:
                outcome: Outcome = answer.outcome
                if outcome.accepted or outcome.code is also:
                    return outcome
                raise error_of(outcome.code, outcome.base)
            if answer.refused is None or answer.refused.reason is RefuseReason.DROPPED:
                maybe = True
            else:
                refused = REASONS[answer.refused.reason]
            self._wait(lambda: False, PAUSE)
        if maybe:
            raise DeadlineExceeded("no answer in time", applied=Applied.UNKNOWN)
        if refused:
            raise error_of(refused)
        raise Unavailable("no node became the primary in time")

    def _attempt(
        self, replica: Replica, entry: Entry, command: Command | None, patience: int
    ) -> Answer:
        """Ask the primary once; neither an outcome nor a refusal is silence."""
        code = admit(replica.node.kernel, entry.header, command)
        if code is not Code.OK:
            raise error_of(code)
        self._tokens += 1
        token = self._tokens
        # Its last tick may be older than the request, which would then come from the future.
        replica.step(Tick(self._now, self.wall))
        replica.step(Submitted(token, entry))
        self._wait(lambda: token in replica.answers or not replica.up, patience)
        return replica.answers.pop(token, Answer())

    def fresh(self, group: int) -> Replica:
        """The primary, with everything applied that was answered before. Raises Unavailable."""
        until = self._now + TIMEOUT
        while self._now < until:
            replica = self.lead(group)
            if self._confirmed(replica):
                return replica
            self._wait(lambda: False, PAUSE)
        raise Unavailable("no node answered in time")

    def _confirmed(self, replica: Replica) -> bool:
        """Whether a quorum still takes it for the primary."""
        self._tokens += 1
        token = self._tokens
        replica.step(ReadIndex(token))
        self._wait(lambda: token in replica.fresh or not replica.up, PATIENCE)
        commit = replica.fresh.pop(token, None)
        return commit is not None and replica.up and replica.node.applied >= commit


def error_of(code: int, actual: int = 0) -> VerityError:
    """The error that the SDK raises for a refusal."""
    kind = ERRORS.get(code, Internal)
    return kind(MESSAGES.get(code, code_name(code)), actual=actual, code=int(code))
