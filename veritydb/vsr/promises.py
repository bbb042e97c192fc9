"""What peers have acknowledged, held against what they say later.

A disk that takes back what it had called durable makes its replica deny what it promised, and the
replica cannot know. A primary can: an op that it counted as committed stays in the log of everybody
who acknowledged it. So whoever says otherwise is told what it had promised, has no say, and stops.
This is no proof against such disks: it takes a primary that has not restarted since, and is heard.
"""

from veritydb.types.ids import Op, View
from veritydb.types.marks import mark
from veritydb.vsr.effects import HaltKind
from veritydb.vsr.messages import DoViewChange, PrepareOk, Promised
from veritydb.vsr.state import State


def remember(s: State, peer: int) -> None:
    """Note up to where a peer holds what is committed, by its own word to us."""
    assert s.leading
    view, op = s.promised[peer]
    s.promised[peer] = (s.view, max(op, Op(min(s.acked[peer], s.commit_max))))
    assert view <= s.view


def denies(s: State, message: PrepareOk | DoViewChange) -> bool:
    """Whether a peer has less than it promised. Then it is told so."""
    view, op = s.promised[message.sender]
    log_view = message.log_view if isinstance(message, DoViewChange) else message.view
    assert op >= 0
    if log_view >= view and message.op >= op:
        return False
    mark("vsr.promise_denied")
    whose = s.members[message.sender]
    peer = message.sender
    told = Promised(**s.common, index=peer, whose=whose, in_view=View(view), op=Op(op))
    s.send(peer, told)
    return True


def on_promised(s: State, message: Promised) -> None:
    """Stop if an earlier life promised what this one did not find on its disk."""
    assert message.sender != s.index
    if (message.index, message.whose) != (s.index, s.incarnation) or s.found is None:
        mark("vsr.promise_of_another")
        return
    view = max(s.found[0], s.acknowledged[0])
    op = max(s.found[1], s.acknowledged[1])
    if view >= message.in_view and op >= message.op:
        mark("vsr.promise_kept")
        return
    s.halt(
        HaltKind.LOST_DISK,
        f"op {message.op} was acknowledged here in view {message.in_view}, and the disk had "
        f"op {s.found[1]} of view {s.found[0]}: it has lost what it had called durable",
    )
