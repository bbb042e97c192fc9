"""A connection between two nodes: frames over a transport of asyncio.

Who connects sends its hello and, once that was accepted, messages. The other side sends the answer
to the hello and then, now and then, how much it has taken; messages themselves are not answered.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from veritydb.server.framing import (
    HEAD_BYTES,
    FrameReader,
    What,
    head,
    parse_taken,
    taken_frame,
)
from veritydb.server.log import Log
from veritydb.server.peer_hello import Answer, read_answer
from veritydb.types.limits import (
    CONNECTIONS_MAX,
    MESSAGE_BYTES_MAX,
    PEER_HELLO_BYTES_MAX,
    PEER_QUEUE_BYTES_MAX,
)
from veritydb.vsr.messages import BadMessage, Message, decode, encode
from veritydb.wire.joining import JOIN_BELOW, Joining

HELLO_SECONDS = 10.0
# The other side has to take something of what is under way within this time.
SILENT_MS = 5_000
# It says what it has taken when it is so much, or so long after the first of it.
TELL_BYTES = PEER_QUEUE_BYTES_MAX // 16
TELL_SECONDS = 1.0

Pieces = tuple[bytes, ...]


def pack(message: Message) -> Pieces:
    """Return a message's frame, for any number of connections. Large bodies are not copied."""
    pieces = encode(message)
    size = sum(map(len, pieces))
    pieces.insert(0, head(What.MESSAGE, size))
    return (b"".join(pieces),) if size < JOIN_BELOW else tuple(pieces)


class PeerStream(asyncio.BufferedProtocol, ABC):
    """Either side of a connection. Frames come to `take`, which raises BadMessage."""

    def __init__(self, log: Log, limit: int) -> None:
        """No frame from the other side may be larger than `limit`."""
        self.log = log
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self.loop.create_future()
        self.reader = FrameReader(limit)
        self._out: Joining | None = None

    @abstractmethod
    def take(self, what: int, body: memoryview) -> None:
        """Do what a frame asks for; `body` is good until this returns. Raises BadMessage."""

    # -- what asyncio calls

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        self._out = Joining(transport, self.loop)
        keep_alive(transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """See asyncio."""
        return self.reader.room()

    def buffer_updated(self, size: int) -> None:
        """See asyncio."""
        self.reader.took(size)
        try:
            while (frame := self.reader.next()) is not None:
                self.take(*frame)
        except BadMessage:
            self.log.warning("peer.bad_message")
            self.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """See asyncio."""
        if not self.over.done():
            self.over.set_result(None)

    # -- what we do with it

    def write(self, pieces: Pieces) -> None:
        """Send soon, together with the rest of this pass of the loop."""
        out = self._out
        assert out is not None
        for piece in pieces:
            out.write(piece)

    def gather(self) -> None:
        """See `Joining`."""
        if self._out is not None:
            self._out.gather()

    def let_go(self) -> None:
        """See `Joining`."""
        if self._out is not None:
            self._out.let_go()

    def close(self) -> None:
        """End it, after what was written."""
        if self._out is not None:
            self._out.close()

    def abort(self) -> None:
        """End it at once."""
        if self._out is not None:
            self._out.abort()


class Outgoing(PeerStream):
    """A connection that we made."""

    def __init__(self, log: Log, hello: bytes) -> None:
        """It begins with this hello."""
        super().__init__(log, PEER_HELLO_BYTES_MAX)
        self.answer: asyncio.Future[Answer] = self.loop.create_future()
        self._hello = hello
        # Bytes of frames with messages; and of these, what the other side says it has taken.
        self.sent = 0
        self.taken = 0

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self.write((head(What.HELLO, len(self._hello)), self._hello))

    def take(self, what: int, body: memoryview) -> None:
        """See `PeerStream`."""
        if not self.answer.done():
            if what != What.ANSWER:
                raise BadMessage("no answer to a hello")
            self.answer.set_result(read_answer(bytes(body)))
            return
        if what != What.TAKEN:
            raise BadMessage(f"frame {what} instead of what was taken")
        count = parse_taken(body)
        if not self.taken < count <= self.sent:
            raise BadMessage(f"{count} bytes taken after {self.taken} of {self.sent}")
        self.taken = count

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(error)
        if not self.answer.done():
            self.answer.set_exception(ConnectionResetError("it ended before the answer"))
            # Nobody has to look at it.
            self.answer.exception()

    def send(self, pieces: Pieces) -> bool:
        """Send a message, unless too many bytes are under way; whether it was sent."""
        size = sum(map(len, pieces))
        if self.sent - self.taken + size > PEER_QUEUE_BYTES_MAX:
            return False
        self.sent += size
        self.write(pieces)
        return True


class Incoming(PeerStream):
    """A connection that a peer made. Nothing but its hello is heard before that was accepted."""

    def __init__(
        self,
        log: Log,
        serving: "dict[Incoming, None]",
        greet: Callable[[bytes], tuple[bytes, bool]],
        received: Callable[[Message], None],
    ) -> None:
        """`serving`: all that are open. `greet` answers a hello, and says if it is accepted."""
        super().__init__(log, PEER_HELLO_BYTES_MAX)
        self._serving = serving
        self._greet = greet
        self._received = received
        self.greeted = False
        self._taken = 0
        self._told = 0
        self._timer = self.loop.call_later(HELLO_SECONDS, self.abort)

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self._serving[self] = None
        if len(self._serving) > CONNECTIONS_MAX:
            self.abort()

    def take(self, what: int, body: memoryview) -> None:
        """See `PeerStream`."""
        if what == What.MESSAGE and self.greeted:
            message = decode(body)
            self._took(HEAD_BYTES + len(body))
            self._received(message)
        elif what == What.HELLO and not self.greeted:
            self._hello(bytes(body))
        else:
            raise BadMessage(f"frame {what} out of its order")

    def _hello(self, data: bytes) -> None:
        answer, accepted = self._greet(data)
        self.write((head(What.ANSWER, len(answer)), answer))
        if accepted:
            self.greeted = True
            self._timer.cancel()
            self.reader.limit = MESSAGE_BYTES_MAX
        else:
            self.close()

    def _took(self, size: int) -> None:
        if self._taken == self._told:
            self._timer = self.loop.call_later(TELL_SECONDS, self._tell)
        self._taken += size
        if self._taken - self._told >= TELL_BYTES:
            self._tell()

    def _tell(self) -> None:
        self._timer.cancel()
        self._told = self._taken
        self.write((taken_frame(self._taken),))

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(error)
        self._timer.cancel()
        self._serving.pop(self, None)


def keep_alive(transport: Any) -> None:
    """Have the kernel end a connection whose other side takes nothing any more."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
