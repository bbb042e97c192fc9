"""The `Audit` capability: a tenant's outcomes, with hashes in the place of everybody else's."""

from hashlib import sha256
from typing import Any

from veritydb.server.connection import Connection
from veritydb.server.edge import Edge, group_number
from veritydb.server.reading import AuditRow, LogReader
from veritydb.server.refusals import guarded
from veritydb.types.limits import LIST_ENTRIES_MAX
from veritydb.types.outcome import decode
from veritydb.wire.schemas import load

SCHEMA = load("audit")
AuditServer: Any = SCHEMA.Audit.Server
PAGE_ITEMS_MAX = 20_000
PAGE_BYTES = PAGE_ITEMS_MAX * 64
SCAN_OPS = 2_000


class AuditHandler(AuditServer):  # type: ignore[misc]
    """One connection's `Audit`."""

    def __init__(self, edge: Edge, connection: Connection) -> None:
        """`connection` is whose calls these are."""
        self.log = edge.log
        self._edge = edge
        self._connection = connection

    @guarded()
    async def list_context(self, context: Any) -> None:
        """A page of consecutive ops."""
        params = context.params
        tenant, every = params.tenant, params.all
        one = self._edge.group(group_number(params.group))
        first = max(1, params.fromOp)
        limit = min(params.limit or LIST_ENTRIES_MAX, LIST_ENTRIES_MAX)
        last = int(one.group.node.applied)
        with self._connection.call():
            async with self._connection.gate.room(PAGE_BYTES) as room:
                previous, rows, following = await self._edge.read(
                    one, lambda reader: collect(reader, first, last, limit, tenant, every)
                )
                page = context.results.init("res").init("page")
                page.previous = previous
                page.next = following
                page.done = following > last
                for to, row in zip(page.init("ops", len(rows)), rows, strict=True):
                    put_row(to, row, tenant)
                room.used = sum(64 * len(row.records) for row in rows)


def collect(
    reader: LogReader, first: int, last: int, limit: int, tenant: int, every: bool
) -> tuple[bytes, list[AuditRow], int]:
    """Read ops from `first` on: (chain head before, rows, where to go on). On a reader thread."""
    previous = reader.head_before(first) if first <= last else bytes(32)
    head, items, op = previous, 0, first
    rows: list[AuditRow] = []
    while op <= last and len(rows) < limit and items < PAGE_ITEMS_MAX and op - first < SCAN_OPS:
        for row in reader.audit(op, min(last, op + 63), head):
            op = row.op + 1
            head = row.head
            if every or any(decode(record).tenant == tenant for record in row.records):
                rows.append(row)
                items += len(row.records)
            if len(rows) >= limit or items >= PAGE_ITEMS_MAX:
                break
    return previous, rows, op


def put_row(to: Any, row: AuditRow, tenant: int) -> None:
    """Write what a tenant may see of an op."""
    to.op = row.op
    to.timestamp = row.timestamp
    to.head = row.head
    items = to.init("items", len(row.records))
    for item, record, header in zip(items, row.records, row.headers, strict=True):
        if decode(record).tenant == tenant:
            item.record = record
            item.client = header.client
            item.actor = header.actor
            item.kind = int(header.kind)
        else:
            item.hash = sha256(record).digest()
