"""What checkers are told of messages, of replicas and of a process's first moment."""

from simulation.checkers.base import Load, Replica, SentFact, Standing, Start
from veritydb.node.node import Node
from veritydb.types.durable import Recovered
from veritydb.vsr import messages
from veritydb.vsr.config import NORMAL
from veritydb.vsr.replica import Replica as Vsr

PLAIN = frozenset({messages.Ping, messages.Pong, messages.Heartbeat, messages.StartViewChange})
"""Most messages are of these, and all of them say no more than whose they are."""
GIVING = messages.Frames | messages.Headers
ASKING = messages.RequestFrames | messages.RequestHeaders | messages.RequestHistory


def sent_fact(sender: Replica, life: int, to: int, message: messages.Message) -> SentFact:
    """What checkers are told of a message."""
    op, digest, content, log_view, commit, asked = 0, b"", b"", 0, 0, (0, 0)
    kind = type(message)
    if kind in PLAIN:
        pass
    elif isinstance(message, messages.PrepareOk):
        op, digest = message.op, message.hash
    elif isinstance(message, messages.Prepare):
        op, digest = message.frame.header.op, message.frame.header.hash
    elif isinstance(message, messages.DoViewChange):
        log_view, op = message.log_view, message.op
        content = b"".join(header.hash for header in message.headers)
    elif isinstance(message, messages.StartView):
        op, commit = message.op, message.commit
        digest = message.headers[-1].hash if message.headers else b""
    elif isinstance(message, GIVING):
        # It says of them that they are part of its view's log, or only that they are here.
        log_view = message.view if message.normal else 0
    elif isinstance(message, ASKING):
        asked = (message.first, message.last)
    elif isinstance(message, messages.RequestSnapshotPart):
        asked = (message.op, message.at)
    return SentFact(
        sender,
        life,
        message.incarnation,
        kind.__name__,
        message.view,
        log_view,
        op,
        digest,
        content,
        to,
        commit,
        asked,
    )


def standing(life: int, replica: Vsr) -> Standing:
    """Where a replica stands. It is asked after each step, so the shortest way is taken."""
    s = replica._s
    return Standing(
        life,
        s.status is NORMAL,
        s.is_primary,
        s.view,
        s.log_view,
        s.commit,
        s.commit_max,
        s.log.head,
    )


def state_of(node: Node) -> tuple[str, int, int, int, int]:
    """Role, view, commit, applied and op, for the timeline."""
    s = node.replica._s
    if s.status is NORMAL and s.backfill is None and node.halted is None:
        # So it is nearly always, and `role` looks at much more.
        role = "primary" if s.primary == s.index else "backup"
    else:
        role = node.role
    return role, s.view, s.commit_max, node.applied, s.log.head


def start_of(node: Node, recovered: Recovered, incarnation: int) -> Start:
    """What a process begins with."""
    headers = recovered.headers
    return Start(
        op=node.applied,
        head=recovered.head,
        hash=headers[-1].hash if headers else b"",
        certain=recovered.head_certain,
        incarnation=incarnation,
    )


def load_of(node: Node, writes: int, reads: int) -> Load:
    """How much waits in a process: for a place in the log, for the disk, and for an answer."""
    replica = node.replica
    return Load(
        waiting=replica.pending_entries,
        waiting_bytes=replica.pending_bytes,
        writes=writes,
        reads=reads,
    )
