"""Edge refusals on their way into the log: as fixed fields, and many as one."""

from collections.abc import Iterable, Iterator

from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.outcome import Code

COUNT_MAX = (1 << 32) - 1


def refused(header: EntryHeader, code: Code, policy: int = 0) -> EntryHeader:
    """Return the entry that records that a request was refused before it was proposed.

    Of the request it keeps who made it and about which stream; no body, name or metadata. It has no
    session: nothing waits for its result. `policy` is the version that decided: until this is
    applied, another may be in force.
    """
    if code in (Code.OK, Code.DUPLICATE):
        raise ValueError(f"{code.name} is no refusal")
    return EntryHeader(
        kind=Kind.REFUSED,
        client=header.client,
        tenant=header.tenant,
        stream=header.stream,
        actor=header.actor,
        expected=int(code),
        origin_seq=policy,
        events=1,
    )


def fold(refusals: Iterable[EntryHeader]) -> Iterator[EntryHeader]:
    """Yield one entry per (tenant, client, actor, stream, code, policy), as they first came."""
    totals: dict[EntryHeader, int] = {}
    for refusal in refusals:
        if refusal.kind is not Kind.REFUSED:
            raise ValueError(f"{refusal.kind.name} is no refusal")
        one = _with_events(refusal, 1)
        totals[one] = totals.get(one, 0) + refusal.events
    for one, times in totals.items():
        yield _with_events(one, min(times, COUNT_MAX))


def _with_events(refusal: EntryHeader, events: int) -> EntryHeader:
    return EntryHeader(
        kind=Kind.REFUSED,
        client=refusal.client,
        tenant=refusal.tenant,
        stream=refusal.stream,
        actor=refusal.actor,
        expected=refusal.expected,
        origin_seq=refusal.origin_seq,
        events=events,
    )
