"""A stock C++ client of libcapnp publishes to a node and reads from it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.client.live import REGION, LiveNode
from veritydb.client.sync import connect

PROJECT = Path(__file__).parents[2]
TOOLS = ("g++", "make", "capnp", "pkg-config")


def has_tools() -> bool:
    """Whether this machine can build it. CI installs what it needs."""
    if not all(map(shutil.which, TOOLS)):
        return False
    return subprocess.run(["pkg-config", "--exists", "capnp-rpc"]).returncode == 0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("cpp")
    result = subprocess.run(
        ["make", "-C", str(PROJECT / "examples" / "cpp"), f"BUILD={build}", "CXXFLAGS=-O0"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return build / "publish_read"


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(not has_tools(), reason="needs g++, make, capnproto and libcapnp-dev")
def test_it_publishes_and_reads(program: Path, tmp_path: Path) -> None:
    node = LiveNode(tmp_path)
    node.start()
    try:
        node.wait()
        command = [str(program), node.address, REGION, "7", "from-cpp", "300"]
        wanted = [f"note {at}" for at in range(300)]
        first = subprocess.run(command, capture_output=True, text=True)
        assert first.returncode == 0, first.stderr
        assert first.stdout.splitlines() == wanted
        # The same batch id again: answered, not applied.
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 0 and second.stdout.splitlines() == wanted
        with connect(node.url) as db:
            stream = db.stream("from-cpp", tenant=7)
            (batch,) = stream.read_batches()
            assert batch.payloads == [text.encode() for text in wanted]
            assert set(batch.types) == {"Note"}
        bad = subprocess.run(
            [str(program), node.address, "mars", "7", "from-cpp", "1"],
            capture_output=True,
            text=True,
        )
        assert bad.returncode == 1 and "not applied" in bad.stderr
    finally:
        node.stop()
