"""Any sequence of calls, power cuts and rot, against a model that only remembers promises."""

from random import Random

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simulation.disk import PowerCut
from tests.storage.logs import append_entry, fresh, next_frame
from veritydb.storage import names
from veritydb.storage.store import Store
from veritydb.storage.verify import verify
from veritydb.types.durable import SnapshotRef
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import Op, View


class StoreMachine(RuleBasedStateMachine):
    """One replica's directory. Views only grow; within one nothing is cut."""

    def __init__(self) -> None:
        """An empty log."""
        super().__init__()
        self.disk, self.store = fresh()
        self.log: list[Frame] = []
        self.base: Header | None = None
        self.snapshot = SnapshotRef()
        self.view = 0
        self.erased: set[int] = set()
        self.rotten: set[int] = set()

    def frames(self, count: int, size: int) -> list[Frame]:
        """Frames that follow the log."""
        previous = self.log[-1].header if self.log else None
        found = []
        for number in range(count):
            entry = append_entry([bytes([65 + number]) * size, b"second"], number)
            found.append(next_frame(previous, [entry], self.view))
            previous = found[-1].header
        return found

    @rule(count=st.integers(1, 4), size=st.sampled_from([1, 300, 5000]))
    def append(self, count: int, size: int) -> None:
        """Append frames."""
        found = self.frames(count, size)
        self.store.append(found)
        self.log += found

    @rule(
        count=st.integers(1, 4),
        size=st.sampled_from([1, 300, 5000]),
        at=st.integers(0, 5),
        seed=st.integers(0, 999),
    )
    def append_and_lose_power(self, count: int, size: int, at: int, seed: int) -> None:
        """Append frames while power fails; what is there afterwards is a prefix."""
        found = self.frames(count, size)
        self.disk.fail_after(at)
        try:
            self.store.append(found)
            least = len(self.log) + count
        except PowerCut:
            least = len(self.log)
        self.log += found
        self.restart(seed)
        assert least <= self.store.head <= len(self.log)
        self.log = self.log[: self.store.head]

    @rule(seed=st.integers(0, 999))
    def lose_power(self, seed: int) -> None:
        """Start again from what is left."""
        self.restart(seed)
        assert self.store.head == len(self.log)

    def restart(self, seed: int) -> None:
        """Cut the power and open the directory."""
        self.disk.crash(Random(seed).randrange)
        self.store, recovered = Store.open(self.disk)
        assert recovered.head_certain
        assert set(recovered.faulty) == {op for op in self.rotten if op > self.snapshot.op}
        assert recovered.superblock.snapshot == self.snapshot
        assert recovered.superblock.view_state.view == self.view

    @rule(keep=st.integers(0, 10))
    def change_view(self, keep: int) -> None:
        """Cut the log in a new view, as a view change does."""
        after = max(len(self.log) - keep, self.snapshot.op, max(self.erased, default=0))
        after = max(after, max(self.rotten, default=0))
        self.store.cut(Op(after))
        self.log = self.log[:after]
        self.view += 1
        state = msgspec.structs.replace(
            self.store.superblock.view_state,
            view=View(self.view),
            log_view=View(self.view),
            headers=tuple(frame.header for frame in self.log[-5:]),
        )
        self.store.write_superblock(view_state=state)

    @precondition(lambda self: self.store.head > self.snapshot.op)
    @rule()
    def take_snapshot(self) -> None:
        """Make a snapshot of the head's state and name it."""
        composer = self.store.begin_snapshot(self.log[-1].header, bytes(32))
        composer.add(b"state")
        self.snapshot = composer.finish()
        self.store.write_superblock(snapshot=self.snapshot)

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """Erase an entry, which a rotten frame refuses."""
        op = data.draw(st.integers(1, len(self.log)))
        left = self.store.erase_many([(Op(op), 0)])
        assert left == ([(op, 0)] if op in self.rotten else [])
        if not left:
            self.erased.add(op)

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def rot(self, data: st.DataObject) -> None:
        """Flip a byte of a frame's header."""
        op = data.draw(st.integers(1, len(self.log)))
        header = self.log[op - 1].header
        if op not in self.rotten:
            at = header.position + data.draw(st.integers(0, 300))
            self.disk.rot(names.segment(header.segment), at)
            self.rotten.add(op)

    @precondition(lambda self: self.rotten)
    @rule(data=st.data())
    def repair(self, data: st.DataObject) -> None:
        """Write a rotten frame again; what was erased stays so."""
        op = data.draw(st.sampled_from(sorted(self.rotten)))
        self.store.repair([self.log[op - 1]])
        self.rotten.discard(op)

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def a_record_rots(self, data: st.DataObject) -> None:
        """Let records rot whose frames are whole: a start restores them."""
        op = data.draw(st.integers(1, len(self.log)))
        if op > self.snapshot.op and op not in self.rotten:
            after = self.log[op].header.op if op < len(self.log) else None
            if after is None and self.log[op - 1].header.view != self.view:
                return
            self.disk.rot(names.JOURNAL, op * 256 + 30)
            self.restart(1)

    @invariant()
    def it_reads_what_was_promised(self) -> None:
        """Every frame is there, but for the rotten ones."""
        read = self.store.read_frames(Op(1), Op(len(self.log) + 5), 1 << 30)
        assert len(read) == len(self.log)
        for op, (found, frame) in enumerate(zip(read, self.log, strict=True), start=1):
            if op in self.rotten:
                assert found is None
                continue
            assert found is not None
            assert found.header == frame.header
            assert bool(found.holes) == (op in self.erased)
            if op not in self.erased:
                assert found == frame

    def teardown(self) -> None:
        """At the end only the rot is found."""
        found = [each for each in verify(self.disk) if each.file != names.OUTCOMES]
        assert {each.op for each in found} == self.rotten


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
