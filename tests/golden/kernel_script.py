"""A fixed script of requests to one group. What it leads to is kept as golden bytes.

Run as a program it prints the end of it, so that two processes can be compared.
"""

from collections.abc import Iterator

from veritydb.audit.refusals import refused
from veritydb.kernel.apply import Context, apply, deadline
from veritydb.kernel.checks import check
from veritydb.kernel.snapshot import digest
from veritydb.kernel.state import KernelState, genesis
from veritydb.policy.commands import SetPolicy
from veritydb.policy.placement import Directory
from veritydb.policy.state import ClassRetention, Rules
from veritydb.streams.commands import CreateStream, Seal, SetRetention, TruncateBefore
from veritydb.types.entry import (
    EXPECT_ANY,
    EXPECT_NO_STREAM,
    PART_BYTES,
    EntryHeader,
    Kind,
    PartInfo,
    pack_part,
)
from veritydb.types.ids import NO_ID, GroupId, StreamId, TenantId, stream_id
from veritydb.types.labels import DataClass, Region
from veritydb.types.limits import SECOND_NS
from veritydb.types.merkle import NO_HASH
from veritydb.types.multi import Share, last_part, pack
from veritydb.types.outcome import Code, Outcome, chain, encode
from veritydb.types.retention import Retention
from veritydb.wire import log

HOME = Region("au-syd")
GROUP = GroupId(3)
DIRECTORY = Directory(((0, ""), (3, HOME.name), (4, "eu-west-1")))
START = 1_700_000_000 * SECOND_NS

CREATES = [
    CreateStream("notes", DataClass.PHI, HOME),
    CreateStream("Aufnahmen/ä", DataClass.DEIDENTIFIED, HOME, Retention(30 * SECOND_NS, 0, 0)),
    CreateStream("vitals", DataClass.PHI, HOME, Retention(0, 2_000, 0)),
    CreateStream("log", DataClass.NON_PHI, HOME, Retention(60 * SECOND_NS, 5_000, 40)),
]
RULES = Rules(
    deidentified_global=False,
    regions=("au-syd", "eu-west-1"),
    tenants=(1, 2),
    retention=(ClassRetention(DataClass.NON_PHI, Retention(max_events=100)),),
)
COMMANDS: list[log.Command] = [
    *CREATES,
    Seal(),
    TruncateBefore(7),
    SetRetention(Retention(1, 2, 3)),
    SetPolicy(1, RULES),
]


def number(counter: int) -> StreamId:
    return stream_id(GROUP, counter)


def append(
    counter: int,
    events: int,
    expected: int = EXPECT_ANY,
    batch: bytes = NO_ID,
    origin: bytes = NO_ID,
    seq: int = 0,
    tenant: int = 1,
    sent_at: int = START,
) -> tuple[EntryHeader, bytes]:
    return EntryHeader(
        kind=Kind.APPEND,
        parts=1,
        tenant=TenantId(tenant),
        stream=number(counter),
        expected=expected,
        batch=batch,
        origin=origin,
        origin_seq=seq,
        sent_at=sent_at if batch != NO_ID else 0,
        events=events,
        body_len=PART_BYTES + 100 * events,
    ), b""


def command(body: log.Command, counter: int = 0, tenant: int = 1) -> tuple[EntryHeader, bytes]:
    stream = number(counter) if counter else StreamId(0)
    data = log.encode(body)
    return EntryHeader(
        kind=Kind.COMMAND, tenant=TenantId(tenant), stream=stream, body_len=len(data)
    ), data


def append_many(rows: list[tuple[int, int, int]]) -> tuple[EntryHeader, bytes]:
    """Two events and one part of 20 bytes for each (stream, expected, events) with events."""
    shares = [Share(number(s), expected, min(n, 1), n) for s, expected, n in rows]
    parts = [PartInfo(0, share.events, 5, 15) for share in shares if share.events]
    table = pack(shares)
    body = b"".join(
        [pack_part(part) for part in (*parts, last_part(table))] + [b"x" * 20] * len(parts)
    )
    return EntryHeader(
        kind=Kind.APPEND_MANY,
        parts=len(parts) + 1,
        tenant=TenantId(1),
        events=sum(share.events for share in shares),
        body_len=len(body) + len(table),
    ), body + table


def script() -> Iterator[tuple[int, list[tuple[EntryHeader, bytes]]]]:
    """The ops: seconds since the one before, and its entries (header and body)."""
    ids = [bytes([n]) * 16 for n in range(1, 9)]
    yield 0, [command(create) for create in CREATES]
    yield 1, [command(CREATES[0]), command(CreateStream("log", DataClass.PHI, HOME))]
    yield 1, [append(1, 3, EXPECT_NO_STREAM, ids[0]), append(1, 2, 3, ids[1]), append(1, 1, 9)]
    yield 1, [append(1, 2, 3, ids[1]), append(1, 1, tenant=2), append(9, 1), append(1, 0)]
    for step in range(12):
        yield 4, [append(2, 1), append(3, 3), append(4, 2, batch=ids[step % 8])]
    yield 1, [append(1, 4, origin=ids[2], seq=at) for at in (0, 4, 4, 9, 6)]
    yield 1, [append_many([(1, 13, 2), (2, 12, 1), (3, 36, 0)]), append_many([(1, 13, 2)])]
    yield 1, [command(TruncateBefore(4), 1), command(TruncateBefore(99), 1)]
    yield 1, [command(SetPolicy(1, RULES), tenant=0), command(SetPolicy(1, RULES), tenant=0)]
    yield 1, [command(CreateStream("audit", DataClass.NON_PHI, HOME)), append(1, 1, tenant=5)]
    yield 25, [(EntryHeader(kind=Kind.PULSE), b"")]
    yield 1, [command(SetRetention(Retention(5 * SECOND_NS)), 3), command(Seal(), 4), append(4, 1)]
    yield 1, [(refused(append(1, 1)[0], Code.PLACEMENT_REFUSED), b""), command(Seal(), 4)]
    yield 1, [(EntryHeader(kind=Kind.COMMAND, tenant=TenantId(1), body_len=8), b"\xff" * 8)]
    yield 700, [append(1, 1, batch=ids[6]), append(1, 1, batch=ids[6]), append(1, 1)]
    yield 1, [append(1, 1, batch=ids[7]), command(CreateStream("", DataClass.PHI, HOME))]
    late = START + 700 * SECOND_NS
    yield 1, [append(1, 1, batch=bytes([n]) * 16, sent_at=late) for n in range(20, 40)]


def run() -> tuple[KernelState, list[Outcome], bytes]:
    """Apply the script; return the state, every outcome and the head of their chain."""
    state = genesis(GROUP, HOME, DIRECTORY)
    head = NO_HASH
    now = START
    outcomes: list[Outcome] = []
    for op, (seconds, entries) in enumerate(script(), start=1):
        now += seconds * SECOND_NS + 1
        records = []
        for index, (header, body) in enumerate(entries):
            before = state
            decoded = log.decode(header.kind, body)
            state, outcome, _ = apply(before, header, decoded, Context(op, index, now))
            check(before, state)
            outcomes.append(outcome)
            records.append(encode(outcome))
        head = chain(head, records)
    return state, outcomes, head


if __name__ == "__main__":
    last, _, end = run()
    print(end.hex(), digest(last).hex(), deadline(last))
