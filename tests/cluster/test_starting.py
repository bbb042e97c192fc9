"""A node with somebody else's file or directory does not start, says why, and touches nothing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from nemesis.nodes import PATIENCE_SECONDS, Nodes, configuration, three_nodes, veritydb
from veritydb.cli.exits import Exit
from veritydb.server.datadir import GROUPS, LOCK
from veritydb.server.failures import EXIT_DATA_DIR

pytestmark = pytest.mark.cluster

NAMES = ("node-1", "node-2", "node-3")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes that have run once, so that their directories are real ones."""
    with Nodes(tmp_path_factory.mktemp("starting"), three_nodes("starting")) as made:
        made.up()
        made.stop()
        yield made


def start(file: Path, node: str, directory: Path, **environment: str) -> tuple[int, str]:
    """Try to start a node; its exit code and what it said."""
    where = ["--config", str(file), "--node", node, "--data-dir", str(directory)]
    done = subprocess.run(
        [sys.executable, "-m", "veritydb.cli", "server", *where],
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        env=os.environ | environment,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def state(folder: Path) -> dict[str, bytes]:
    """What is in a directory."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


def refused(stopped: Nodes, text: str, node: str, directory: Path) -> tuple[int, str]:
    """Try to start a node with another configuration; nothing may have changed after it."""
    file = stopped.file.with_name("other.toml")
    file.write_text(text)
    before = state(directory)
    code, said = start(file, node, directory)
    assert state(directory) == before
    assert "Traceback" not in said
    return code, said


def layout(region: str, order: tuple[str, ...] = NAMES, name: str = "starting") -> str:
    """A configuration like that of the nodes, but for what is given."""
    groups = {0: ("", order), 1: (region, order)}
    return configuration(name, dict.fromkeys(NAMES, region), groups)


Make = Callable[[Nodes], str]


@pytest.mark.parametrize(
    ("make", "node", "code", "words"),
    [
        (lambda n: layout("au-syd", name="other"), "node-1", EXIT_DATA_DIR, "belongs to cluster"),
        (lambda n: layout("eu-fra"), "node-1", EXIT_DATA_DIR, "belongs to cluster"),
        (lambda n: layout("au-syd", NAMES[::-1]), "node-1", EXIT_DATA_DIR, "belongs to cluster"),
        (lambda n: n.file.read_text(), "node-2", EXIT_DATA_DIR, "belongs to node node-1"),
        (lambda n: n.file.read_text(), "node-4", Exit.USAGE, "no node is called 'node-4'"),
        (lambda n: n.file.read_text() + "\nspeed = 9\n", "node-1", Exit.USAGE, "speed"),
        (lambda n: "this is [no configuration", "node-1", Exit.USAGE, "not TOML"),
        (
            lambda n: n.file.read_text().replace("127.0.0.1", "192.0.2.1"),
            "node-1",
            Exit.USAGE,
            "allow_insecure",
        ),
    ],
    ids=[
        *("cluster", "region", "order", "another's directory", "node", "key", "text"),
        "open network",
    ],
)
def test_a_wrong_file(stopped: Nodes, make: Make, node: str, code: int, words: str) -> None:
    given, said = refused(stopped, make(stopped), node, stopped.data("node-1"))
    assert (given, words in said) == (code, True), said


def test_another_regions_directory_under_the_same_cluster_id(stopped: Nodes) -> None:
    cluster = stopped.config.cluster_id.hex()
    text = layout("eu-fra").replace("\n\n[server]", f'\nid = "{cluster}"\n\n[server]')
    code, said = refused(stopped, text, "node-1", stopped.data("node-1"))
    assert code == EXIT_DATA_DIR
    assert "region au-syd, not eu-fra" in said


def test_another_replicas_log_in_ones_own_directory(stopped: Nodes) -> None:
    log = stopped.data("node-1") / GROUPS / "1-au-syd"
    kept = log.rename(stopped.file.parent / "kept")
    (stopped.data("node-2") / GROUPS / "1-au-syd").rename(log)
    code, said = start(stopped.file, "node-1", stopped.data("node-1"))
    assert code == EXIT_DATA_DIR
    assert "index" in said
    log.rename(stopped.data("node-2") / GROUPS / "1-au-syd")
    kept.rename(log)


def test_a_directory_in_use(stopped: Nodes) -> None:
    stopped.up()
    code, said = start(stopped.file, "node-1", stopped.data("node-1"))
    assert code == EXIT_DATA_DIR
    assert "in use" in said
    checked = veritydb("verify", str(stopped.data("node-1")))
    assert checked.returncode != 0
    assert b"in use" in checked.stderr
    stopped.ready()
    stopped.stop()


def test_an_empty_directory_and_none(stopped: Nodes, tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        code, said = start(stopped.file, "node-1", directory)
        assert code == EXIT_DATA_DIR
        assert "replica replace" in said
        assert not directory.exists() or not list(directory.iterdir())


@pytest.mark.parametrize("how", ["option", "environment"])
def test_without_assertions_nothing_runs(stopped: Nodes, how: str) -> None:
    before = state(stopped.data("node-1"))
    if how == "environment":
        code, said = start(stopped.file, "node-1", stopped.data("node-1"), PYTHONOPTIMIZE="1")
    else:
        command = [sys.executable, "-O", "-m", "veritydb.cli", "server", "--help"]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        code, said = done.returncode, done.stderr.decode()
    assert code != 0
    assert "python -O" in said
    assert state(stopped.data("node-1")) == before
