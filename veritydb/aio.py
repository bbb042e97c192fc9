"""The client for asyncio programs: `async with veritydb.aio.connect(url) as db`."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from veritydb.client.client import AsyncClient, connect
from veritydb.client.deadline import DEFAULT_TIMEOUT_S
from veritydb.client.stream import AsyncStream


def open(
    path: str | Path, region: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
) -> AbstractAsyncContextManager[AsyncClient]:
    """Open a directory as a cluster in this process: `async with open("data") as db`."""
    # A program that only connects need not load the server.
    from veritydb.embedded import open_async

    return open_async(path, region, timeout=timeout)


__all__ = ["AsyncClient", "AsyncStream", "connect", "open"]
