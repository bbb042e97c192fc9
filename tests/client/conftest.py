"""Fixtures with a real node."""

from collections.abc import Iterator

import pytest

from tests.client.live import LiveNode


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveNode]:
    """A node that all tests share; each uses a tenant of its own."""
    live = LiveNode(tmp_path_factory.mktemp("node"))
    live.start()
    try:
        live.wait()
        yield live
    finally:
        live.stop()


@pytest.fixture
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveNode]:
    """A node that the test may do anything to."""
    live = LiveNode(tmp_path_factory.mktemp("own-node"))
    live.start()
    try:
        live.wait()
        yield live
    finally:
        live.kill()
