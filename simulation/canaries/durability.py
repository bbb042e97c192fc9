"""Promises before they are true, and replicas that forget what they promised."""

from typing import Any

import msgspec

from simulation.canaries.planting import ASSERTED, Canary, put, replace
from veritydb.storage import names, opening, recovery, segments, superblock
from veritydb.storage.disk import DiskError
from veritydb.storage.journal import Journal
from veritydb.storage.segments import Segments
from veritydb.storage.store import Store
from veritydb.vsr import commit, messages, normal
from veritydb.vsr.config import Status
from veritydb.vsr.effects import Commit
from veritydb.vsr.log import Log
from veritydb.vsr.state import GATES, State


def _ack_before_sync() -> None:
    put(Log, "durable", property(lambda log: log.head))


def _start_syncs_nothing() -> None:
    """What a killed process wrote is believed as it is seen, not as it is stored."""
    put(opening, "settle", lambda disk: None)


def _view_not_durable() -> None:
    write = State.write_view_state

    def hasty(s: State) -> None:
        write(s)
        s.view_durable = s.view

    put(State, "write_view_state", hasty)


def _log_view_not_durable() -> None:
    write = State.write_view_state

    def hasty(s: State) -> None:
        write(s)
        s.view_durable, s.log_view_durable = s.view, s.log_view

    put(State, "write_view_state", hasty)


def _prepares_at_once() -> None:
    """A new primary does not wait until its log view is durable."""

    def gate(s: State) -> bool:
        return s.leading and s.status == Status.NORMAL

    for kind in (messages.Prepare, messages.Heartbeat, messages.StartView):
        assert kind in GATES
        GATES[kind] = gate
    put(State, "is_primary", property(lambda s: gate(s) and not s.abdicating))
    write = State.write_view_state

    def leading(s: State) -> None:
        write(s)
        work = s.installing
        if work is not None and work.leading and work.written:
            # As `lead` does once this is durable.
            s.status, s.leading = Status.NORMAL, True
            s.broadcast(normal.start_view(s, 0))

    put(State, "write_view_state", leading)


def _frames_not_synced() -> None:
    def write(self: Segments, frames: Any) -> None:
        for each in frames:
            name = self._ensure(each.header.segment)
            self._disk.write(name, each.header.position, segments.padded(each))

    put(Segments, "write", write)


def _records_not_written() -> None:
    def write(self: Journal, headers: Any) -> None:
        return

    put(Journal, "write", write)


def _superblock_not_synced() -> None:
    def write(disk: Any, block: Any, name: str = names.SUPERBLOCK) -> None:
        for copy in range(superblock.COPIES):
            disk.write(name, copy * superblock.COPY_BYTES, (superblock.encode(block, copy),))

    replace(superblock.write, write)


def _sync_retried() -> None:
    """A sync that failed is asked for again; the second one has nothing left to write."""
    write = Segments.write

    def again(self: Segments, frames: Any) -> None:
        try:
            write(self, frames)
        except DiskError:
            for each in frames:
                self._disk.sync(names.segment(each.header.segment))

    put(Segments, "write", again)


def _write_error_ignored() -> None:
    write = Journal.write

    def careless(self: Journal, headers: Any) -> None:
        try:
            write(self, headers)
        except DiskError:
            return

    put(Journal, "write", careless)


def _folder_not_synced() -> None:
    """A new segment's name may be lost."""

    def ensure(self: Segments, segment: Any) -> str:
        name = names.segment(segment)
        if self._disk.size(name) is None:
            self.prepare()
            self._disk.rename(names.SPARE, name)
        return name

    put(Segments, "_ensure", ensure)


def _memory_dropped() -> None:
    """Every third write of the protocol's memory is called done and was not made."""
    write = Store.write_superblock
    calls = [0]

    def dropping(self: Store, view_state: Any = None, snapshot: Any = None) -> None:
        calls[0] += 1
        if snapshot is not None or calls[0] % 3:
            write(self, view_state, snapshot)

    put(Store, "write_superblock", dropping)


def _memory_put_back() -> None:
    """To name a snapshot brings back the view that was durable before the last one."""
    write = Store.write_superblock
    before: dict[int, Any] = {}

    def old(self: Store, view_state: Any = None, snapshot: Any = None) -> None:
        if snapshot is not None and id(self) in before:
            write(self, before[id(self)], snapshot)
            return
        before[id(self)] = self.superblock.view_state
        write(self, view_state, snapshot)

    put(Store, "write_superblock", old)


def _starts_empty() -> None:
    """A restart forgets what is in the log and not yet in a snapshot."""
    recover = recovery.recover

    def forgetting(*args: Any) -> Any:
        plan = recover(*args)
        few = plan.recovered.headers[:-2]
        faulty = tuple(op for op in plan.recovered.faulty if not few or op <= few[-1].op)
        recovered = msgspec.structs.replace(plan.recovered, headers=few, faulty=faulty)
        return recovery.Plan(recovered, (), True)

    replace(recover, forgetting)


def _acknowledges_what_it_lacks() -> None:
    """Where a peer's snapshot stands for a frame, the replica vouches for the frame as well."""
    put(State, "missing", lambda s, op: False)


def _commits_what_is_held() -> None:
    """A backup takes as committed whatever it holds."""
    put(State, "certain", property(lambda s: s.log.head))


def _commits_over_hole() -> None:
    def advance(s: State) -> None:
        while s.commit < min(s.certain, s.log.durable):
            s.commit = type(s.commit)(s.commit + 1)
            frame = s.log.frames.get(s.commit)
            if frame is not None:
                s.out.append(Commit(frame))

    replace(commit.advance, advance)


LOST = ("acks-durable", "durability", "kept")
# What could not be made cannot be synced either.
GONE = "raised-NoSuchFile"
VIEWS = ("views-durable", "remembered")
CANARIES = (
    Canary("acknowledged before sync", "memory counts as disk", LOST, _ack_before_sync, (3,)),
    Canary(
        "view not durable", "it is spoken of before", (*VIEWS, ASSERTED), _view_not_durable, (1,)
    ),
    Canary("log view not durable", "likewise", VIEWS, _log_view_not_durable, (2, 29)),
    Canary("prepares at once", "leads undurably", (*VIEWS, ASSERTED), _prepares_at_once, (15,)),
    Canary("frames not synced", "written only", LOST, _frames_not_synced, (3, 44)),
    Canary("records not written", "no header journal", LOST, _records_not_written, (3,)),
    Canary("superblock not synced", "written only", VIEWS, _superblock_not_synced, (1,)),
    Canary("sync retried", "a failed sync is repeated", (*LOST, GONE), _sync_retried, (3,)),
    Canary("write error ignored", "of the header journal", LOST, _write_error_ignored),
    Canary("folder not synced", "of a new segment", (*LOST, "liveness"), _folder_not_synced),
    Canary("memory dropped", "a superblock is not written", VIEWS, _memory_dropped, (17,)),
    Canary("memory put back", "by naming a snapshot", VIEWS, _memory_put_back, (2, 17)),
    Canary(
        "start syncs nothing",
        "sees is stored",
        (*LOST, *VIEWS, GONE),
        _start_syncs_nothing,
    ),
    Canary("starts empty", "the log's end is forgotten", LOST, _starts_empty, (4,)),
    Canary("vouches for a snapshot's frames", "", LOST, _acknowledges_what_it_lacks, (21, 37)),
    Canary("commits what is held", "", ("durability", ASSERTED), _commits_what_is_held, (10, 39)),
    Canary(
        "commits over a hole", "", ("agreement", "liveness", ASSERTED), _commits_over_hole, (42,)
    ),
)
