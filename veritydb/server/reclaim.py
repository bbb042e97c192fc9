"""Giving back the space of events that retention gave up.

The kernel says that a stream's floor rose. A grace period later (by this process's own clock, since
the log's stands still in an idle group) an entry is erased if all of its events lie below their
streams' floors and its segment is no longer written.
Nothing here needs to survive a crash: the floors are in the kernel's state, and how far each stream
got is noted in the index after the fact, so that at worst something is erased twice.
"""

import contextlib
import sqlite3
from functools import partial

import trio

from veritydb.server.hosted import Hosted
from veritydb.server.reading import LogReader, NotIndexed, Query, Unreadable, WrongIndex
from veritydb.storage.disk import DiskFull
from veritydb.types import multi
from veritydb.types.entry import HEADER_BYTES, Kind
from veritydb.types.ids import Op, stream_id

PIECE_EVENTS = 5_000
PIECE_BYTES = 4 << 20
# So many streams at a time: half a millisecond.
LOOKED_AT = 500


class Reclaimer:
    """Works off one group's floors, a piece at a time."""

    def __init__(self, one: Hosted) -> None:
        self._one = one
        self._reader = LogReader(one.recent, one.index_file)
        self._work = one.work

    async def turn(self) -> None:
        """Do what is due now. Streams whose entries are still in the active segment wait."""
        one = self._one
        if one.look_back:
            one.look_back = False
            await self._look_back()
        now = one.machine.monotonic_ns()
        for number, due in list(one.reclaims.items()):
            if due.after > now:
                continue
            try:
                finished = await self._stream(number, due.floor)
            except Unreadable as found:
                one.rotten(found.op)
                continue
            except (NotIndexed, WrongIndex, sqlite3.Error):
                continue
            if finished and one.reclaims.get(number) is due:
                del one.reclaims[number]

    async def _look_back(self) -> None:
        """After a start, or a peer's snapshot: any stream with a floor may have something left."""
        node = self._one.group.node
        group, created = node.kernel.streams.group, node.kernel.streams.created
        for counter in range(1, created + 1):
            number = stream_id(group, counter)
            # Of the state as it is by now: one held until the end would then be freed in one go.
            stream = node.kernel.streams.records[number]
            if stream.floor and number not in self._one.reclaims:
                self._one.remember_floor(number, stream.floor)
            if counter % LOOKED_AT == 0:
                await trio.lowlevel.checkpoint()

    async def _stream(self, number: int, floor: int) -> bool:
        """Erase what lies below a floor. False if something of it has to wait."""
        done = await self._work(partial(self._one.index_file.reclaimed, number))
        while done < floor:
            piece = await self._work(partial(self._piece, number, done, floor))
            if piece is None:
                return False
            entries, upto = piece
            if entries and not await self._erase(entries):
                return False
            await self._work(partial(self._one.index_file.set_reclaimed, number, upto))
            if upto <= done:
                return True
            done = upto
        return True

    def _piece(self, number: int, done: int, floor: int) -> tuple[list[tuple[Op, int]], int] | None:
        """Entries to erase and how far that gets; None if the next lies in the active segment."""
        last = self._one.store.read_headers(self._one.store.head, self._one.store.head)
        active = last[0].segment if last else 0
        row = self._one.index_file.row_at(number, done)
        if row is not None and row.op >= active:
            # Nothing to be done yet, and seen without reading the log.
            return None
        query = Query(
            stream=number,
            at=done,
            end=floor,
            backwards=False,
            events_max=PIECE_EVENTS,
            bytes_max=PIECE_BYTES,
        )
        entries: list[tuple[Op, int]] = []
        upto = done
        for found in self._reader.read(query).found:
            if found.op >= active:
                return (entries, upto) if entries else None
            if found.end > floor:
                # The rest of this entry is still to be read.
                return entries, floor
            upto = found.end
            if not found.erased and self._all_given_up(found.header.kind, found.data):
                entries.append((Op(found.op), found.index))
        return entries, upto

    def _all_given_up(self, kind: Kind, data: bytes) -> bool:
        """Whether no stream still needs an entry."""
        if kind is not Kind.APPEND_MANY:
            return True
        records = self._one.group.node.kernel.streams.records
        return all(
            share.base + share.events <= records[share.stream].floor
            for share in multi.parse(data[HEADER_BYTES:])
            if share.events
        )

    async def _erase(self, entries: list[tuple[Op, int]]) -> bool:
        """Have the writer erase entries, and wait for it. False if the disk had no room."""
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        one = self._one
        erased: list[int] = []

        def job() -> None:
            try:
                one.store.erase_many(entries)
                one.recent.forget()
                erased.append(len(entries))
            except DiskFull:
                # The map of what is erased needs a little space itself; later, then.
                one.writer.full = True
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        one.writer.put(job)
        await done.wait()
        one.log.debug("reclaimed", entries=sum(erased))
        return bool(erased)
