"""Mistakes with what has rotted, was lost or hit another place."""

from typing import Any

import msgspec

from simulation.canaries.planting import Canary, put, replace
from veritydb.storage import decisions, recovery, segments
from veritydb.storage.decisions import Decision
from veritydb.storage.store import Store
from veritydb.types import frame as frames
from veritydb.types.durable import Recovered
from veritydb.types.frame import Frame
from veritydb.vsr import repair, view_change
from veritydb.vsr import replica as vsr_replica
from veritydb.vsr.state import State


def _rotten_is_nacked() -> None:
    tell = view_change.do_view_change

    def nacking(s: State) -> Any:
        message = tell(s)
        bits = sum(1 << at for at, h in enumerate(message.headers) if s.log.is_faulty(h.op))
        return msgspec.structs.replace(message, nacks=message.nacks | bits)

    replace(tell, nacking)


def _rotten_is_absent() -> None:
    """After a restart a rotten frame counts as never written, and so does all behind it."""
    recover = recovery.recover

    def forgetting(*args: Any) -> recovery.Plan:
        plan = recover(*args)
        if not plan.recovered.faulty:
            return plan
        first = plan.recovered.faulty[0]
        headers = tuple(h for h in plan.recovered.headers if h.op < first)
        recovered = msgspec.structs.replace(plan.recovered, headers=headers, faulty=())
        return recovery.Plan(recovered, (), True)

    replace(recover, forgetting)


def _rotten_is_served() -> None:
    def check(data: memoryview, header: Any, holes: Any) -> Frame | None:
        size = segments.BODY_AT + header.body_len
        return Frame(header, bytes(data[segments.BODY_AT : size]))

    replace(segments.check, check)


def _uncertain_head_votes() -> None:
    recover = recovery.recover

    def certain(*args: Any) -> recovery.Plan:
        plan = recover(*args)
        recovered: Recovered = msgspec.structs.replace(plan.recovered, head_certain=True)
        return msgspec.structs.replace(plan, recovered=recovered)

    replace(recover, certain)


def _torn_tail_is_doubt() -> None:
    """Where a log ends, something may have been lost: every restart is uncertain."""
    table = decisions.DECISIONS
    for found, decision in list(table.items()):
        if decision is Decision.END:
            table[found] = Decision.UNCERTAIN


def _scrub_ignores_rot() -> None:
    """Nobody does anything about rot that a reader has met."""
    replace(vsr_replica._on_frame_rotten, lambda s, event: None)


def _repair_not_written() -> None:
    put(Store, "repair", lambda self, whole: None)


def _repair_not_checked() -> None:
    """What comes to mend a frame is taken as it is; and what is given has rotted now and then."""
    give = repair._give

    def rotting(s: State, peer: int, given: tuple[Frame, ...]) -> None:
        bad = tuple(
            Frame(one.header, one.body[:-1] + b"?", one.holes) if one.header.op % 3 == 0 else one
            for one in given
        )
        give(s, peer, bad)

    replace(give, rotting)
    replace(frames.verify_root, lambda frame: True)


def _asks_without_pause() -> None:
    fetch = repair.fetch

    def impatient(s: State) -> None:
        fetch(s)
        s.fetch_due = 0

    replace(fetch, impatient)


FORKS = ("agreement", "durability", "truncation", "leaders", "halted", "kept")
LOST = ("durability", "acks-durable")
ROTTEN = ("agreement", "outcome-chain", "streams", "disks", "halted", "raised-BadEntry")
CANARIES = (
    Canary("rotten frame nacked", "as never had", FORKS, _rotten_is_nacked, (11,)),
    Canary("rotten frame forgotten", "at a start", FORKS, _rotten_is_absent, (11, 32)),
    Canary("rotten frame served", "transient rot too", (*ROTTEN, "liveness"), _rotten_is_served),
    Canary("uncertain head votes", "", FORKS, _uncertain_head_votes, (5, 12)),
    Canary("torn tail is doubt", "", ("liveness",), _torn_tail_is_doubt, (31,)),
    Canary("scrub ignores rot", "", ("liveness", "disks"), _scrub_ignores_rot),
    Canary("repair not written", "", ("disks", "liveness", *LOST), _repair_not_written),
    Canary("repair not checked", "", (*ROTTEN, *LOST), _repair_not_checked),
    Canary("asks without pause", "", ("asking", "steady"), _asks_without_pause),
)
