"""Refusals of the edge, written into the group's log: fixed fields only, folded, rate-limited.

Whoever is refused for placement may go on asking. So refusals of one kind are counted, and one
entry stands for all of them since the last; what a client sent is never part of it.
"""

import asyncio

from veritydb.audit.refusals import fold, refused
from veritydb.server.group import Group
from veritydb.server.machine import Machine
from veritydb.server.refusals import Refused
from veritydb.types.entry import EntryHeader, with_body
from veritydb.types.outcome import Code

EVERY_NS = 1_000_000_000
WAITING_MAX = 4_096
ENTRIES_MAX = 256
TIMEOUT_MS = 5_000


class Audited:
    """The refusals of one group that still have to be written."""

    def __init__(self, group: Group, machine: Machine) -> None:
        """Make it on the loop's thread."""
        self._group = group
        self._now = machine.monotonic_ns
        self._loop = asyncio.get_running_loop()
        self._waiting: list[EntryHeader] = []
        self._next = 0
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, header: EntryHeader, code: Code, policy: int) -> None:
        """Count one refusal: of whom, by whom, about which stream, why, by which policy."""
        self._waiting.append(refused(header, code, policy))
        if len(self._waiting) >= WAITING_MAX:
            self._waiting = self._folded()
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_later(max(0, self._next - self._now()) / 1e9, self._flush)

    def _folded(self) -> list[EntryHeader]:
        """One header for all alike. Callers beyond a bound share one that names none of them."""
        folded = list(fold(self._waiting))
        if len(folded) <= ENTRIES_MAX:
            return folded
        rest = [
            EntryHeader(
                kind=one.kind,
                tenant=one.tenant,
                expected=one.expected,
                origin_seq=one.origin_seq,
                events=one.events,
            )
            for one in folded[ENTRIES_MAX // 2 :]
        ]
        by_tenant = list(fold(rest))
        if len(by_tenant) > ENTRIES_MAX // 2:
            nameless = [
                EntryHeader(
                    kind=one.kind,
                    expected=one.expected,
                    origin_seq=one.origin_seq,
                    events=one.events,
                )
                for one in by_tenant
            ]
            by_tenant = list(fold(nameless))
        return [*folded[: ENTRIES_MAX // 2], *by_tenant]

    def _flush(self) -> None:
        self._scheduled = False
        self._next = self._now() + EVERY_NS
        headers, self._waiting = self._folded(), []
        for header in headers:
            task = self._loop.create_task(self._write(header))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, header: EntryHeader) -> None:
        try:
            await self._group.submit(with_body(header, b""), TIMEOUT_MS)
        except Refused:
            # No longer the primary, or overloaded. The caller was refused all the same.
            return
