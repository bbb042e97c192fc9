"""What a group does beside its work: keep index and space in order, watch the disk, read the log.

Trio tasks that wait; the work itself is done on threads, in small pieces, and none of it is needed
for an acknowledgement.
"""

import sqlite3
from functools import partial

import trio

from veritydb.server.hosted import Hosted
from veritydb.server.index import is_damage
from veritydb.server.machine import Machine
from veritydb.server.reading import LogReader, Unreadable, WrongIndex
from veritydb.server.reclaim import Reclaimer
from veritydb.storage.disk import DiskError
from veritydb.types.ids import Op

FLUSH_SECONDS = 0.5
REBUILD_OPS = 256
UNREADABLE_SECONDS = 1.0
DISK_SECONDS = 1.0
# So much is read, then nothing for a while: a few hundredths of a processor.
SCRUB_OPS = 64
SCRUB_BYTES = 1 << 20
SCRUB_SECONDS = 0.05
SCRUB_WAIT_SECONDS = 1.0
SCRUB_REST_SECONDS = 3_600.0
MIB = 1 << 20


async def keep_index(one: Hosted) -> None:
    """Write new rows now and then; fill what is missing."""
    reader = LogReader(one.recent, one.index_file)
    while True:
        await trio.sleep(FLUSH_SECONDS)
        index = one.index_file
        try:
            if index.pending():
                await one.work(index.flush)
            while index.gap is not None:
                await one.work(lambda: fill_some(reader, one))
                await trio.lowlevel.checkpoint()
        except WrongIndex as error:
            one.index_damaged(type(error).__name__)
            await trio.sleep(UNREADABLE_SECONDS)
        except sqlite3.Error as error:
            # Short of space it is tried again; nothing is lost, it only stays in memory.
            if is_damage(error):
                one.index_damaged(type(error).__name__)
            await trio.sleep(UNREADABLE_SECONDS)
        except Unreadable as found:
            one.rotten(found.op)
            # Rotten here; once it is repaired from the peers, the rows follow.
            await trio.sleep(UNREADABLE_SECONDS)


def fill_some(reader: LogReader, one: Hosted) -> None:
    """Rebuild one piece of the index's gap. Raises Unreadable, sqlite3.Error."""
    gap = one.index_file.gap
    if gap is not None:
        told = reader.extents(gap[0], min(gap[1], gap[0] + REBUILD_OPS - 1))
        if not told:
            raise Unreadable
        one.index_file.fill(told[-1][0], told)


async def scrub(one: Hosted) -> None:
    """Read all of the log, slowly, at every start and then each hour.

    A start checks what stands behind the last snapshot, and readers what they read. What rots in
    between would be noticed only when the other replicas have lost theirs. A pass ends where the
    log ended when it began: it does not run after what is being written.
    """
    while True:
        await trio.sleep(SCRUB_WAIT_SECONDS)
        upto = one.store.head if one.started else 0
        first, rotten = 1, 0
        while first <= min(upto, one.store.head):
            try:
                rotten_here, looked_at = await one.work(partial(look_at_some, one, first))
            except DiskError as error:
                one.crashed(error)
                return
            for op in rotten_here:
                one.rotten(op)
            rotten += len(rotten_here)
            first += looked_at
            await trio.sleep(SCRUB_SECONDS)
        if upto:
            one.log.info("scrubbed", ops=first - 1, rotten=rotten)
            await trio.sleep(SCRUB_REST_SECONDS)


def look_at_some(one: Hosted, first: int) -> tuple[list[int], int]:
    """Read some frames; return the ops of those that have rotted, and how many were looked at."""
    last = min(one.store.head, first + SCRUB_OPS - 1)
    frames = one.store.read_frames(Op(first), Op(last), SCRUB_BYTES)
    rotten = [op for op, frame in enumerate(frames, first) if frame is None]
    # Behind the head a cut may have come meanwhile.
    return [op for op in rotten if not one.missing(op)], max(1, len(frames))


async def watch_disk(ones: list[Hosted], machine: Machine, path: str, reserve_mib: int) -> None:
    """Make the node read-only while the disk is short of space, and not for longer."""
    while True:
        # A disk that is busy may let this wait.
        short = await machine.work(partial(machine.free_bytes, path)) < reserve_mib * MIB
        for one in ones:
            if short != one.full:
                one.log.warning("disk.short" if short else "disk.enough")
            one.full = short
            if one.writer.full:
                one.writer.look_again()
            if not one.writable():
                one.let_others_lead()
        await trio.sleep(DISK_SECONDS)


async def reclaim_space(one: Hosted) -> None:
    """Give back the space of events that were given up, after the grace period."""
    reclaimer = Reclaimer(one)
    while True:
        await trio.sleep(DISK_SECONDS)
        await reclaimer.turn()
