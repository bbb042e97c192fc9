"""A transport that joins small writes: what pycapnp's streams write through, on both sides.

pycapnp hands each piece of a message to the transport by itself, which would be a system call each.
What one pass of the loop writes goes out together. And it stops the transport after everything that
it has read, to let it go on in the next pass: that would be two more.
"""

import asyncio
import contextlib
from typing import Any

JOIN_BELOW = 32 << 10
FLUSH_AT = 256 << 10
ASKED_IN_VAIN = 2


class Joining:
    """Stands in for a transport between asyncio and pycapnp's protocol object."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Write to `transport`."""
        self._transport = transport
        self._loop = loop
        # Asked for before everything that is written or read.
        self.is_closing = transport.is_closing
        self._pieces: list[bytes] = []
        self._size = 0
        self._scheduled = False
        self._asked = ASKED_IN_VAIN + 1

    def __getattr__(self, name: str) -> Any:
        """All that is not told here is the transport's own."""
        return getattr(self._transport, name)

    # -- reading

    def pause_reading(self) -> None:
        """Stop, if asked for the third time: then something has come that is not wanted yet.

        pycapnp asks twice for all that it has read, and again whenever more comes before it wants
        that; the few bytes that it is given then it keeps.
        """
        self._asked += 1
        if self._asked > ASKED_IN_VAIN:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on, if it has stopped."""
        stopped = self._asked > ASKED_IN_VAIN
        self._asked = 0
        if stopped:
            self._transport.resume_reading()

    # -- writing

    def write(self, data: bytes) -> None:
        """Write soon: together with the rest of this pass of the loop."""
        if len(data) >= JOIN_BELOW:
            self.flush()
            self._transport.write(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > FLUSH_AT:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.let_go)

    def gather(self) -> None:
        """What is written from now on waits for `let_go`, instead of for the end of this pass."""
        self._scheduled = True

    def let_go(self) -> None:
        """Write what was gathered; what comes next waits for the end of this pass again."""
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._pieces:
            return
        pieces, self._pieces, self._size = self._pieces, [], 0
        if not self.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def write_eof(self) -> None:
        """End the writing side, if there still is another side to be told."""
        self.flush()
        # Where the other side is gone the system has no connection to end. pycapnp would pass that
        # on to the loop, where it stops everything; that the connection is lost shows by itself.
        with contextlib.suppress(OSError):
            self._transport.write_eof()

    def close(self) -> None:
        """Write what is left, then close."""
        self.flush()
        self._transport.close()
