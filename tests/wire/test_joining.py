"""Transports that join what is written to them, over real connections."""

import asyncio
import socket
import struct

from veritydb.wire.joining import JOIN_BELOW, Joining

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


async def connected() -> tuple[Joining, socket.socket]:
    """A transport to a socket of our own."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.getsockname())
        other, _ = server.accept()
    return Joining(transport, loop), other


def test_what_one_pass_of_the_loop_writes_arrives_in_order() -> None:
    async def main() -> bytes:
        joining, other = await connected()
        for piece in (b"a", b"b", b"c" * JOIN_BELOW, b"d"):
            joining.write(piece)
        joining.close()
        with other, other.makefile("rb") as file:
            return await asyncio.to_thread(file.read)

    assert asyncio.run(main()) == b"ab" + b"c" * JOIN_BELOW + b"d"


def test_ending_a_connection_that_was_reset_is_no_error() -> None:
    async def main() -> None:
        joining, other = await connected()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        other.close()
        joining.write_eof()
        joining.close()

    asyncio.run(main())
