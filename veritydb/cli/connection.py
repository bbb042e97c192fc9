"""The SDK as the command uses it."""

from collections.abc import Iterator
from contextlib import contextmanager

from veritydb.client.sync import Client
from veritydb.client.values import NodeStatus
from veritydb.types.errors import Unavailable


@contextmanager
def connect(url: str, timeout: float) -> Iterator[Client]:
    """A client whose calls may take `timeout` seconds each."""
    # One thread with one call at a time has nothing to join.
    with Client(url, timeout=timeout, coalesce=False) as client:
        yield client


def ask_status(url: str, timeout: float) -> dict[str, NodeStatus]:
    """How the nodes of a cluster are, by address; empty if not one of them answers."""
    try:
        with connect(url, timeout) as client:
            return {status.address: status for status in client.status(timeout=timeout)}
    except Unavailable:
        return {}
