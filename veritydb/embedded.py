"""VerityDB inside your own process: `veritydb.open("./data")`.

One replica, durable before every answer, with the same interface as a client of a cluster, and the
same files as `veritydb server --data-dir DIR --region R`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from veritydb.client.client import AsyncClient, connect_over
from veritydb.client.deadline import DEFAULT_TIMEOUT_S
from veritydb.client.sync import Client
from veritydb.client.transport import dial_socket
from veritydb.client.trio import TrioClient
from veritydb.client.trio import connect as connect_trio
from veritydb.server.embedded import EmbeddedNode, dialer


class EmbeddedClient(Client):
    """A `Client` that brings its node along and ends it with itself."""

    def __init__(
        self, path: str | Path, region: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> None:
        """Open a directory; one that is missing or empty is made. Raises StartError."""
        self._node = EmbeddedNode(path, region)
        try:
            super().__init__(timeout=timeout, dial=dialer(self._node, dial_socket))
        except BaseException:
            self._node.close()
            raise

    def close(self) -> None:
        """End the client, then the node; its files are closed on return."""
        super().close()
        self._node.close()


def open(
    path: str | Path, region: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
) -> EmbeddedClient:
    """Open a directory as a cluster of its own: `with veritydb.open("./data") as db`.

    `region` names where the data lies ("local" unless the directory already says otherwise).
    Raises StartError if the directory is in use, damaged, or somebody else's.
    """
    return EmbeddedClient(path, region, timeout=timeout)


@asynccontextmanager
async def open_async(
    path: str | Path, region: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
) -> AsyncIterator[AsyncClient]:
    """The same for asyncio: `async with veritydb.aio.open("./data") as db`."""
    node = EmbeddedNode(path, region)
    try:
        async with connect_over(dialer(node, dial_socket), timeout=timeout) as client:
            yield client
    finally:
        await node.aclose()


@asynccontextmanager
async def open_trio(
    path: str | Path, region: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
) -> AsyncIterator[TrioClient]:
    """The same for Trio: `async with veritydb.trio.open("./data") as db`."""
    node = EmbeddedNode(path, region)
    try:
        async with connect_trio(timeout=timeout, dial=dialer(node, dial_socket)) as client:
            yield client
    finally:
        await node.trio_close()
