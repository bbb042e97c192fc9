"""One line of the audit: who asked for what, when, and what became of it."""

import msgspec

from veritydb.types.entry import EntryHeader, Kind
from veritydb.types.outcome import Code, Outcome


class AuditEntry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An outcome together with what its entry's header says. Holds no name and no payload.

    `command` is the number of the struct in log.capnp, 0 where the entry was none. `times` is how
    many refusals like this one the entry stands for; it is 1 for everything but edge refusals.
    """

    op: int
    entry: int
    time: int
    tenant: int
    actor: int
    client: bytes
    kind: Kind
    command: int
    code: Code
    policy: int
    stream: int
    base: int
    count: int
    times: int = 1

    @property
    def refused_at_edge(self) -> bool:
        """Whether a node refused it without proposing it."""
        return self.kind is Kind.REFUSED


def read(header: EntryHeader, outcome: Outcome, time: int) -> AuditEntry:
    """Tell what an entry's outcome means. `time` is the log time of its op.

    Raises ValueError if the two do not belong together.
    """
    kind, command = outcome.kind & 0xFF, outcome.kind >> 8
    if kind != header.kind or outcome.tenant != header.tenant:
        raise ValueError(f"op {outcome.op}: outcome {outcome.entry} is not of this entry")
    edge = header.kind is Kind.REFUSED
    return AuditEntry(
        op=outcome.op,
        entry=outcome.entry,
        time=time,
        tenant=outcome.tenant,
        actor=header.actor,
        client=header.client,
        kind=header.kind,
        command=command,
        code=outcome.code,
        policy=outcome.policy,
        stream=outcome.stream,
        base=outcome.base,
        count=0 if edge else outcome.count,
        times=outcome.count if edge else 1,
    )
