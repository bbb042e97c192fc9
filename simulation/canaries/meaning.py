"""Mistakes in what entries mean: sessions, repeats, streams, tenants, rules, outcomes."""

from typing import Any

import msgspec

from simulation.canaries.planting import ASSERTED, Canary, put, replace
from veritydb.kernel import apply as kernel_apply
from veritydb.kernel.apply import Context
from veritydb.node import applier
from veritydb.node import node as node_module
from veritydb.node.effects import Reply
from veritydb.node.node import Node
from veritydb.policy import apply as policy
from veritydb.streams import append, batches, origins
from veritydb.types.entry import HEADER_BYTES, Entry
from veritydb.types.ids import Op
from veritydb.types.marks import mark
from veritydb.types.merkle import NO_HASH
from veritydb.types.outcome import Code, Outcome
from veritydb.vsr import replica
from veritydb.vsr.sessions import Sessions


def _requests_not_remembered() -> None:
    put(Sessions, "record", lambda self, header, op, outcome: self)


def _late_registration_counts() -> None:
    """A late copy of a registration puts an end to the session that came after it."""
    register = Sessions.register

    def again(self: Sessions, client: Any, op: Any, tenant: int = 0, attempt: int = 0) -> Any:
        known = self.table.get(client)
        if known is None or op <= known.session:
            return register(self, client, op, tenant, attempt)
        after, evicted = register(self, client, op, tenant, 0)
        opened = msgspec.structs.replace(after.table[client], attempt=attempt)
        return Sessions(after.table.set(client, opened), after.results), evicted

    put(Sessions, "register", again)


def _window_ends_early() -> None:
    """A result is forgotten as soon as the next request of the session comes."""
    record = Sessions.record

    def forgetting(self: Sessions, header: Any, op: Op, outcome: bytes) -> Sessions:
        after = record(self, header, op, outcome)
        session = after.table[header.client]
        kept = session.results
        for number in list(kept):
            if number < header.number:
                kept = kept.delete(number)
        changed = msgspec.structs.replace(session, results=kept)
        total = after.results - len(session.results) + len(kept)
        return Sessions(after.table.set(header.client, changed), total)

    put(Sessions, "record", forgetting)


def _sessions_left_out() -> None:
    """A snapshot holds the streams, and not who has a session."""
    put(Sessions, "encode", lambda self: iter(()))


def _snapshot_in_any_order() -> None:
    """The same state is written in another order each time."""
    encode = Sessions.encode
    calls = [0]

    def shuffled(self: Sessions) -> Any:
        calls[0] += 1
        for chunk in encode(self):
            rows = msgspec.msgpack.decode(chunk)
            yield msgspec.msgpack.encode(rows[::-1] if calls[0] % 2 else rows)

    put(Sessions, "encode", shuffled)


def _origins_not_checked() -> None:
    look, note = origins.look, origins.record

    def looking(streams: Any, header: Any) -> Any:
        seen = look(streams, header)
        return None if seen is not None and seen[0] == Code.DUPLICATE else seen

    def record(streams: Any, header: Any, base: int) -> Any:
        known = origins.get(streams, header.origin, header.stream)
        return streams if known else note(streams, header, base)

    replace(look, looking)
    replace(note, record)


def _batches_not_checked() -> None:
    replace(batches.find, lambda known, key: None)


def _expectations_ignored() -> None:
    replace(append.expected_holds, lambda stream, expected: True)


def _seals_ignored() -> None:
    grow = append.append

    def growing(streams: Any, stream: Any, header: Any, now: int) -> Any:
        return grow(streams, msgspec.structs.replace(stream, sealed=False), header, now)

    replace(grow, growing)


def _tenants_not_compared() -> None:
    """Whoever appends to a stream is taken for its owner."""
    look = kernel_apply._append

    def believing(state: Any, header: Any, context: Context) -> Any:
        known = state.streams.records.get(header.stream)
        if known is None:
            return look(state, header, context)
        mine = msgspec.structs.replace(header, tenant=known.info.tenant)
        after, outcome, effects = look(state, mine, context)
        return after, msgspec.structs.replace(outcome, tenant=header.tenant), effects

    replace(look, believing)


def _rules_not_named() -> None:
    """Outcomes name the rules that are built in, whatever is in force."""
    finish = kernel_apply._finish

    def finishing(*args: Any) -> Any:
        after, outcome, effects = finish(*args)
        return after, msgspec.structs.replace(outcome, policy=1), effects

    replace(finish, finishing)


def _rules_overtaken() -> None:
    """New rules are put in force without a look at those that they were made for."""
    change = policy.set_policy

    def changing(known: Any, command: Any, directory: Any) -> Any:
        after, code = change(
            known, msgspec.structs.replace(command, expected=known.version), directory
        )
        return (msgspec.structs.replace(after, version=command.expected + 2), code)

    replace(change, changing)


def _outcome_by_history() -> None:
    """An outcome depends on how much this process has done before."""
    finish = kernel_apply._finish
    calls = [0]

    def finishing(*args: Any) -> Any:
        after, outcome, effects = finish(*args)
        calls[0] += 1
        return after, msgspec.structs.replace(outcome, count=outcome.count + calls[0] % 2), effects

    replace(finish, finishing)


def _repeat_answered_wrong() -> None:
    """A repeated request is told another offset than the first time."""
    again = applier._Work._again

    def telling(self: Any, first: Any, header: Any, index: int) -> Any:
        return again(self, msgspec.structs.replace(first, base=first.base + 1), header, index)

    put(applier._Work, "_again", telling)
    repeated = node_module._repeated

    def wrong(first: Outcome) -> Outcome:
        return repeated(msgspec.structs.replace(first, base=first.base + 1))

    replace(repeated, wrong)


def _chain_head_left_out() -> None:
    def applied(self: replica.Replica, op: Op, outcomes_head: bytes) -> None:
        self._s.applied_op, self._s.applied_head = op, NO_HASH

    put(replica.Replica, "applied", applied)


def _answered_before_commit() -> None:
    """A client is told what will become of its request once it is in the log of the primary."""
    propose = Node._propose

    def hasty(self: Node, accepted: list[tuple[int | None, Entry]], out: Any) -> None:
        propose(self, accepted, out)
        for token, entry in accepted:
            stream = self.state.kernel.streams.records.get(entry.header.stream)
            if token is None or stream is None or entry.header.kind != 2:
                continue
            guess = Outcome(
                code=Code.OK,
                kind=int(entry.header.kind),
                policy=1,
                op=self.replica.op,
                tenant=entry.header.tenant,
                stream=entry.header.stream,
                base=stream.next,
                count=entry.header.events,
                entry=0,
            )
            out.append(Reply(token, guess))

    put(Node, "_propose", hasty)


def _answers_name_the_op_before() -> None:
    answer = Node._answer

    def earlier(self: Node, view: int, done: Any, out: Any) -> None:
        told = tuple(msgspec.structs.replace(one, op=one.op - 1) for one in done.outcomes)
        answer(self, view, msgspec.structs.replace(done, outcomes=told), out)

    put(Node, "_answer", earlier)


def _waiters_survive() -> None:
    """Those who wait for an entry go on waiting when the view changes, for whatever comes."""
    put(Node, "_drop", lambda self, out: None)


def _payload_altered() -> None:
    """A primary proposes other bytes than it was given."""
    propose = Node._propose

    def altering(self: Node, accepted: list[tuple[int | None, Entry]], out: Any) -> None:
        altered = []
        for token, entry in accepted:
            if entry.header.kind == 2 and self.replica.op % 7 == 0:
                data = bytearray(entry.data)
                data[-1] ^= 1
                entry = msgspec.structs.replace(entry, data=bytes(data))
            altered.append((token, entry))
        propose(self, altered, out)

    put(Node, "_propose", altering)


def _payload_in_a_name() -> None:
    """What people count is named after what was appended."""
    work = applier._Work._kernel

    def counting(self: Any, index: int, header: Any, start: int, end: int) -> Outcome:
        mark(f"appended.{self.frame.body[start + HEADER_BYTES : end]!r}")
        outcome: Outcome = work(self, index, header, start, end)
        return outcome

    put(applier._Work, "_kernel", counting)


TWICE = ("exactly-once", "sessions")
STATES = ("snapshots", "state", "sessions", "outcome-chain")
CANARIES = (
    Canary("requests not remembered", "", TWICE, _requests_not_remembered, (27,)),
    Canary("late registration counts", "", ("sessions",), _late_registration_counts, (28,)),
    Canary(
        "results forgotten",
        "before acked",
        (*TWICE, "replies", "linearizable", ASSERTED),
        _window_ends_early,
    ),
    Canary("sessions left out", "of a snapshot", STATES, _sessions_left_out, (27,)),
    Canary("snapshot in any order", "", ("snapshots", "state"), _snapshot_in_any_order, (43,)),
    Canary("origins not checked", "", ("exactly-once",), _origins_not_checked),
    Canary("batch ids not checked", "", ("exactly-once",), _batches_not_checked),
    Canary("expectations ignored", "", ("streams", "raised-AssertionError"), _expectations_ignored),
    Canary("seals ignored", "", ("streams",), _seals_ignored),
    Canary("tenants not compared", "", ("tenants",), _tenants_not_compared),
    Canary("rules not named", "by outcomes", ("audit",), _rules_not_named),
    Canary("rules overtaken", "", ("audit",), _rules_overtaken),
    Canary("outcome by history", "", ("outcome-chain", "halted"), _outcome_by_history, (43,)),
    Canary("repeat answered wrong", "", ("replies", "sessions"), _repeat_answered_wrong, (27,)),
    Canary("outcome chain left out", "", ("outcome-chain", "halted"), _chain_head_left_out),
    Canary("answered before commit", "", ("replies", "real-time"), _answered_before_commit, (29,)),
    Canary("names the op before", "", ("real-time", "replies"), _answers_name_the_op_before),
    Canary("waiters survive", "a view change", ("replies", ASSERTED), _waiters_survive, (27,)),
    Canary("payload altered", "by a primary", ("validity",), _payload_altered),
    Canary("payload in a name", "of a count", ("leaks",), _payload_in_a_name),
)
