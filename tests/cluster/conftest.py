"""One cluster of three real nodes for all tests that leave it as they found it."""

from collections.abc import Iterator

import pytest

from nemesis.nodes import Nodes, three_nodes


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes, up for as long as the tests run."""
    with Nodes(tmp_path_factory.mktemp("three"), three_nodes("shared")) as made:
        made.up()
        yield made


@pytest.fixture
def nodes(shared: Nodes) -> Iterator[Nodes]:
    """The three nodes, all of them up. A test may kill some; they are brought back after it."""
    yield shared
    for name in shared.names:
        if not shared.runs(name):
            shared.start(name)
    shared.ready()
