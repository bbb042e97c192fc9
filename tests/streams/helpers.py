"""A group's kernel as a test drives it: requests in, outcomes out, invariants checked."""

from collections.abc import Iterable

from veritydb.kernel.admission import Command
from veritydb.kernel.apply import Context, apply, deadline
from veritydb.kernel.checks import check
from veritydb.kernel.effects import Effect, Reclaim, Violation
from veritydb.kernel.state import KernelState, genesis
from veritydb.policy.placement import Directory
from veritydb.streams.commands import CreateStream
from veritydb.streams.state import Stream
from veritydb.types.entry import EXPECT_ANY, EntryHeader, Kind
from veritydb.types.ids import NO_ID, GroupId, StreamId, TenantId
from veritydb.types.labels import DataClass, Region
from veritydb.types.multi import AppendMany, Share
from veritydb.types.outcome import Code, Outcome
from veritydb.types.retention import Retention

HOME = Region("au-syd")
DIRECTORY = Directory(((0, ""), (1, HOME.name), (2, "eu-west-1")))
TENANT = TenantId(7)


class Group:
    """One regional group. Log time moves by what each call says."""

    def __init__(self, state: KernelState | None = None) -> None:
        self.state = state or genesis(GroupId(1), HOME, DIRECTORY)
        self.op = 0
        self.now = 1_000
        self.effects: tuple[Effect, ...] = ()

    def submit(
        self, header: EntryHeader, command: Command | None = None, after: int = 1
    ) -> Outcome:
        self.op += 1
        self.now += after
        before = self.state
        self.state, outcome, self.effects = apply(
            before, header, command, Context(self.op, 0, self.now)
        )
        check(before, self.state)
        assert not any(isinstance(effect, Violation) for effect in self.effects)
        raised = {
            number: stream.floor
            for number, stream in self.state.streams.records.items()
            if stream.floor > (known.floor if (known := before.streams.records.get(number)) else 0)
        }
        reclaims = [effect for effect in self.effects if isinstance(effect, Reclaim)]
        assert {effect.stream: effect.floor for effect in reclaims} == raised
        assert len(reclaims) == len(raised)
        return outcome

    def create(
        self, name: str, retention: Retention | None = None, tenant: TenantId = TENANT
    ) -> StreamId:
        header = EntryHeader(kind=Kind.COMMAND, tenant=tenant)
        outcome = self.submit(header, CreateStream(name, DataClass.PHI, HOME, retention))
        assert outcome.code is Code.OK
        return StreamId(outcome.stream)

    def append(
        self,
        stream: StreamId,
        events: int = 1,
        *,
        size: int = 100,
        expected: int = EXPECT_ANY,
        batch: bytes = NO_ID,
        sent_at: int = 0,
        origin: bytes = NO_ID,
        seq: int = 0,
        tenant: TenantId = TENANT,
        after: int = 1,
    ) -> Outcome:
        header = EntryHeader(
            kind=Kind.APPEND,
            parts=1,
            tenant=tenant,
            stream=stream,
            expected=expected,
            batch=batch,
            origin=origin,
            origin_seq=seq,
            sent_at=sent_at,
            events=events,
            body_len=size,
        )
        return self.submit(header, after=after)

    def append_many(
        self, shares: Iterable[tuple[StreamId, int, int]], batch: bytes = NO_ID
    ) -> Outcome:
        rows = tuple(Share(s, expected, 1 if n else 0, n, 50 * n) for s, expected, n in shares)
        header = EntryHeader(
            kind=Kind.APPEND_MANY,
            parts=sum(row.parts for row in rows) + 1,
            tenant=TENANT,
            batch=batch,
            events=sum(row.events for row in rows),
            body_len=sum(row.size for row in rows) + 200,
        )
        return self.submit(header, AppendMany(rows))

    def command(self, stream: StreamId, command: Command, expected: int = EXPECT_ANY) -> Outcome:
        header = EntryHeader(kind=Kind.COMMAND, tenant=TENANT, stream=stream, expected=expected)
        return self.submit(header, command)

    def pulse(self, after: int = 1) -> None:
        """Let log time pass, with as many pulses as the deadline asks for."""
        self.submit(EntryHeader(kind=Kind.PULSE), after=after)
        for _ in range(100):
            due = deadline(self.state)
            if due is None or due > self.now:
                return
            self.submit(EntryHeader(kind=Kind.PULSE), after=0)
        raise AssertionError("pulses never end")

    def stream(self, number: StreamId) -> Stream:
        return self.state.streams.records[number]
