"""One node, in a process of its own, for the tests of each file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Ran, Server, Type, start_server
from veritydb.cli.main import run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A node for all tests of one file; each uses streams of its own."""
    running = start_server(tmp_path_factory.mktemp("cli") / "node")
    yield running
    assert running.stop() == 0


@pytest.fixture
def vdb(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Type:
    """Types a command at the server."""
    monkeypatch.setenv("VERITYDB_URL", server.address)

    def run_command(*arguments: str | Path | int) -> Ran:
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return run_command
