"""The small parts of the shell, each by itself: shares, gates, the writer, recent data, the log."""

import asyncio
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from veritydb.node.effects import AppendOutcomes, RepairFrame, WriteFrames, WriteSuperblock
from veritydb.node.events import Event, SuperblockWritten
from veritydb.server.files import FileDisk
from veritydb.server.gate import UNSENT_MAX, Gate
from veritydb.server.host import from_trio, host
from veritydb.server.log import Log
from veritydb.server.recent import Recent
from veritydb.server.refusals import Refused, guarded
from veritydb.server.shares import FREE_ENTRIES, Shares
from veritydb.server.writer import Writer
from veritydb.storage.disk import Buffer, DiskError, DiskFull
from veritydb.storage.names import SPARE
from veritydb.storage.store import Store
from veritydb.types import frame as frames
from veritydb.types.durable import Identity
from veritydb.types.entry import EntryHeader, Kind, with_body
from veritydb.types.errors import EdgeCode, TooLarge
from veritydb.types.frame import Frame, Header
from veritydb.types.ids import GroupId, Op, View
from veritydb.types.merkle import NO_HASH, root
from veritydb.types.outcome import RECORD_BYTES
from veritydb.vsr.events import FrameRepaired, FramesWritten

WHO = Identity(
    cluster=b"c" * 16, group=GroupId(1), region="au-syd", index=0, replicas=1, incarnation=0
)


def log_of(count: int) -> list[Frame]:
    """The frames of a log."""
    found: list[Frame] = []
    previous: Header | None = None
    for op in range(1, count + 1):
        entry = with_body(EntryHeader(kind=Kind.COMMAND), b"%d" % op)
        segment, position = frames.place(previous, len(entry.data))
        header = frames.seal(
            Header(
                cluster=WHO.cluster,
                group=WHO.group,
                epoch=0,
                view=View(1),
                op=Op(op),
                commit=Op(op - 1),
                timestamp=op,
                kernel=1,
                segment=segment,
                position=position,
                entry_base=op - 1,
                entry_count=1,
                body_len=len(entry.data),
                previous=NO_HASH if previous is None else previous.hash,
                outcomes=NO_HASH,
                root=root([entry.leaf]),
            )
        )
        found.append(Frame(header, entry.data))
        previous = header
    return found


class Desk:
    """A writer over a real directory, and what it delivers."""

    def __init__(self, folder: Path, disk: FileDisk | None = None) -> None:
        self.disk = disk or FileDisk(folder)
        Store.format(self.disk, WHO)
        self.store, _ = Store.open(self.disk, WHO)
        self.events: list[Event] = []
        self.failures: list[BaseException] = []
        self.failed = threading.Event()
        self.recent = Recent(self.store)
        self.writer = Writer(
            self.store, self.events.extend, self.fail, self.recent.outcomes_written, "test"
        )

    def fail(self, error: BaseException) -> None:
        """As the server is told."""
        self.failures.append(error)
        self.failed.set()

    def close(self) -> None:
        """Carry out what is queued and end."""
        self.writer.close()
        self.disk.close()


def test_a_writer_keeps_order_and_gathers_what_waits(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    log = log_of(60)
    held = threading.Event()
    desk.writer.put(lambda: held.wait() and None)
    for frame in log[:30]:
        desk.writer.put(WriteFrames((frame,)))
        desk.writer.put(AppendOutcomes(frame.header.op - 1, bytes([frame.header.op]) * 64))
    desk.writer.put(WriteSuperblock(1, None, None))
    desk.writer.put(WriteFrames(tuple(log[30:])))
    held.set()
    desk.close()
    assert desk.events == [
        FramesWritten(Op(30), log[29].header.hash),
        SuperblockWritten(1),
        FramesWritten(Op(60), log[59].header.hash),
    ]
    assert desk.writer.syncs == 2 and desk.writer.gathered == 60
    assert desk.store.read_outcomes(0, 30) == b"".join(bytes([op]) * 64 for op in range(1, 31))
    store, recovered = Store.open(FileDisk(tmp_path), WHO)
    assert recovered.head == 60 and store.read_frames(Op(60), Op(60), 0) == [log[59]]


def test_a_frame_that_was_mended_is_told_of_before_the_next_is_written(tmp_path: Path) -> None:
    """On a slow disk the next one is always there already."""
    desk = Desk(tmp_path)
    [frame] = log_of(1)
    held = threading.Event()
    told: list[bool] = []
    desk.writer.put(WriteFrames((frame,)))
    desk.writer.put(lambda: held.wait() and None)
    desk.writer.put(RepairFrame(frame))
    mended = FrameRepaired(frame.header.op, frame.header.hash)
    desk.writer.put(lambda: told.append(mended in desk.events))
    held.set()
    desk.close()
    assert told == [True]


class Counting(FileDisk):
    """A disk that counts how often it was asked to sync a file."""

    syncs = 0

    def sync(self, name: str) -> None:
        """Count."""
        self.syncs += 1
        super().sync(name)


def test_frames_that_are_mended_in_a_row_are_written_together(tmp_path: Path) -> None:
    """On a slow disk each sync counts, and a lost segment has thousands of frames."""
    disk = Counting(tmp_path)
    desk = Desk(tmp_path, disk)
    log = log_of(40)
    syncs: list[int] = []
    desk.writer.put(WriteFrames(tuple(log)))
    held = threading.Event()
    desk.writer.put(lambda: held.wait() and None)
    desk.writer.put(lambda: syncs.append(disk.syncs))
    for frame in log[:30]:
        desk.writer.put(RepairFrame(frame))
    desk.writer.put(lambda: syncs.append(disk.syncs))
    held.set()
    desk.close()
    mended = [event for event in desk.events if isinstance(event, FrameRepaired)]
    assert [event.op for event in mended] == list(range(1, 31))
    assert syncs[1] - syncs[0] == 1


class Failing(FileDisk):
    """A disk that fails at the n-th sync of a file, or has no space for a while."""

    sync_fails = False
    full = False

    def sync(self, name: str) -> None:
        """Fail if told to."""
        if self.sync_fails:
            raise DiskError("cannot sync: EIO")
        super().sync(name)

    def allocate(self, name: str, size: int) -> None:
        """Have no space if told so."""
        if self.full:
            raise DiskFull("no space")
        super().allocate(name, size)

    def write(self, name: str, at: int, buffers: Sequence[Buffer]) -> None:
        """Never reached while there is no space."""
        assert not self.full
        super().write(name, at, buffers)


def test_a_failed_sync_ends_everything_and_acknowledges_nothing(tmp_path: Path) -> None:
    disk = Failing(tmp_path)
    desk = Desk(tmp_path, disk)
    disk.sync_fails = True
    desk.writer.put(WriteFrames((log_of(1)[0],)))
    assert desk.failed.wait(30)
    assert [type(error) for error in desk.failures] == [DiskError]
    assert desk.events == []
    desk.close()


def test_without_space_writes_wait_until_there_is_some(tmp_path: Path) -> None:
    disk = Failing(tmp_path)
    desk = Desk(tmp_path, disk)
    running, held = threading.Event(), threading.Event()

    def hold() -> None:
        if disk.size(SPARE) is not None:
            disk.remove(SPARE)
        running.set()
        held.wait()

    desk.writer.put(hold)
    assert running.wait(30)
    disk.full = True
    desk.writer.put(WriteFrames((log_of(1)[0],)))
    held.set()
    while not desk.writer.full:
        assert not desk.failed.is_set(), desk.failures
    assert desk.events == []
    disk.full = False
    while not desk.events:
        assert not desk.failed.is_set(), desk.failures
    desk.close()
    assert isinstance(desk.events[0], FramesWritten) and not desk.failures
    assert not desk.writer.full


@given(
    written=st.integers(0, 12),
    outcomes=st.integers(0, 12),
    first=st.integers(1, 12),
    span=st.data(),
)
def test_recent_data_and_files_are_one_log(
    tmp_path_factory: pytest.TempPathFactory, written: int, outcomes: int, first: int, span: Any
) -> None:
    folder = tmp_path_factory.mktemp("recent")
    disk = FileDisk(folder)
    Store.format(disk, WHO)
    store, _ = Store.open(disk, WHO)
    log = log_of(12)
    recent = Recent(store)
    for frame in log:
        recent.add(frame)
        recent.add_outcomes(frame.header.op - 1, bytes([frame.header.op]) * RECORD_BYTES)
    store.append(log[:written])
    recent.durable(written)
    recent.forget()
    for op in range(1, outcomes + 1):
        store.append_outcomes(op - 1, bytes([op]) * RECORD_BYTES)
    recent.outcomes_written(outcomes)
    last = span.draw(st.integers(first, 12))
    assert recent.frames(first, last, 1 << 20) == log[first - 1 : last]
    assert recent.frames(first, last, 0) == log[first - 1 : first]
    count = last - first + 1
    wanted = b"".join(bytes([op]) * RECORD_BYTES for op in range(first, last + 1))
    assert recent.outcomes(first - 1, count) == wanted
    disk.close()


def test_a_tenant_that_floods_leaves_room_for_others() -> None:
    shares = Shares()
    open_shares = []
    for _ in range(FREE_ENTRIES):
        share = shares.of(1, 100)
        share.__enter__()
        open_shares.append(share)
    with pytest.raises(Refused) as caught:
        shares.of(1, 100).__enter__()
    assert caught.value.code == EdgeCode.OVERLOADED and not caught.value.maybe_applied
    for _ in range(100):
        share = shares.of(2, 100)
        share.__enter__()
        open_shares.append(share)
    for share in open_shares:
        share.__exit__(None, None, None)
    with shares.of(1, 100):
        pass


class Wire:
    """A transport that takes as much as it is told to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading = True
        self.stuck = 0

    def write(self, data: bytes) -> None:
        """Take it."""
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        """What has not been sent."""
        return self.stuck

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Stop."""
        self.reading = False

    def resume_reading(self) -> None:
        """Go on."""
        self.reading = True


def test_a_gate_joins_small_writes_and_holds_readers() -> None:
    async def main() -> None:
        wire = Wire()
        gate = Gate(wire, asyncio.get_running_loop())
        for piece in (b"a", b"b", b"c"):
            gate.write(piece)
        assert wire.written == []
        await asyncio.sleep(0)
        assert wire.written == [b"abc"]
        gate.write(b"d")
        gate.write(bytes(100_000))
        assert wire.written[1:] == [b"d", bytes(100_000)]
        gate.hold()
        gate.resume_reading()
        assert not wire.reading
        gate.release()
        assert wire.reading

    asyncio.run(main())


def test_a_pause_that_is_taken_back_never_reaches_the_transport() -> None:
    async def main() -> None:
        wire = Wire()
        gate = Gate(wire, asyncio.get_running_loop())
        for _ in range(2):
            gate.resume_reading()
            gate.pause_reading()
            gate.pause_reading()
            assert wire.reading
        # Something came meanwhile that was not wanted.
        gate.pause_reading()
        assert not wire.reading
        gate.resume_reading()
        assert wire.reading

    asyncio.run(main())


def test_answers_wait_for_a_reader_that_takes_nothing() -> None:
    async def main() -> None:
        wire = Wire()
        gate = Gate(wire, asyncio.get_running_loop())
        made = []

        async def answer(size: int) -> None:
            async with gate.room(UNSENT_MAX // 2) as room:
                made.append(size)
                room.used = size
            gate.write(bytes(size))

        wire.stuck = UNSENT_MAX
        tasks = [asyncio.create_task(answer(1_000)) for _ in range(50)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert made == []
        # One that is given up takes nobody's turn with it.
        tasks[0].cancel()
        wire.stuck = 0
        gate.write(b"x")
        await asyncio.gather(*tasks[1:])
        assert len(made) == 49
        assert tasks[0].cancelled()
        assert gate.unsent() < UNSENT_MAX

    asyncio.run(main())


class Results:
    """Stands in for the results of a call."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def init(self, name: str) -> "Results":
        """A struct within."""
        self.fields[name] = Results()
        inner: Results = self.fields[name]
        return inner


class Handler:
    """A handler whose calls end in every way there is."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.log = Log("info", "json", self.out)

    @guarded()
    async def call(self, context: Any) -> None:
        """Raise what is asked for."""
        raise context.error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (Refused(EdgeCode.OVERLOADED, retry_after_ms=7), EdgeCode.OVERLOADED, "waiting"),
        (TooLarge("a batch of 9 bytes", limit=8), EdgeCode.TOO_LARGE, "9 bytes"),
        (KeyError("secret"), EdgeCode.INTERNAL, "log says more"),
        (ValueError("secret"), EdgeCode.INTERNAL, "log says more"),
    ],
)
def test_whatever_a_handler_raises_becomes_a_refusal(
    error: Exception, code: int, says: str
) -> None:
    handler = Handler()
    context = type("Context", (), {"error": error, "results": Results()})()
    asyncio.run(handler.call(context))
    refused = context.results.fields["res"].fields["refused"]
    assert refused.code == code and says in refused.message
    assert "secret" not in refused.message + handler.out.getvalue()
    if code == EdgeCode.INTERNAL:
        line = json.loads(handler.out.getvalue())
        assert line["event"] == "handler.failed" and line["error"] == type(error).__name__


def test_log_lines_have_fields_and_a_level() -> None:
    out = io.StringIO()
    log = Log("warning", "plain", out, node="n1").child(group=1)
    log.info("not.seen")
    log.warning("seen", op=5)
    assert out.getvalue().endswith("warning seen node=n1 group=1 op=5\n")
    out.close()
    # Nobody reads any more: that is no reason to fail.
    log.error("lost")


def test_trio_lives_in_the_asyncio_loop_and_ends_in_order() -> None:
    ended: list[str] = []

    async def main(stop: Any) -> str:
        loop = asyncio.get_running_loop()

        async def later() -> str:
            await asyncio.sleep(0)
            return "value"

        try:
            assert await from_trio(loop, later()) == "value"
            loop.call_soon(stop)
            await trio.sleep_forever()
        finally:
            ended.append("trio")
        return "never"

    asyncio.run(host(main, signals=False))
    assert ended == ["trio"]


def test_what_trio_raises_reaches_asyncio_and_cancelling_ends_trio() -> None:
    async def broken(_stop: Any) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(host(broken, signals=False))

    async def cancelled() -> None:
        ended: list[str] = []

        async def sleeping(_stop: Any) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.append("trio")

        task = asyncio.create_task(host(sleeping, signals=False))
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert ended == ["trio"]

    asyncio.run(cancelled())
