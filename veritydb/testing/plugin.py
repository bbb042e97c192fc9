"""Fixtures for pytest. Nothing of the database is loaded before a test asks for one.

`verity_db` is a replica alone, the fastest; `verity_cluster` are three, to crash and cut off;
`verity_client` is the SDK itself, over a node that keeps real files in a directory of the test.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from veritydb.client.sync import Client
    from veritydb.testing.cluster import Cluster


@pytest.fixture
def verity_db() -> "Iterator[Cluster]":
    """A database of one replica in memory."""
    from veritydb.testing.cluster import Cluster

    with Cluster(replicas=1) as cluster:
        yield cluster


@pytest.fixture
def verity_cluster() -> "Iterator[Cluster]":
    """A cluster of three replicas in memory."""
    from veritydb.testing.cluster import Cluster

    with Cluster(replicas=3) as cluster:
        yield cluster


@pytest.fixture
def verity_client(tmp_path: Path) -> "Iterator[Client]":
    """`veritydb.Client` on a node in this process; its region is "local", as everywhere here."""
    from veritydb.embedded import open as open_node

    with open_node(tmp_path / "veritydb", region="local") as client:
        yield client
