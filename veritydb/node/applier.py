"""One committed frame at a time: sessions, then the kernel, then the outcomes and their chain.

Pure: the same frames give the same states and records on every replica.
"""

import msgspec

from veritydb.kernel.apply import Context, apply
from veritydb.kernel.effects import Reclaim, Violation, WakeConsumer, WakeProjection
from veritydb.kernel.state import KERNEL_VERSION
from veritydb.node.config import Decode
from veritydb.node.effects import Run
from veritydb.node.state import Applied
from veritydb.types.entry import HEADER_BYTES, BadEntry, EntryHeader, Kind, split
from veritydb.types.frame import Frame
from veritydb.types.ids import Offset, Op, StreamId
from veritydb.types.multi import AppendMany
from veritydb.types.outcome import Code, Outcome, chain, decode, encode
from veritydb.vsr.sessions import Duplicate, New

BODY_KINDS = (Kind.COMMAND, Kind.APPEND_MANY)


Wish = Reclaim | WakeConsumer | WakeProjection


class Done(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one frame led to. `replaced` lists (index, incarnation) of replicas given new disks."""

    state: Applied
    headers: tuple[EntryHeader, ...]
    outcomes: tuple[Outcome, ...]
    records: bytes
    runs: tuple[Run, ...]
    effects: tuple[Wish, ...]
    replaced: tuple[tuple[int, int], ...]


class Halted(Exception):
    """The frame cannot be applied, and must not be skipped: this replica has to stop."""


class _Work:
    """The state while the entries of one frame pass through it."""

    def __init__(self, state: Applied, frame: Frame, decode_command: Decode) -> None:
        self.frame = frame
        self.decode = decode_command
        self.kernel = state.kernel
        self.sessions = state.sessions
        self.members = state.members
        self.runs: list[Run] = []
        self.effects: list[Wish] = []
        self.replaced: list[tuple[int, int]] = []
        assert state.op + 1 == frame.header.op

    def entry(self, index: int, header: EntryHeader, start: int, end: int) -> tuple[Outcome, bytes]:
        """Apply one entry and return what became of it, and the record of that."""
        assert end - start == HEADER_BYTES + header.body_len
        if header.kind is Kind.REGISTER:
            outcome = self._register(header, index)
        elif header.kind is Kind.REPLACE_REPLICA:
            outcome = self._replace(header, index)
        elif not header.session:
            outcome = self._kernel(index, header, start, end)
        else:
            seen = self.sessions.check(header)
            if isinstance(seen, New):
                outcome = self._kernel(index, header, start, end)
                record = encode(outcome)
                self.sessions = self.sessions.record(header, self.frame.header.op, record)
                return outcome, record
            if isinstance(seen, Duplicate):
                outcome = self._again(decode(seen.outcome), header, index)
            else:
                outcome = self._outcome(seen.code, header, index)
        return outcome, encode(outcome)

    def _kernel(self, index: int, header: EntryHeader, start: int, end: int) -> Outcome:
        command = None
        if header.kind in BODY_KINDS:
            command = self.decode(header.kind, self.frame.body[start + HEADER_BYTES : end])
        at = self.frame.header
        context = Context(at.op, index, at.timestamp)
        self.kernel, outcome, effects = apply(self.kernel, header, command, context)
        assert (outcome.op, outcome.entry) == (at.op, index), "an outcome of another entry"
        assert outcome.code is not Code.OK or header.kind is not Kind.APPEND or outcome.count > 0
        for effect in effects:
            if isinstance(effect, Violation):
                raise Halted(effect.reason)
            self.effects.append(effect)
        if outcome.code is Code.OK and header.kind is Kind.APPEND:
            run = Run(
                stream=StreamId(outcome.stream),
                base=Offset(outcome.base),
                count=outcome.count,
                entry=index,
                bytes=header.body_len,
                first=0,
                end=header.parts,
            )
            self.runs.append(run)
        elif outcome.code is Code.OK and isinstance(command, AppendMany):
            self._index_shares(command, index)
        return outcome

    def _index_shares(self, command: AppendMany, index: int) -> None:
        at = 0
        for share in command.shares:
            if share.events:
                end = at + share.parts
                base = Offset(share.base)
                run = Run(share.stream, base, share.events, index, share.size, at, end)
                self.runs.append(run)
            at += share.parts
        assert self.runs, "an accepted append has events"

    def _register(self, header: EntryHeader, index: int) -> Outcome:
        """Open a session. A copy of the registration that opened it is answered as that was.

        Any other that comes too late gets nothing: two processes with one id must not share a
        session, or each would be told what became of the other's requests.
        """
        op, client, before = self.frame.header.op, header.client, self.sessions
        self.sessions, _ = before.register(client, op, header.tenant, header.number)
        session = self.sessions.session_of(client)
        assert session is not None
        repeated = 0 < header.number == session.attempt
        if self.sessions is before and not repeated:
            return self._outcome(Code.NO_SESSION, header, index)
        return self._outcome(Code.OK, header, index, base=session.session)

    def _replace(self, header: EntryHeader, index: int) -> Outcome:
        """Give an index its next incarnation; any other number is somebody's stale wish."""
        which, incarnation = header.events, header.expected
        if which >= len(self.members) or incarnation != self.members[which] + 1:
            return self._outcome(Code.BAD_COMMAND, header, index)
        members = list(self.members)
        members[which] = incarnation
        self.members = tuple(members)
        assert incarnation > 0, "the first incarnation is never given away to"
        self.replaced.append((which, incarnation))
        return self._outcome(Code.OK, header, index, base=incarnation)

    def _again(self, first: Outcome, header: EntryHeader, index: int) -> Outcome:
        """Answer a repeated request as it was answered the first time."""
        assert first.op < self.frame.header.op or first.entry < index, "a repeat comes later"
        code = Code.DUPLICATE if first.accepted else first.code
        again = self._outcome(code, header, index, base=first.base)
        return msgspec.structs.replace(again, stream=first.stream, count=first.count)

    def _outcome(self, code: Code, header: EntryHeader, index: int, base: int = 0) -> Outcome:
        assert 0 <= index < self.frame.header.entry_count
        return Outcome(
            code=code,
            kind=header.kind,
            policy=self.kernel.policy.version,
            op=self.frame.header.op,
            tenant=header.tenant,
            stream=header.stream,
            base=base,
            count=0,
            entry=index,
        )


def apply_frame(
    state: Applied,
    frame: Frame,
    decode_command: Decode,
    kernels: tuple[int, ...] = (KERNEL_VERSION,),
) -> Done:
    """Apply the frame that follows `state`, if it is of a known kernel version. Raises Halted."""
    header = frame.header
    assert header.op == state.op + 1, "ops are applied in order"
    assert header.entry_base == state.entries
    if header.kernel not in kernels:
        raise Halted(f"op {header.op} needs kernel version {header.kernel}")
    work = _Work(state, frame, decode_command)
    headers: list[EntryHeader] = []
    outcomes: list[Outcome] = []
    records: list[bytes] = []
    try:
        for index, (entry, start, end) in enumerate(split(frame.body, header.entry_count)):
            headers.append(entry)
            outcome, record = work.entry(index, entry, start, end)
            outcomes.append(outcome)
            records.append(record)
    except BadEntry as error:
        # The edge refused to propose such bytes and hashes protect them since: nothing is left
        # to trust.
        raise Halted(f"op {header.op}: {error}") from error
    assert len(records) == header.entry_count
    after = Applied(
        op=Op(header.op),
        time=header.timestamp,
        entries=state.entries + len(records),
        outcomes=chain(state.outcomes, records),
        members=work.members,
        kernel=work.kernel,
        sessions=work.sessions,
    )
    assert after.time > state.time, "log time only moves forward"
    return Done(
        state=after,
        headers=tuple(headers),
        outcomes=tuple(outcomes),
        records=b"".join(records),
        runs=tuple(work.runs),
        effects=tuple(work.effects),
        replaced=tuple(work.replaced),
    )
