"""Planted bugs, each of a kind that real systems had. The search has to find every one.

A bug changes the running code of this process for good, so each is hunted in a process of its own.
They are hunted without looking at promises: by what they lead to, not by the first sign of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from simulation.canaries.planting import put, replace
from simulation.model.scopes import Begin, Scope
from veritydb.storage import recovery
from veritydb.types.durable import Recovered
from veritydb.types.ids import Op
from veritydb.vsr import install, merge, quorum, read_index, replica, view_change
from veritydb.vsr import state as vsr_state
from veritydb.vsr.log import Log
from veritydb.vsr.state import State


class Planted(NamedTuple):
    """A planted bug, and the scope in which it is hunted."""

    name: str
    plant: Callable[[], None]
    scope: Scope


def _ack_before_sync() -> None:
    put(Log, "durable", property(lambda log: log.head))


def _view_not_durable() -> None:
    write = State.write_view_state

    def hasty(s: State) -> None:
        write(s)
        s.view_durable = s.view

    put(State, "write_view_state", hasty)


def _log_view_not_durable() -> None:
    write = State.write_view_state

    def hasty(s: State) -> None:
        write(s)
        s.view_durable, s.log_view_durable = s.view, s.log_view

    put(State, "write_view_state", hasty)


def _old_log_view_counts() -> None:
    decide = merge.merge

    def merging(dvcs: Any, replicas: int) -> Any:
        if len(dvcs) < quorum.quorum(replicas):
            return decide(dvcs, replicas)
        oldest = min(dvcs, key=lambda dvc: (dvc.log_view, -dvc.op))
        headers = {header.op: header for header in oldest.headers}
        return merge.Merged(oldest.op, min(merge.committed(dvcs), oldest.op), headers)

    replace(decide, merging)


def _rotten_is_nacked() -> None:
    tell = view_change.do_view_change

    def nacking(s: State) -> Any:
        message = tell(s)
        bits = sum(1 << at for at, h in enumerate(message.headers) if s.log.is_faulty(h.op))
        return msgspec.structs.replace(message, nacks=message.nacks | bits)

    replace(tell, nacking)


def _vote_counted_twice() -> None:
    for module in (merge, view_change):
        put(module, "quorum", lambda replicas: 1)


def _ack_counted_twice() -> None:
    replace(quorum.reached, lambda values: max(values))


def _one_nack_is_enough() -> None:
    replace(quorum.nack_quorum, lambda replicas: 1)


def _tail_left_out() -> None:
    suffix = vsr_state.suffix

    def shorter(s: State) -> Any:
        headers = suffix(s)
        return headers[:-1] if len(headers) > 1 else headers

    replace(suffix, shorter)


def _logs_not_compared() -> None:
    replace(install.reconcile, lambda s, work: Op(min(s.log.head, work.op)))


def _restarted_primary_goes_on() -> None:
    begin = replica._start

    def going_on(s: State, recovered: Recovered) -> None:
        if s.primary == s.index and s.log_view == s.view and s.replicas > 1:
            s.leading = True
            s.view_start = s.log.head
            return
        begin(s, recovered)

    replace(begin, going_on)


def _read_without_round() -> None:
    def on_read_index(s: State, token: int) -> None:
        s.reads.append((token, 0, s.commit))

    replace(read_index.on_read_index, on_read_index)


def _uncertain_head_votes() -> None:
    recover = recovery.recover

    def certain(*args: Any) -> recovery.Plan:
        plan = recover(*args)
        recovered = msgspec.structs.replace(plan.recovered, head_certain=True)
        return msgspec.structs.replace(plan, recovered=recovered)

    replace(recover, certain)


STATES_MAX = 1_500_000
"""A bug that is not found among so many is not found."""
PLANTED = (
    Planted(
        "acknowledged before it is durable",
        _ack_before_sync,
        Scope(name="crash", views=1, requests=1, crashes=1),
    ),
    Planted(
        "view promised before it is durable",
        _view_not_durable,
        Scope(name="crash", views=2, requests=1, timeouts=1, crashes=1),
    ),
    Planted(
        "log view promised before it is durable",
        _log_view_not_durable,
        Scope(name="crash", views=3, requests=1, timeouts=2, crashes=1),
    ),
    Planted(
        "a log of an older log view counts",
        _old_log_view_counts,
        Scope(name="divided", views=3, timeouts=2, begin=Begin.DIVIDED),
    ),
    Planted(
        "a rotten frame is nacked",
        _rotten_is_nacked,
        Scope(name="rot", views=2, requests=1, timeouts=2, crashes=1, rots=1),
    ),
    Planted(
        "a vote counts twice",
        _vote_counted_twice,
        Scope(name="view change", views=2, requests=1, timeouts=2),
    ),
    Planted(
        "an acknowledgement counts twice",
        _ack_counted_twice,
        Scope(name="view change", views=2, requests=1, timeouts=2),
    ),
    Planted(
        "one nack is enough",
        _one_nack_is_enough,
        Scope(name="view change", views=2, requests=1, timeouts=2),
    ),
    Planted(
        "the tail is left out of DoViewChange",
        _tail_left_out,
        Scope(name="view change", views=2, requests=2, timeouts=2),
    ),
    Planted(
        "logs are not compared in a view change",
        _logs_not_compared,
        Scope(name="two requests", views=2, requests=2, timeouts=2),
    ),
    Planted(
        "a restarted primary goes on",
        _restarted_primary_goes_on,
        Scope(name="crash", views=1, requests=2, crashes=1),
    ),
    Planted(
        "a read without asking a quorum",
        _read_without_round,
        Scope(name="read", views=2, requests=1, timeouts=2, reads=1),
    ),
    Planted(
        "a replica votes with an uncertain head",
        _uncertain_head_votes,
        Scope(name="rot", views=2, requests=1, timeouts=2, crashes=1, rots=1),
    ),
)
