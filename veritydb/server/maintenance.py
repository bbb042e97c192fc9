"""What a group does beside its work: flush and rebuild the index, reclaim space, watch the disk.

Trio tasks that wait; the work itself is done on threads, in small pieces, and none of it is needed
for an acknowledgement.
"""

import sqlite3

import trio

from veritydb.server.hosted import Hosted
from veritydb.server.index import is_damage
from veritydb.server.machine import Machine
from veritydb.server.reading import LogReader, Unreadable, WrongIndex
from veritydb.server.reclaim import Reclaimer

FLUSH_SECONDS = 0.5
REBUILD_OPS = 256
UNREADABLE_SECONDS = 1.0
DISK_SECONDS = 1.0
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


async def watch_disk(ones: list[Hosted], machine: Machine, path: str, reserve_mib: int) -> None:
    """Make the node read-only while the disk is short of space, and not for longer."""
    while True:
        short = machine.free_bytes(path) < reserve_mib * MIB
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
