"""Connections between nodes: what a peer says counts only as it was said, and in its order."""

import asyncio
import contextlib
import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.nodes import config_text
from veritydb.server import peer_stream, peers
from veritydb.server.config import Config, parse, split_address
from veritydb.server.datadir import DataDir, init, open_dir
from veritydb.server.framing import HEAD_BYTES, What, head, parse_head, taken_frame
from veritydb.server.log import Log
from veritydb.server.machine import Machine
from veritydb.server.peer_hello import (
    PROTOCOL_VERSION,
    Answer,
    Hello,
    check_of,
    read_answer,
    read_hello,
    write_answer,
    write_hello,
)
from veritydb.server.peer_stream import pack
from veritydb.server.peers import Link, Peers
from veritydb.types.ids import GroupId, Op, View
from veritydb.types.limits import MESSAGE_BYTES_MAX, PEER_QUEUE_BYTES_MAX
from veritydb.vsr.messages import BadMessage, Message, Ping, SnapshotPart

COMMON: dict[str, Any] = {
    "cluster": b"c" * 16,
    "group": GroupId(1),
    "epoch": 1,
    "view": View(1),
    "sender": 0,
    "incarnation": 1,
}
HELLO = Hello(PROTOCOL_VERSION, b"c" * 16, "node-1", b"i" * 16, ((0, 2, 5), (1, 2, 5)))
LARGE = 3 << 20


def ping(number: int) -> Ping:
    return Ping(**COMMON, mono=number)


def part(number: int, size: int = LARGE) -> SnapshotPart:
    data = random.Random(number).randbytes(size)
    return SnapshotPart(**COMMON, op=Op(1), at=0, total=size, digest=bytes(32), data=data)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


def bent(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# -- what is said at the beginning


def test_no_flipped_bit_of_a_hello_passes_its_check() -> None:
    sound = write_hello(HELLO)
    assert read_hello(sound) == (HELLO, True)
    noticed = 0
    for bit in range(8 * len(sound)):
        try:
            other, holds = read_hello(bent(sound, bit))
        except BadMessage:
            continue
        assert not holds or other == HELLO
        noticed += not holds
    assert noticed > 8 * 40


def test_bytes_that_are_no_hello_and_no_answer() -> None:
    dice = random.Random(5)
    for data in (b"", b"\0" * 8, *(dice.randbytes(dice.randrange(400)) for _ in range(300))):
        with contextlib.suppress(BadMessage):
            assert not read_hello(data)[1]
        with contextlib.suppress(BadMessage):
            read_answer(data)


def test_no_flipped_bit_of_an_answer_tells_a_node_that_its_disk_is_lost() -> None:
    for answer in (Answer(""), Answer("another cluster")):
        sound = write_answer(answer)
        assert read_answer(sound) == answer
        for bit in range(8 * len(sound)):
            with contextlib.suppress(BadMessage):
                other = read_answer(bent(sound, bit))
                assert not (other.lost and len(other.instance) == 16)


# -- two nodes in this process


class Heard(Peers):
    """A node's connections that note what comes."""

    def __init__(self, config: Config, name: str, data: DataDir) -> None:
        self.messages: list[Message] = []
        self.came = asyncio.Event()
        self.lines = io.StringIO()
        log = Log("warning", out=self.lines)
        super().__init__(config, name, data, {}, log, lambda _where, _why: None, Machine())

    def received(self, message: Message) -> None:
        self.messages.append(message)
        self.came.set()

    async def heard(self, last: Message) -> None:
        """Wait until it comes."""
        while last not in self.messages:
            self.came.clear()
            await self.came.wait()


class Pair:
    """Nodes `n1` and `n2`. The second one listens; the first keeps a connection to it."""

    def __init__(self, one: Heard, other: Heard, address: tuple[str, int], config: Config) -> None:
        self.one = one
        self.other = other
        self.address = address
        self.link: Link = one._links["n2"]
        self.hello = write_hello(
            Hello(PROTOCOL_VERSION, config.cluster_id, "n1", one._data.instance, ())
        )

    async def up(self) -> None:
        """Wait for a connection."""
        await until(lambda: self.link.up)

    async def speaks(self, number: int) -> None:
        """Have a message get through, and wait for it."""
        last = ping(number)
        while last not in self.other.messages:
            await self.up()
            self.link.send(pack(last))
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the connection meanwhile."""
        keeping = asyncio.create_task(self.link.keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def hostile(self, *pieces: bytes) -> bytes:
        """Connect, say something, and hear until the other side ends the connection."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_pair(
    folder: Path, work: Callable[[Pair], Awaitable[None]], serve: Serve | None = None
) -> None:
    """Do something with two nodes. `serve` takes the place of the second one's port."""
    config = parse(config_text(["n1", "n2", "n3"]))
    datas = []
    for name in ("n1", "n2"):
        init(config, name, folder / name)
        datas.append(open_dir(config, name, folder / name))

    async def main() -> None:
        one, other = Heard(config, "n1", datas[0]), Heard(config, "n2", datas[1])
        address = split_address(config.node("n2").peer)
        loop = asyncio.get_running_loop()
        if serve is None:
            server = await loop.create_server(other.accept, *address)
        else:
            server = await asyncio.start_server(serve, *address)
        try:
            async with asyncio.timeout(60):
                await work(Pair(one, other, address, config))
        finally:
            server.close()
            other.close()
            for data in datas:
                data.close()

    asyncio.run(main())


def test_messages_arrive_as_they_were_sent_and_in_their_order(tmp_path: Path) -> None:
    said: list[Message] = []
    for number in range(12):
        said += [ping(number), part(number, 40_000), ping(-1 % (number + 1)), part(number)]
    said.append(ping(99))

    async def work(pair: Pair) -> None:
        async with pair.kept():
            await pair.up()
            for message in said:
                pair.link.send(pack(message))
            await pair.other.heard(said[-1])
            assert pair.other.messages == said and not pair.link.dropped
            # Some of it may not have been told of yet, but not much.
            stream = pair.link.stream
            assert stream is not None
            await until(lambda: stream.sent - stream.taken < peer_stream.TELL_BYTES)

    with_pair(tmp_path, work)


def test_what_was_taken_is_told_also_when_it_is_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_stream, "TELL_SECONDS", 0.0)

    async def work(pair: Pair) -> None:
        async with pair.kept():
            await pair.speaks(1)
            stream = pair.link.stream
            assert stream is not None
            await until(lambda: stream.taken == stream.sent)

    with_pair(tmp_path, work)


def test_hostile_bytes_end_their_connection_and_no_other(tmp_path: Path) -> None:
    dice = random.Random(11)
    message = pack(ping(7))[0]

    async def work(pair: Pair) -> None:
        hello = head(What.HELLO, len(pair.hello)) + pair.hello
        before = [
            message,
            taken_frame(1),
            b"GET / HTTP/1.1\r\n\r\n",
            head(What.HELLO, 1 << 30),
            head(What.HELLO, 8) + bytes(8),
            bent(hello, 8 * 11),
            *(dice.randbytes(dice.randrange(HEAD_BYTES, 2_000)) for _ in range(40)),
        ]
        after = [
            head(What.MESSAGE, MESSAGE_BYTES_MAX + 1),
            head(What.MESSAGE, 10) + bytes(10),
            head(9, 0),  # type: ignore[arg-type]
            taken_frame(0),
            hello,
            message + b"\0" * HEAD_BYTES,
            *(bent(message, dice.randrange(8 * len(message))) for _ in range(60)),
            *(dice.randbytes(dice.randrange(HEAD_BYTES, 2_000)) for _ in range(40)),
        ]
        async with pair.kept():
            await pair.speaks(1)
            for data in before:
                assert await pair.hostile(data) == b""
            for data in after:
                # Only its answer comes back, if the end of the connection leaves that much.
                assert len(await pair.hostile(hello, data)) < 200
            lines = pair.other.lines.getvalue().splitlines()
            assert len(lines) == len(before) + len(after)
            assert all("peer.bad_message" in line for line in lines)
            assert set(pair.other.messages) == {ping(1), ping(7)}
            # It has been the same connection all along.
            assert len(pair.other._serving) == 1 and not pair.one.lines.getvalue()

    with_pair(tmp_path, work)


def test_a_message_that_is_cut_short_is_none(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        hello = head(What.HELLO, len(pair.hello)) + pair.hello
        for message in (pack(ping(7)), pack(part(1))):
            whole = b"".join(message)
            for size in (1, HEAD_BYTES, HEAD_BYTES + 1, len(whole) - 1):
                reader, writer = await asyncio.open_connection(*pair.address)
                writer.write(hello + whole[:size])
                writer.write_eof()
                answered = await reader.read()
                assert parse_head(memoryview(answered), 1_000)[0] == What.ANSWER
                writer.close()
        assert not pair.other.messages and not pair.other._serving

    with_pair(tmp_path, work)


def test_who_is_refused_hears_why(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        sound, _ = read_hello(pair.hello)
        for changed, reason in [
            (sound._replace(version=1), "this node speaks protocol version"),
            (sound._replace(cluster=b"x" * 16), "another cluster"),
            (sound._replace(node="n9"), "no peer of this node"),
            (sound._replace(instance=b"short"), "no peer of this node"),
        ]:
            hello = write_hello(changed)
            answered = await pair.hostile(head(What.HELLO, len(hello)), hello)
            answer = read_answer(answered[HEAD_BYTES:])
            assert reason in answer.reason and not answer.accepted
        # A bit of the name was lost on the way; its check is not that of what came.
        hello = write_hello(sound).replace(b"n1\0", b"n3\0")
        assert check_of(sound) != check_of(sound._replace(node="n3"))
        answered = await pair.hostile(head(What.HELLO, len(hello)), hello)
        assert read_answer(answered[HEAD_BYTES:]).reason == "damaged on the way"

    with_pair(tmp_path, work)


def test_who_says_nothing_and_who_is_one_too_many_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(pair: Pair) -> None:
        async with pair.kept():
            await pair.speaks(1)
            monkeypatch.setattr(peer_stream, "HELLO_SECONDS", 0.0)
            assert await pair.hostile(b"V") == b""
            monkeypatch.setattr(peer_stream, "CONNECTIONS_MAX", 1)
            monkeypatch.setattr(peer_stream, "HELLO_SECONDS", 60.0)
            assert await pair.hostile() == b""
            assert len(pair.other._serving) == 1
            await pair.speaks(2)

    with_pair(tmp_path, work)


def test_a_connection_that_ends_again_and_again_is_made_again(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        async with pair.kept():
            for number in range(12):
                await pair.speaks(number)
                for stream in list(pair.other._serving):
                    stream.abort()
                await until(lambda: not pair.link.up)
            await pair.speaks(99)
            assert len(pair.other._serving) == 1
            # Each may have come more than once, since who says it does not know; the order holds.
            numbers = [one.mono for one in pair.other.messages if isinstance(one, Ping)]
            assert numbers == sorted(numbers) and set(numbers) == {*range(12), 99}

    with_pair(tmp_path, work)


def test_a_peer_that_takes_nothing_costs_a_bounded_amount_and_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It greets, and reads no more: its end of the connection may be long gone."""
    again = asyncio.Event()
    greeted: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what, size = parse_head(memoryview(await reader.readexactly(HEAD_BYTES)), 1 << 16)
        assert what == What.HELLO and read_hello(await reader.readexactly(size))[1]
        answer = write_answer(Answer(""))
        writer.write(head(What.ANSWER, len(answer)) + answer)
        greeted.append(writer)
        if len(greeted) == 3:
            again.set()

    async def work(pair: Pair) -> None:
        pieces = pack(part(1))
        async with pair.kept():
            await pair.up()
            stream = pair.link.stream
            assert stream is not None
            while not pair.link.dropped:
                pair.link.send(pieces)
            assert stream.sent <= PEER_QUEUE_BYTES_MAX
            while not again.is_set():
                pair.link.send(pack(ping(1)))
                await asyncio.sleep(0)
        assert "peer.takes_nothing peer=n2" in pair.one.lines.getvalue()
        for writer in greeted:
            writer.close()

    monkeypatch.setattr(peers, "LOOK_SECONDS", 0.0)
    with_pair(tmp_path, work, serve)


@pytest.mark.parametrize("what", ["nothing", "too much", "again", "another"])
def test_a_peer_that_tells_what_cannot_be_is_left(tmp_path: Path, what: str) -> None:
    """It says that it took what was never sent, say; the connection is made anew."""
    again = asyncio.Event()
    wrong = {
        "nothing": taken_frame(0),
        "too much": taken_frame(1 << 40),
        "again": taken_frame(1) * 2,
        "another": head(What.MESSAGE, 0),
    }[what]
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) > 2:
            again.set()
        _, size = parse_head(memoryview(await reader.readexactly(HEAD_BYTES)), 1 << 16)
        await reader.readexactly(size)
        answer = write_answer(Answer(""))
        writer.write(head(What.ANSWER, len(answer)) + answer)
        await reader.read(1)
        writer.write(wrong)

    async def work(pair: Pair) -> None:
        async with pair.kept():
            while not again.is_set():
                pair.link.send(pack(ping(1)))
                await asyncio.sleep(0)
        assert pair.one.lines.getvalue().count("peer.bad_message") >= 2
        for writer in connections:
            writer.close()

    with_pair(tmp_path, work, serve)
