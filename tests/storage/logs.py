"""Frames, identities and directories for the tests of storage."""

from collections.abc import Sequence

from simulation.disk import SimDisk
from veritydb.storage.store import Store
from veritydb.types import entry, frame, merkle, outcome
from veritydb.types.durable import Identity, Recovered
from veritydb.types.entry import Entry, EntryHeader, Kind, PartInfo
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import GroupId, Op, StreamId, TenantId, View
from veritydb.types.merkle import NO_HASH

CLUSTER = bytes(range(16))


def identity(replicas: int = 3, index: int = 0, region: str = "au-syd") -> Identity:
    """Who the replica under test is."""
    return Identity(
        cluster=CLUSTER,
        group=GroupId(1),
        region=region,
        index=index,
        replicas=replicas,
        incarnation=0,
    )


def append_entry(payloads: Sequence[bytes], number: int = 1) -> Entry:
    """An append whose parts hold one event each, with a short descriptor."""
    descriptor = b"described"
    table = b"".join(
        entry.pack_part(PartInfo(0, 1, len(descriptor), len(payload))) for payload in payloads
    )
    body = table + b"".join(descriptor + payload for payload in payloads)
    header = EntryHeader(
        kind=Kind.APPEND,
        parts=len(payloads),
        number=number,
        tenant=TenantId(1),
        stream=StreamId(1 << 48 | 1),
        events=len(payloads),
    )
    return entry.with_body(header, body)


def next_frame(
    previous: Header | None,
    entries: Sequence[Entry] = (),
    view: int = 0,
    commit: int | None = None,
    outcomes: bytes = NO_HASH,
) -> Frame:
    """The frame that follows `previous`."""
    if not entries:
        entries = (append_entry([b"event of view %d" % view], view + 1),)
    body = b"".join(each.data for each in entries)
    op = Op(previous.op + 1 if previous else 1)
    segment, position = frame.place(previous, len(body))
    header = frame.seal(
        Header(
            cluster=CLUSTER,
            group=GroupId(1),
            epoch=0,
            view=View(view),
            op=op,
            commit=Op(op - 1 if commit is None else commit),
            timestamp=1_000 + op,
            kernel=1,
            segment=segment,
            position=position,
            entry_base=previous.entry_base + previous.entry_count if previous else 0,
            entry_count=len(entries),
            body_len=len(body),
            previous=previous.hash if previous else NO_HASH,
            outcomes=outcomes,
            root=merkle.root([each.leaf for each in entries]),
        )
    )
    return Frame(header, body)


def chain(count: int, previous: Header | None = None, view: int = 0, size: int = 0) -> list[Frame]:
    """Frames that follow each other; `size` is the payload's."""
    found: list[Frame] = []
    for number in range(count):
        entries = (append_entry([bytes([65 + number % 26]) * size]),) if size else ()
        found.append(next_frame(previous, entries, view))
        previous = found[-1].header
    return found


def fresh(replicas: int = 3) -> tuple[SimDisk, Store]:
    """A stamped directory, opened."""
    disk = SimDisk()
    Store.format(disk, identity(replicas))
    store, _ = Store.open(disk)
    return disk, store


def reopen(disk: SimDisk) -> tuple[Store, Recovered]:
    """Start again from what the disk holds."""
    return Store.open(disk)


def ops(recovered: Recovered) -> list[int]:
    """The ops of what was recovered."""
    return [header.op for header in recovered.headers]


def outcome_of(op: int, entry: int = 0) -> bytes:
    """The outcome of an append, the only entry of its op unless told otherwise."""
    return outcome.encode(
        outcome.Outcome(
            code=outcome.Code.OK,
            kind=Kind.APPEND,
            policy=1,
            op=op,
            tenant=1,
            stream=1 << 48 | 1,
            base=op,
            count=1,
            entry=entry,
        )
    )


def full_directory() -> tuple[SimDisk, Store, list[Frame]]:
    """A directory with something in every file: frames, outcomes, erased parts, a snapshot.

    The outcome chain is right, and the last op calls all before it committed.
    """
    disk, store = fresh()
    frames: list[Frame] = []
    head, heads, records = NO_HASH, [NO_HASH], b""
    for op in range(1, 8):
        entries = [append_entry([b"a" * 900, b"b" * 40], op), append_entry([b"c" * 5000], op)]
        previous = frames[-1].header if frames else None
        frames.append(next_frame(previous, entries[: 1 + op % 2], outcomes=heads[-1]))
        made = [outcome_of(op, index) for index in range(1 + op % 2)]
        head = outcome.chain(head, made)
        heads.append(head)
        if op < 7:
            records += b"".join(made)
    store.append(frames)
    store.append_outcomes(0, records)
    assert store.erase_many([(Op(3), 1), (Op(4), 0)]) == []
    composer = store.begin_snapshot(frames[4].header, heads[5])
    composer.add(b"first chunk")
    composer.add(b"second chunk" * 20)
    store.write_superblock(snapshot=composer.finish())
    store.prepare()
    return disk, store, frames
