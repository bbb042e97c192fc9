"""Audit: what became of a tenant's commands, and the proof that nothing was left out or changed."""

from collections.abc import AsyncGenerator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from veritydb.client.connection import Connection
from veritydb.client.core import Core
from veritydb.client.deadline import Deadline
from veritydb.types.errors import CorruptData
from veritydb.types.merkle import HASH_BYTES, NO_HASH
from veritydb.types.outcome import RECORD_BYTES, Outcome, decode


class AuditItem(msgspec.Struct, frozen=True):
    """One outcome: the tenant's own in full, of everybody else's only the hash."""

    record: bytes | None
    hash: bytes
    client: bytes = b""
    actor: int = 0
    kind: int = 0

    @property
    def outcome(self) -> Outcome | None:
        """The record, decoded."""
        return None if self.record is None else decode(self.record)


class AuditOp(msgspec.Struct, frozen=True):
    """All outcomes of one op. `head` is the chain's after it, `timestamp` the op's log time."""

    group: int
    op: int
    timestamp: int
    head: bytes
    items: tuple[AuditItem, ...]


class AuditPage(msgspec.Struct, frozen=True):
    """Consecutive ops. `previous` is the chain's head before the first of them."""

    ops: tuple[AuditOp, ...]
    previous: bytes
    next: int
    done: bool


class AuditProof(msgspec.Struct, frozen=True):
    """A verified chain of one group: so many ops up to `op`, and its head there.

    Whoever keeps the head can tell later that the history up to there is still the same.
    """

    group: int
    op: int
    records: int
    head: bytes


async def pages(
    core: Core, tenant: int, group: int, first: int, every: bool, timeout: float | None
) -> AsyncGenerator[AuditPage, None]:
    """Ask a group's primary for its audit, page by page."""

    async def ask(connection: Connection, deadline: Deadline) -> AuditPage:
        parameters = {"tenant": tenant, "group": group, "fromOp": first, "all": every}
        return read_page(group, (await connection.ask("audit", "list", **parameters)).page)

    while True:
        page = await core.on_primary(group, ask, core.deadline(timeout), harmless=True)
        yield page
        if page.done or page.next <= first:
            return
        first = page.next


def read_page(group: int, message: Any) -> AuditPage:
    """Copy a page out of a message."""
    ops = tuple(
        AuditOp(group, one.op, one.timestamp, one.head, tuple(map(read_item, one.items)))
        for one in message.ops
    )
    return AuditPage(ops, message.previous, message.next, message.done)


def read_item(message: Any) -> AuditItem:
    """Copy one outcome out of a message. Raises CorruptData."""
    if message.which() == "hash":
        digest: bytes = message.hash
        if len(digest) != HASH_BYTES:
            raise CorruptData("a hash of another length came")
        return AuditItem(None, digest)
    record: bytes = message.record
    if len(record) != RECORD_BYTES:
        raise CorruptData("an outcome of another length came")
    return AuditItem(record, sha256(record).digest(), message.client, message.actor, message.kind)


class ChainCheck:
    """Follows a group's outcome chain from its beginning."""

    def __init__(self, group: int, tenant: int) -> None:
        """Know nothing yet."""
        self._group = group
        self._tenant = tenant
        self._head = NO_HASH
        self._op = 0
        self._records = 0

    def take(self, page: AuditPage) -> None:
        """Check one page against what came before. Raises CorruptData."""
        if page.previous != self._head:
            raise CorruptData(f"group {self._group}: the chain before op {page.next} is another")
        for op in page.ops:
            if op.op != self._op + 1:
                raise CorruptData(f"group {self._group}: op {self._op + 1} is missing")
            self._head = link(self._head, op.items)
            if self._head != op.head:
                raise CorruptData(f"group {self._group}: op {op.op} does not fit its chain")
            self._op = op.op
            for item in op.items:
                outcome = item.outcome
                if outcome is not None:
                    if outcome.op != op.op or outcome.tenant != self._tenant:
                        raise CorruptData(f"group {self._group}: op {op.op} shows foreign records")
                    self._records += 1

    def proof(self) -> AuditProof:
        """Return what has been shown so far."""
        return AuditProof(self._group, self._op, self._records, self._head)


def link(head: bytes, items: Sequence[AuditItem]) -> bytes:
    """Return the chain's head after one op. As `outcome.chain`, from the records' hashes."""
    return sha256(head + b"".join(item.hash for item in items)).digest()
