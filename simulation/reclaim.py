"""Giving back the space of events that retention gave up, as the server's reclaimer does."""

from simulation.host import Host
from simulation.index import Index
from veritydb.storage.disk import DiskFull
from veritydb.types import entry as entries
from veritydb.types import multi
from veritydb.types.entry import HEADER_BYTES, Kind
from veritydb.types.ids import Op

Entry = tuple[Op, int]
ONE_FRAME = 1


def given_up(host: Host, index: Index) -> list[Entry]:
    """Entries of segments that are not written any more, of which no stream needs an event."""
    head = host.store.head
    last = host.store.read_headers(head, head) if head else []
    active = last[0].segment if last else Op(0)
    found: list[Entry] = []
    records = host.node.kernel.streams.records
    for number in sorted(records):
        for op, run in index.below(number, records[number].floor):
            if (op, run.entry) in host.erased:
                continue
            header = next(iter(host.store.read_headers(Op(op), Op(op))), None)
            if header is not None and header.segment < active and _whole(host, op, run.entry):
                found.append((Op(op), run.entry))
    return sorted(set(found))


def _whole(host: Host, op: int, wanted: int) -> bool:
    """Whether an entry, which may be for several streams, is there and needed by none of them."""
    frame = next(iter(host.store.read_frames(Op(op), Op(op), ONE_FRAME)), None)
    if frame is None or any(hole.entry == wanted for hole in frame.holes):
        return False
    records = host.node.kernel.streams.records
    for at, (header, start, end) in enumerate(entries.split(frame.body, frame.header.entry_count)):
        if at == wanted and header.kind is Kind.APPEND_MANY:
            shares = multi.parse(frame.body[start + HEADER_BYTES : end])
            return all(
                share.base + share.events <= records[share.stream].floor
                for share in shares
                if share.events
            )
    return True


def erase(host: Host, index: Index) -> list[Entry]:
    """Have the writer erase what was given up; return what that is."""
    wanted = given_up(host, index)

    def job() -> None:
        try:
            host.store.erase_many(wanted)
            host.erased.update(wanted)
        except DiskFull:
            # The map of what is erased needs a little space itself; later, then.
            host.world.count("erase.no-space")

    if wanted:
        host.write_job(job)
    return wanted
