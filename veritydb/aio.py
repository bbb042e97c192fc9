"""The client for asyncio programs: `async with veritydb.aio.connect(url) as db`."""

from veritydb.client.client import AsyncClient, connect
from veritydb.client.stream import AsyncStream

__all__ = ["AsyncClient", "AsyncStream", "connect"]
