"""What happens when things break: nothing is lost, nothing is applied twice, nothing stays open."""

import asyncio
import gc
import os
import signal
import socket
import threading
from collections import Counter
from typing import Any

import msgspec
import pytest
import trio

import veritydb.aio
import veritydb.trio
from tests.client.live import REGION, LiveNode, free_port
from veritydb.client import connection as connections
from veritydb.client.client import AsyncClient, connect_over
from veritydb.client.deadline import Deadline
from veritydb.client.stream import AsyncStream
from veritydb.client.sync import Client, connect
from veritydb.client.transport import dial_socket
from veritydb.client.values import ANY, NO_STREAM, STREAM_EXISTS, RecordedEvent
from veritydb.types.entry import EXPECT_NO_STREAM, EntryHeader, Kind
from veritydb.types.errors import (
    Applied,
    Closed,
    DeadlineExceeded,
    InvalidInput,
    Unavailable,
    UnreachablePlacement,
    VerityError,
    WrongCluster,
    WrongExpectedOffset,
)
from veritydb.types.event import Event
from veritydb.types.ids import StreamId, TenantId
from veritydb.types.labels import DataClass, Region

pytestmark = pytest.mark.cluster

HERE = Region(REGION)
PHI = DataClass.PHI


async def make(db: AsyncClient, name: str, tenant: int = 1) -> AsyncStream:
    return await db.create_stream(name, tenant=tenant, data_class=PHI, placement=HERE)


async def payloads(stream: AsyncStream) -> list[bytes]:
    found = []
    async for batch in stream.read_batches():
        found += batch.payloads
    return found


def test_concurrent_appends_are_joined_in_order(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "joined")
            events = [Event("t", str(at).encode()) for at in range(500)]
            answers = await asyncio.gather(*(stream.append([event]) for event in events))
            assert [answer.base for answer in answers] == list(range(500))
            entries = [batch async for batch in stream.read_batches()]
            assert await payloads(stream) == [event.payload for event in events]
            assert len(entries) < 50
            assert stream._coalescer.idle

    asyncio.run(main())


def test_one_callers_mistake_is_not_the_others(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "mistake")
            bad: Any = Event("t", b"", id=b"short")
            answers = await asyncio.gather(
                stream.append([Event("t", b"1")]),
                stream.append([bad]),
                stream.append([Event("t", b"2")]),
                return_exceptions=True,
            )
            assert isinstance(answers[1], InvalidInput)
            assert await payloads(stream) == [b"1", b"2"]

    asyncio.run(main())


def test_appends_without_joining(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url, coalesce=False) as db:
            stream = await make(db, "single")
            # More than the session's window, so some have to wait for their turn.
            wanted = [str(at).encode() for at in range(1500)]
            answers = await asyncio.gather(*(stream.append([Event("t", p)]) for p in wanted))
            assert sorted(answer.base for answer in answers if answer.base is not None) == list(
                range(1500)
            )
            assert Counter(await payloads(stream)) == Counter(wanted)

    asyncio.run(main())


@pytest.mark.parametrize("expected", [ANY, STREAM_EXISTS])
@pytest.mark.parametrize("coalesce", [True, False])
def test_exactly_once_over_a_kill(own_node: LiveNode, expected: Any, coalesce: bool) -> None:
    """Clients go on as if nothing had happened; every event is there once."""

    async def main() -> None:
        async with veritydb.aio.connect(own_node.url, timeout=60, coalesce=coalesce) as db:
            stream = await make(db, "killed")
            await stream.append([Event("t", b"first")])
            appended = 0
            enough = asyncio.Event()

            async def writer(number: int) -> list[bytes]:
                nonlocal appended
                wrote = []
                for at in range(40):
                    payload = f"{number}/{at}".encode()
                    await stream.append([Event("t", payload)], expected=expected)
                    wrote.append(payload)
                    appended += 1
                    if appended == 80:
                        enough.set()
                return wrote

            async def killer() -> None:
                await enough.wait()
                await asyncio.to_thread(own_node.kill)
                own_node.start()

            *wrote, _ = await asyncio.gather(*(writer(number) for number in range(8)), killer())
            every = [payload for one in wrote if one is not None for payload in one]
            assert Counter(await payloads(stream)) == Counter([b"first", *every])

    asyncio.run(main())


def test_exact_offsets_over_a_kill(own_node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(own_node.url, timeout=60) as db:
            stream = await make(db, "exact")
            killing = None
            for at in range(60):
                if at == 20:
                    killing = asyncio.create_task(restart(own_node))
                answer = await stream.append(
                    [Event("t", str(at).encode())], expected=at if at else NO_STREAM
                )
                assert answer.base == at
            assert killing is not None
            await killing
            assert await payloads(stream) == [str(at).encode() for at in range(60)]

    asyncio.run(main())


async def restart(node: LiveNode) -> None:
    await asyncio.to_thread(node.kill)
    node.start()


def test_a_node_that_is_gone(own_node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(own_node.url, timeout=60) as db:
            stream = await make(db, "gone")
            await stream.append([Event("t", b"1")])
            await asyncio.to_thread(own_node.stop)
            with pytest.raises(VerityError) as raised:
                await stream.append([Event("t", b"2")], timeout=0.5)
            # The attempt may have reached the node before it stopped: only the first may say so.
            with pytest.raises(Unavailable) as certain:
                await stream.append([Event("t", b"3")], timeout=0.5)
            assert certain.value.applied is Applied.NO
            with pytest.raises(UnreachablePlacement):
                await db.stream("gone", tenant=1, timeout=0.5)
            with pytest.raises(Unavailable):
                await payloads_with_timeout(stream)
            assert [node.reachable for node in await db.status()] == [False]
            own_node.start()
            await stream.append([Event("t", b"4")])
            found = await payloads(stream)
            assert found in ([b"1", b"4"], [b"1", b"2", b"4"])
            assert raised.value.applied is Applied.UNKNOWN or b"2" not in found

    asyncio.run(main())


async def payloads_with_timeout(stream: AsyncStream) -> list[Any]:
    return [item async for item in stream.read(timeout=0.5)]


def test_a_silent_node_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody accepts connections and says nothing."""
    monkeypatch.setattr(connections, "HELLO_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"veritydb://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unavailable), connect(url, timeout=0.5):
            pass


def test_an_echo_is_no_node(node: LiveNode) -> None:
    """What comes back is a message, but not an answer; the other address has a node."""

    def echo(listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
                with caller:
                    while data := caller.recv(65_536):
                        caller.sendall(data)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=echo, args=(listener,))
        thread.start()
        url = f"veritydb://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(WrongCluster, match="no node that serves clients"), connect(url):
            pass
        with connect(f"{url},{node.address}") as db:
            db.create_stream("echo", tenant=1, data_class=PHI, placement=HERE)
        # Closing a socket does not wake who waits for it.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_other_address_is_taken(node: LiveNode) -> None:
    url = f"veritydb://127.0.0.1:{free_port()},{node.address}"
    with connect(url) as db:
        assert sorted(one.reachable for one in db.status()) == [False, True]
        db.create_stream("second", tenant=1, data_class=PHI, placement=HERE)


def test_a_client_that_was_closed(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "closed")
        with pytest.raises(Closed):
            await stream.append([Event("t", b"")])
        with pytest.raises(Closed):
            await stream.info()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    with connect(node.url) as db:
        handle = db.stream("closed", tenant=1)
        left = handle.read()
    with pytest.raises(Closed):
        handle.append([Event("t", b"")])
    with pytest.raises(Closed):
        list(left)
    db.close()


def test_closing_gives_up_what_waits(own_node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(own_node.url, timeout=60) as db:
            stream = await make(db, "waiting")
            await stream.append([Event("t", b"")])
            await asyncio.to_thread(own_node.kill)
            waiting = asyncio.create_task(stream.append([Event("t", b"")]))
            reading = asyncio.create_task(stream.info())
            await asyncio.sleep(0)
        for task in (waiting, reading):
            with pytest.raises(VerityError):
                await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_an_append_that_closing_cuts_off_is_not_said_to_be_undone(node: LiveNode) -> None:
    """Also one that travels alone, because it says where the stream has to be."""

    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "cut-off")
            await stream.append([Event("t", b"1")])
            group = stream._appender._sessions[stream.group]
            assert group._window is not None
            sent = asyncio.create_task(stream.append([Event("t", b"2")], expected=1))
            while not group._window._outstanding:  # noqa: ASYNC110
                await asyncio.sleep(0)
        with pytest.raises(Closed) as raised:
            await sent
        assert raised.value.applied is Applied.UNKNOWN

    asyncio.run(main())


def test_nothing_is_left_behind(node: LiveNode) -> None:
    async def read_a_little() -> None:
        async with veritydb.trio.connect(node.url) as db:
            stream = await db.create_stream("left", tenant=1, data_class=PHI, placement=HERE)
            await stream.append([Event("t", bytes(100_000))] * 30)
            async for _ in stream.read():
                break
            with trio.move_on_after(0.01):
                await db.audit_verify(1)

    before = set(threading.enumerate())
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        trio.run(read_a_little)
        with connect(node.url) as db:
            next(iter(db.stream("left", tenant=1).read()))
    gc.collect()
    assert set(threading.enumerate()) == before
    assert len(os.listdir("/proc/self/fd")) <= files + 1


def test_two_clients_in_one_loop(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as one:
            async with veritydb.aio.connect(node.url) as two:
                await make(two, "both")
            await one.stream("both", tenant=1)
        async with veritydb.aio.connect(node.url) as three:
            await three.stream("both", tenant=1)

    asyncio.run(main())


def test_no_use_after_a_fork(node: LiveNode, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "forked")
            with monkeypatch.context() as patch:
                patch.setattr(os, "getpid", lambda: 1)
                with pytest.raises(Closed, match="fork"):
                    await stream.append([Event("t", b"")])

    asyncio.run(main())
    with connect(node.url) as db:
        pid = os.fork()
        if pid == 0:
            # In the child. Nothing of pytest may go on here.
            status = 1
            try:
                db.list_streams(tenant=1)
            except Closed:
                db.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert db.status()[0].reachable


def test_deadlines(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "late")
            await stream.append([Event("t", b"")])
            for coalesced in (True, False):
                db.coalesce = coalesced
                with pytest.raises((DeadlineExceeded, Unavailable)) as raised:
                    await stream.append([Event("t", b"")], timeout=1e-9)
                assert "in time" in str(raised.value)

    asyncio.run(main())


def test_a_session_that_was_forgotten(node: LiveNode) -> None:
    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "session")
            await stream.append([Event("t", b"0")])
            window = db.appender._sessions[stream.group]._window
            assert window is not None
            # A session that no node ever opened: what an evicted one looks like.
            window.session += 1 << 40
            answers = await asyncio.gather(
                *(stream.append([Event("t", b"1")], expected=STREAM_EXISTS) for _ in range(20))
            )
            assert sorted(answer.base or 0 for answer in answers) == list(range(1, 21))
            assert await payloads(stream) == [b"0", *[b"1"] * 20]

    asyncio.run(main())


def test_time_taken_from_a_wrong_clock_is_put_right(node: LiveNode) -> None:
    """A client that connected while some clock was ahead goes on with the log's own time."""

    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "hasty")
            db.core.pool.clock_offset = 86_400 * 10**9
            answer = await stream.append([Event("t", b"0")])
            assert (answer.base, answer.duplicate) == (0, False)
            assert abs(db.core.pool.clock_offset) < 60 * 10**9
            await stream.append([Event("t", b"1")])
            assert await payloads(stream) == [b"0", b"1"]

    asyncio.run(main())


def test_a_batch_is_known_by_what_is_stored(node: LiveNode) -> None:
    """When the group has forgotten a batch's id, the entry at its offset still tells."""

    async def main() -> None:
        async with veritydb.aio.connect(node.url) as db:
            stream = await make(db, "stored")
            await stream.append([Event("t", b"0"), Event("t", b"1")])
            await stream.append([Event("t", b"2")])
            (first,) = [item async for item in stream.read(limit=1)]
            assert isinstance(first, RecordedEvent)
            header = EntryHeader(
                kind=Kind.APPEND,
                tenant=TenantId(1),
                stream=StreamId(stream.id),
                expected=EXPECT_NO_STREAM,
                batch=first.entry.batch,
                events=2,
            )
            changed = msgspec.structs.replace
            for asked, actual, base in [
                (header, 3, 0),
                (changed(header, expected=0), 3, 0),
                (changed(header, expected=1), 3, None),
                (changed(header, batch=b"other" + bytes(11)), 3, None),
                (header, 1, None),
                (header, None, None),
            ]:
                error = WrongExpectedOffset("moved", actual=actual)
                found = await db.appender._stored(stream.group, asked, error, Deadline(10))
                assert (found and (found.base, found.count, found.duplicate)) == (
                    None if base is None else (base, 2, True)
                )

    asyncio.run(main())


def test_a_node_that_stands_still(own_node: LiveNode) -> None:
    """It closes nothing and answers nothing: the client gives it up, and comes back."""

    async def main() -> None:
        async with veritydb.aio.connect(own_node.url, timeout=60) as db:
            stream = await make(db, "still")
            await stream.append([Event("t", b"0")])
            before = db.core.pool.at_hand(own_node.address)
            assert own_node.process is not None
            own_node.process.send_signal(signal.SIGSTOP)
            try:
                waiting = asyncio.create_task(stream.append([Event("t", b"1")]))
                while before is not None and not before.closed:
                    assert not (await db.status())[0].reachable
            finally:
                own_node.process.send_signal(signal.SIGCONT)
            assert (await waiting).base == 1
            assert await payloads(stream) == [b"0", b"1"]

    asyncio.run(main())


def test_a_given_connection(node: LiveNode) -> None:
    """How the client of an embedded node is made: over a socket that is connected already."""
    host, _, port = node.address.partition(":")
    with Client(dial=dial_socket(socket.create_connection((host, int(port))))) as db:
        db.create_stream("given", tenant=1, data_class=PHI, placement=HERE)
        assert db.stream("given", tenant=1).append([Event("t", b"")]).count == 1

    async def main() -> None:
        dial = dial_socket(socket.create_connection((host, int(port))))
        async with connect_over(dial) as db:
            stream = await db.stream("given", tenant=1)
            assert len(await payloads(stream)) == 1

    asyncio.run(main())
