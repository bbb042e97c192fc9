"""A client with schemas that differ from ours, as of a later version or a hostile hand.

Run in a process of its own, because no process can hold two schemas of the same id. Prints the code
and the message of each refusal.
"""

import asyncio
import sys

import capnp


async def main(folder: str, host: str, port: str) -> None:
    """Create streams in wrong words, and one in right ones."""
    schema = capnp.load(f"{folder}/veritydb.capnp", imports=[folder])
    stream = await capnp.AsyncIoStream.create_connection(host, int(port))
    door = capnp.TwoPartyClient(stream).bootstrap().cast_as(schema.VerityDb)
    session = (await door.hello(req={"protocolVersion": 1})).res.session
    streams = (await session.streams()).streams
    right = {
        "tenant": 1,
        "name": b"foreign\0",
        "dataClass": "phi",
        "placement": {"region": "au-syd"},
    }
    for wrong in (
        {"name": b"secret\xff\0"},
        {"name": b"secret"},
        {"dataClass": "later"},
        {"placement": {"elsewhere": None}},
        {},
    ):
        answer = (await streams.create(req={**right, **wrong})).res
        refused = answer.refused if answer.which() == "refused" else None
        print("ok" if refused is None else f"{refused.code} {refused.message}")


asyncio.run(capnp.run(main(*sys.argv[1:])))
