"""Calls over a connection: pycapnp's RPC, as far as the rest of the server needs to know of it."""

from typing import Any

import capnp

# In words of 8 bytes: the largest message, an append of a whole batch or an op, and its surrounds.
MESSAGE_WORDS_MAX = (32 << 20) // 8


async def serve(stream: Any, offered: Any) -> None:
    """Let whoever connected call what is offered, until it is gone."""
    server = capnp.TwoPartyServer(
        stream, bootstrap=offered, traversal_limit_in_words=MESSAGE_WORDS_MAX
    )
    try:
        await server.on_disconnect()
    finally:
        server.close()
        stream.close()
