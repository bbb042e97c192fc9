"""The client for Trio programs: `async with veritydb.trio.connect(url) as db`."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from veritydb.client.deadline import DEFAULT_TIMEOUT_S
from veritydb.client.trio import TrioClient, TrioStream, connect


def open(
    path: str | Path, region: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
) -> AbstractAsyncContextManager[TrioClient]:
    """Open a directory as a cluster in this process: `async with open("data") as db`."""
    # A program that only connects need not load the server.
    from veritydb.embedded import open_trio

    return open_trio(path, region, timeout=timeout)


__all__ = ["TrioClient", "TrioStream", "connect", "open"]
