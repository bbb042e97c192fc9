"""Mistakes in leaving a view, in deciding on the next one's log, and in taking it up."""

from typing import Any

import msgspec

from simulation.canaries.planting import ASSERTED, Canary, put, replace
from veritydb.types.durable import Recovered
from veritydb.types.frame import Frame, seal
from veritydb.types.ids import Op, View
from veritydb.vsr import install, merge, normal, quorum, replica, view_change
from veritydb.vsr import state as vsr_state
from veritydb.vsr.config import Status
from veritydb.vsr.messages import Prepare
from veritydb.vsr.state import State


def _quorum_too_small() -> None:
    replace(quorum.reached, lambda values: sorted(values)[-1])


def _one_nack_is_enough() -> None:
    replace(quorum.nack_quorum, lambda replicas: 1)


def _nothing_is_given_up() -> None:
    """An op that only a few hold is waited for, also where it can never have counted."""
    decide = merge.merge

    def waiting(dvcs: Any, replicas: int) -> Any:
        merged = decide(dvcs, replicas)
        if not isinstance(merged, merge.Merged):
            return merged
        for op in range(merged.commit + 1, merged.head + 1):
            holders = sum(merge.has(dvc, merged.headers[op]) for dvc in dvcs)
            if holders < quorum.quorum(replicas):
                return merge.Undecided.AWAIT_REPAIR
        return merged

    replace(decide, waiting)


def _view_change_alone() -> None:
    for module in (merge, view_change):
        put(module, "quorum", lambda replicas: 1)


def _tail_left_out() -> None:
    suffix = vsr_state.suffix

    def shorter(s: State) -> Any:
        headers = suffix(s)
        return headers[:-1] if len(headers) > 1 else headers

    replace(suffix, shorter)


def _tail_counts_as_committed() -> None:
    replace(merge.committed, lambda dvcs: max(dvc.op for dvc in dvcs))


def _story_changes() -> None:
    """What a DoViewChange says is not frozen when the view is left, but what the log is now."""
    tell = view_change.do_view_change

    def changing(s: State) -> Any:
        low = max(1, min(s.commit_max, s.log.head) - s.now // 50_000_000 % 3)
        known = [s.log.headers[op] for op in range(low, s.log.head + 1) if op in s.log.headers]
        s.view_headers = tuple(known)
        return tell(s)

    replace(tell, changing)


def _logs_not_compared() -> None:
    """What a view change decided against stays in the log of whoever has it."""
    replace(install.reconcile, lambda s, work: Op(min(s.log.head, work.op)))


def _any_log_view_counts() -> None:
    decide = merge.merge

    def merging(dvcs: Any, replicas: int) -> Any:
        if len(dvcs) < quorum.quorum(replicas):
            return decide(dvcs, replicas)
        oldest = min(dvcs, key=lambda dvc: (dvc.log_view, -dvc.op))
        headers = {header.op: header for header in oldest.headers}
        return merge.Merged(oldest.op, min(merge.committed(dvcs), oldest.op), headers)

    replace(decide, merging)


def _restarted_primary_goes_on() -> None:
    begin = replica._start

    def going_on(s: State, recovered: Recovered) -> None:
        whole = recovered.head_certain and not s.recovering
        mine = s.primary == s.index and s.members[s.index] == s.incarnation
        if whole and mine and s.log_view == s.view and s.replicas > 1:
            s.leading = True
            s.view_start = s.log.head
            return
        begin(s, recovered)

    replace(begin, going_on)


def _waits_for_a_primary() -> None:
    """After any restart a replica has no voice until a primary has told it how the log ends."""
    begin = replica._start

    def waiting(s: State, recovered: Recovered) -> None:
        begin(s, recovered)
        if s.replicas > 1 and s.status in (Status.NORMAL, Status.VIEW_CHANGE):
            s.status = Status.RECOVERING_HEAD

    replace(begin, waiting)


def _view_is_guessed() -> None:
    """A Prepare of a later view is followed without its StartView."""
    follow = normal.follows

    def following(s: State, message: Any) -> bool:
        if message.view > s.view and s.status == Status.NORMAL and not s.leading:
            s.view = s.log_view = s.view_durable = s.log_view_durable = View(message.view)
            s.common = s._common()
            return True
        return follow(s, message)

    replace(follow, following)


def _start_view_says_nothing() -> None:
    begin = normal.start_view

    def empty(s: State, nonce: int) -> Any:
        return msgspec.structs.replace(begin(s, nonce), headers=())

    replace(begin, empty)


def _recovered_too_soon() -> None:
    """A voice comes back with the first StartView, not with the ops it tells of."""
    finish = install.finish_recovery

    def early(s: State) -> None:
        s.recovering = min(s.recovering, s.log.durable)
        finish(s)

    replace(finish, early)


def _replacement_votes() -> None:
    """A replacement with an empty disk speaks for its index at once."""
    begin = replica._start

    def starting(s: State, recovered: Recovered) -> None:
        s.members[s.index] = max(s.members[s.index], s.incarnation)
        begin(s, recovered)

    replace(begin, starting)


def _uncommitted_sealed_anew() -> None:
    """A new primary gives the ops it takes over new headers, of its own view."""
    lead = install.lead

    def leading(s: State) -> None:
        lead(s)
        ops = range(s.commit_max + 1, s.log.head + 1)
        frames = [s.log.frames[op] for op in ops if op in s.log.frames]
        if not frames or len(frames) < len(ops) or frames[0].header.op <= s.commit:
            return
        s.cut(Op(frames[0].header.op - 1))
        s.acked = [min(op, s.log.head) for op in s.acked]
        for frame in frames:
            previous = s.log.hash_at(s.log.head)
            header = msgspec.structs.replace(frame.header, view=s.view, previous=previous)
            s.append(Frame(seal(header), frame.body))
            s.broadcast(Prepare(**s.common, commit=s.commit_max, frame=s.unwritten[-1]))

    replace(lead, leading)


def _suspects_at_once() -> None:
    """A primary is given less time than there is between two heartbeats."""
    tick = view_change.on_tick

    def hasty(s: State) -> None:
        s.suspect_after = min(s.suspect_after, s.config.heartbeat // 4)
        tick(s)

    replace(tick, hasty)


def _never_abdicates() -> None:
    """A primary goes on with its heartbeats, whether it gets anywhere or not."""
    replace(view_change.abdicate_if_stuck, lambda s: None)


FORKS = ("agreement", "durability", "truncation", "leaders", "halted")
RECOVERS = ("kept", "promises", "truncation", "agreement", "durability", "leaders", "halted")
# Where nothing goes wrong, such a bug may show by what it costs.
COSTS = ("liveness", "calm", "steady")
CANARIES = (
    Canary("quorum too small", "one is enough", ("durability", "agreement"), _quorum_too_small),
    Canary("one nack is enough", "to give up an op", FORKS, _one_nack_is_enough, (10,)),
    Canary("nothing is given up", "", COSTS, _nothing_is_given_up, (13,)),
    Canary(
        "view changed alone", "quorum of one", (*FORKS, "same-story"), _view_change_alone, (23,)
    ),
    Canary("tail left out", "of DoViewChange", FORKS, _tail_left_out, (8,)),
    Canary("tail counts as committed", "", FORKS, _tail_counts_as_committed, (10,)),
    Canary("DoViewChange changes", "within a view", ("same-story",), _story_changes, (18,)),
    Canary("logs not compared", "", (*FORKS, ASSERTED), _logs_not_compared, (19, 20, 22)),
    Canary("old log view counts", "in a merge", FORKS, _any_log_view_counts, (6, 9)),
    Canary(
        "restarted primary goes on",
        "in its view",
        ("same-story", "halted", ASSERTED),
        _restarted_primary_goes_on,
    ),
    Canary("waits for a primary", "at a start", COSTS, _waits_for_a_primary, (7,)),
    Canary("view taken from a Prepare", "", ("views-durable", "halted"), _view_is_guessed, (1,)),
    Canary("StartView says nothing", "", (*FORKS, "liveness"), _start_view_says_nothing, (22,)),
    Canary("recovered too soon", "", RECOVERS, _recovered_too_soon, (5,)),
    Canary("replacement votes at once", "", RECOVERS, _replacement_votes, (14,)),
    Canary("sealed anew", "ops taken over", (*FORKS, ASSERTED), _uncommitted_sealed_anew, (46,)),
    Canary("never abdicates", "", ("stuck", "liveness"), _never_abdicates, (24,)),
    Canary("suspects at once", "views never settle", COSTS, _suspects_at_once, (35,)),
)
