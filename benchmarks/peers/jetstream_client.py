"""JetStream through nats-py: an ordered consumer has the messages pushed to it."""

import asyncio

import nats
from nats.aio.msg import Msg

from benchmarks.load import Contents

PIECE = 1000
QUIET_SECONDS = 30.0
# What the address for acknowledgements tells of a message, among its parts between dots.
SEQUENCE_PART = 5
PENDING_PART = 8


async def read(hosts: str, _way: str, stream: str, contents: Contents) -> None:
    """Read a stream from its beginning."""
    connection = await nats.connect([f"nats://{host}" for host in hosts.split(",")])
    ended = asyncio.Event()
    taken: list[bytes] = []
    last = 0

    async def received(message: Msg) -> None:
        # Faster than `message.metadata`, which makes objects of all of it.
        parts = message.reply.split(".")
        sequence, data = int(parts[SEQUENCE_PART]), message.data
        end = 1 + data[0]
        _type, payload = data[1:end].decode(), data[end:]
        nonlocal last
        if sequence <= last:
            raise ValueError(f"sequence {sequence} after {last}")
        last = sequence
        taken.append(payload)
        final = parts[PENDING_PART] == "0"
        if len(taken) == PIECE or final:
            contents.add(taken)
            taken.clear()
        if final:
            ended.set()

    subscription = await connection.jetstream().subscribe(
        f"events.{stream}",
        ordered_consumer=True,
        cb=received,
        pending_msgs_limit=-1,
        pending_bytes_limit=-1,
    )
    before = -1
    while not ended.is_set():
        if contents.events == before:
            raise TimeoutError(f"no message of {stream} for {QUIET_SECONDS:.0f} s")
        before = contents.events
        try:
            await asyncio.wait_for(ended.wait(), QUIET_SECONDS)
        except TimeoutError:
            continue
    await subscription.unsubscribe()
    await connection.close()
