"""Planted bugs, each of a kind that real systems had: the simulator has to find every one.

A canary changes the running code of this process for good, so each is hunted in a process of its
own. What finds it is the checker that fails first in the standard mix of runs.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec

from simulation import transfer_canaries
from simulation.host import PERFORM, Host
from simulation.network import Packet
from simulation.run import simulate
from veritydb.kernel import admission
from veritydb.kernel import apply as kernel_apply
from veritydb.node import applier
from veritydb.policy import apply as policy
from veritydb.storage import names, recovery, segments, superblock
from veritydb.storage.journal import Journal
from veritydb.streams import append, batches, origins
from veritydb.types.durable import Recovered
from veritydb.types.frame import Frame
from veritydb.types.ids import Op, View
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code
from veritydb.vsr import (
    clock,
    commit,
    install,
    merge,
    normal,
    quorum,
    read_index,
    replica,
    view_change,
)
from veritydb.vsr import state as vsr_state
from veritydb.vsr.config import Status
from veritydb.vsr.effects import Commit
from veritydb.vsr.log import Log
from veritydb.vsr.messages import encode
from veritydb.vsr.sessions import Sessions
from veritydb.vsr.state import State

SEEDS_MAX = 500
ASSERTED = "raised-AssertionError"
"""The code itself noticed."""


@dataclass(frozen=True)
class Canary:
    """A planted bug. `finders` are the checkers that may find it; `plant` puts it in place."""

    name: str
    finders: tuple[str, ...]
    plant: Callable[[], None]


def replace(old: object, new: object) -> None:
    """Let every module of ours, and every table in one, use `new` instead of `old`."""
    found = 0
    for name, module in list(sys.modules.items()):
        if not name.startswith("veritydb.") or not isinstance(module, ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            if value is old:
                setattr(module, attribute, new)
                found += 1
            elif isinstance(value, dict):
                for key in [key for key, entry in value.items() if entry is old]:
                    value[key] = new
                    found += 1
    assert found, f"nobody uses {old}"


def replace_in(table: dict[type, Any], old: object, new: object) -> None:
    """Let one table have `new` instead of `old`."""
    for key in [key for key, value in table.items() if value is old]:
        table[key] = new


def put(owner: object, name: str, new: object) -> None:
    """Let a class or a module have something else under a name it has."""
    assert hasattr(owner, name)
    setattr(owner, name, new)


# -- promises before they are true


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


def _frames_not_synced() -> None:
    def write(self: segments.Segments, frames: Any) -> None:
        for each in frames:
            name = self._ensure(each.header.segment)
            self._disk.write(name, each.header.position, segments.padded(each))

    put(segments.Segments, "write", write)


def _records_not_written() -> None:
    def write(self: Journal, headers: Any) -> None:
        return

    put(Journal, "write", write)


def _superblock_not_synced() -> None:
    def write(disk: Any, block: Any, name: str = names.SUPERBLOCK) -> None:
        copies = [superblock.encode(block, copy) for copy in range(superblock.COPIES)]
        disk.write(name, 0, copies)

    replace(superblock.write, write)


# -- too few voices


def _quorum_too_small() -> None:
    replace(quorum.reached, lambda values: sorted(values)[-1])


def _one_nack_is_enough() -> None:
    replace(quorum.nack_quorum, lambda replicas: 1)


def _view_change_alone() -> None:
    for module in (merge, view_change):
        put(module, "quorum", lambda replicas: 1)


def _read_without_round() -> None:
    def on_read_index(s: State, token: int) -> None:
        s.reads.append((token, 0, s.commit))

    replace(read_index.on_read_index, on_read_index)


# -- what is rotten or lost


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


# -- view changes


def _tail_left_out() -> None:
    suffix = vsr_state.suffix

    def shorter(s: State) -> Any:
        headers = suffix(s)
        return headers[:-1] if len(headers) > 1 else headers

    replace(suffix, shorter)


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
        if s.primary == s.index and s.log_view == s.view and s.replicas > 1:
            s.leading = True
            s.view_start = s.log.head
            return
        begin(s, recovered)

    replace(begin, going_on)


def _commit_over_a_hole() -> None:
    def advance(s: State) -> None:
        while s.commit < min(s.certain, s.log.durable):
            s.commit = Op(s.commit + 1)
            frame = s.log.frames.get(s.commit)
            if frame is not None:
                s.out.append(Commit(frame))

    replace(commit.advance, advance)


def _no_truncation_of_commit() -> None:
    """A backup takes as committed whatever it holds."""
    put(State, "certain", property(lambda s: s.log.head))


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


# -- meaning


def _requests_not_remembered() -> None:
    def record(self: Sessions, header: Any, op: Op, outcome: bytes) -> Sessions:
        return self

    put(Sessions, "record", record)


def _origins_not_checked() -> None:
    look = origins.look

    def looking(streams: Any, header: Any) -> Any:
        seen = look(streams, header)
        return None if seen is not None and seen[0] == 1 else seen

    def record(streams: Any, header: Any, base: int) -> Any:
        return (
            streams
            if origins.get(streams, header.origin, header.stream)
            else note(streams, header, base)
        )

    note = origins.record
    replace(look, looking)
    replace(note, record)


def _batches_not_checked() -> None:
    replace(batches.find, lambda known, key: None)


def _expectations_ignored() -> None:
    replace(append.expected_holds, lambda stream, expected: True)


def _outcome_by_history() -> None:
    """An outcome depends on how much this process has done before."""
    finish = kernel_apply._finish
    calls = [0]

    def finishing(state: Any, *args: Any) -> Any:
        after, outcome, effects = finish(state, *args)
        calls[0] += 1
        return after, msgspec.structs.replace(outcome, policy=calls[0] % 5), effects

    replace(finish, finishing)


def _repeat_answered_wrong() -> None:
    def again(self: Any, first: Any, header: Any, index: int) -> Any:
        return self._outcome(first.code, header, index, base=first.base + 1)

    put(applier._Work, "_again", again)
    record = Sessions.record

    def recording(self: Sessions, header: Any, op: Op, outcome: bytes) -> Sessions:
        return record(self, header, op, outcome[:32] + bytes(8) + outcome[40:])

    put(Sessions, "record", recording)


def _chain_head_left_out() -> None:
    def applied(self: replica.Replica, op: Op, outcomes_head: bytes) -> None:
        self._s.applied_op, self._s.applied_head = op, NO_HASH

    put(replica.Replica, "applied", applied)


def _time_goes_back() -> None:
    def timestamp(self: clock.Clock, last: int) -> int | None:
        return max(1, self.wall)

    put(clock.Clock, "timestamp", timestamp)
    make = normal.make_frame

    def making(s: State, last: Any, timestamp: int, proposals: Any) -> Any:
        return make(
            s, msgspec.structs.replace(last, timestamp=0) if last else None, timestamp, proposals
        )

    replace(make, making)


def _log_time_leads() -> None:
    stamp = clock.Clock.timestamp

    def leading(self: clock.Clock, last: int) -> int | None:
        now = stamp(self, last)
        return None if now is None else now + 3_600_000_000_000

    put(clock.Clock, "timestamp", leading)


def _placement_not_checked() -> None:
    """Neither the node nor the kernel asks in which group a stream belongs."""
    replace(admission.misplaced, lambda state, header, command: Code.OK)
    replace(policy.check, lambda state, tenant, data_class, placement: Code.OK)


def _frames_sent_abroad() -> None:
    """What goes to a peer also goes to a node of another region."""
    send = Host._send

    def sending(self: Host, effect: Any) -> None:
        send(self, effect)
        data = b"".join(encode(effect.message))
        target = (self.group.nodes[effect.to] + 3) % 6
        if self.group.region and len(self.group.nodes) == 3:
            tag = ("peer", self.group.number)
            self.machine.send(Packet(self.machine.index, target, tag, data))

    replace_in(PERFORM, send, sending)


CANARIES = (
    Canary("acknowledged before sync", ("acks-durable", "durability"), _ack_before_sync),
    Canary("view not durable", ("views-durable",), _view_not_durable),
    Canary("log view not durable", ("views-durable",), _log_view_not_durable),
    Canary("frames not synced", ("acks-durable", "durability"), _frames_not_synced),
    Canary("records not written", ("acks-durable", "durability"), _records_not_written),
    Canary("superblock not synced", ("views-durable",), _superblock_not_synced),
    Canary("quorum too small", ("durability", "agreement"), _quorum_too_small),
    Canary("one nack is enough", ("agreement", "durability", "halted"), _one_nack_is_enough),
    Canary("view changed alone", ("agreement", "durability", "halted"), _view_change_alone),
    Canary("read without a round", ("streams",), _read_without_round),
    Canary("rotten frame nacked", ("agreement", "durability", "halted"), _rotten_is_nacked),
    Canary("rotten frame forgotten", ("agreement", "durability", "halted"), _rotten_is_absent),
    Canary("rotten frame served", ("agreement", "streams", "halted"), _rotten_is_served),
    Canary("uncertain head votes", ("agreement", "durability", "halted"), _uncertain_head_votes),
    Canary("tail left out of DoViewChange", ("agreement", "halted"), _tail_left_out),
    Canary("DoViewChange changes", ("same-story",), _story_changes),
    Canary("logs not compared", ("agreement", "halted", ASSERTED), _logs_not_compared),
    Canary("old log view counts", ("agreement", "halted"), _any_log_view_counts),
    Canary("restarted primary goes on", ("same-story", "halted"), _restarted_primary_goes_on),
    Canary("commit over a hole", ("agreement", ASSERTED), _commit_over_a_hole),
    Canary("commit of all that is held", ("durability", ASSERTED), _no_truncation_of_commit),
    Canary("view taken from a Prepare", ("views-durable", "halted"), _view_is_guessed),
    Canary("requests not remembered", ("exactly-once", "replies"), _requests_not_remembered),
    Canary("origins not checked", ("exactly-once",), _origins_not_checked),
    Canary("batch ids not checked", ("exactly-once",), _batches_not_checked),
    Canary("expectations ignored", ("streams",), _expectations_ignored),
    Canary("outcome by history", ("outcome-chain", "halted"), _outcome_by_history),
    Canary("repeat answered wrong", ("replies",), _repeat_answered_wrong),
    Canary("outcome chain left out", ("outcome-chain", "halted"), _chain_head_left_out),
    Canary("time goes back", ("timestamps", ASSERTED), _time_goes_back),
    Canary("log time leads all clocks", ("timestamps",), _log_time_leads),
    Canary("placement not checked", ("placement", ASSERTED), _placement_not_checked),
    Canary("frames sent abroad", ("placement",), _frames_sent_abroad),
    Canary(
        "snapshot not checked",
        ("state", "agreement", "halted", "streams", ASSERTED),
        transfer_canaries.snapshot_not_checked,
    ),
    Canary(
        "history not proved",
        ("durability", "liveness", "history"),
        transfer_canaries.history_not_proved,
    ),
    Canary(
        "history cut short",
        ("durability", "liveness", "history", "halted"),
        transfer_canaries.history_cut_short,
    ),
)
NAMES = tuple(canary.name for canary in CANARIES)


def hunt(name: str) -> tuple[str, str, int]:
    """Plant a bug and run seeds until it is found: (name, by which checker, after how many)."""
    (canary,) = [each for each in CANARIES if each.name == name]
    canary.plant()
    for seed in range(1, SEEDS_MAX + 1):
        result = simulate(seed)
        if result.failure is not None and result.failure[0] in canary.finders:
            return name, result.failure[0], seed
    return name, "", SEEDS_MAX
