"""The supervisor: nodes are born once, started when they are down, and stopped for certain."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from examples.demo import NODES, write_config
from tests.cli.terminal import LINES
from veritydb.cli import processes, supervisor
from veritydb.cli.exits import Exit, Failure
from veritydb.cli.main import run
from veritydb.cli.supervisor import MARKER, Birth, Cluster
from veritydb.server import config as configs
from veritydb.server.datadir import init, read_stamp

pytestmark = pytest.mark.cluster

WAIT_SECONDS = 60.0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that do not run yet, and surely not afterwards."""
    file = write_config(tmp_path)
    cluster = Cluster(configs.load(file), file, tmp_path / "data")
    yield cluster
    cluster.stop(grace=WAIT_SECONDS)


def end(cluster: Cluster, name: str) -> None:
    """Kill a node, and wait until it is gone."""
    process = cluster.running()[name]
    assert processes.send(process, signal.SIGKILL)
    assert processes.wait([process], time.monotonic() + WAIT_SECONDS) == []


def test_up_status_stop(nodes: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    up = ["cluster", "up", "--config", str(nodes.path), "--data-dir", str(nodes.directory)]
    where = ["--data-dir", str(nodes.directory)]
    assert run(["cluster", "status", *where]) == Exit.NOT_FOUND
    assert run([*up, "--wait", "60"]) == Exit.DONE
    said = capfd.readouterr().out
    for node in nodes.config.nodes:
        assert node.name in said and node.client in said
    assert "veritydb" in said and f"cluster stop --data-dir {nodes.directory}" in said

    pids = {name: process.pid for name, process in nodes.running().items()}
    assert list(pids) == list(NODES)
    assert run(["cluster", "status", *where, "-o", "json"]) == Exit.DONE
    found = LINES.decode(capfd.readouterr().out)["nodes"]
    assert {node["name"]: node["pid"] for node in found} == pids
    assert all(node["ready"] and len(node["groups"]) == 2 for node in found)

    end(nodes, "node-2")
    assert run(["cluster", "status", *where, "-o", "json"]) == Exit.DONE
    by_name = {node["name"]: node for node in LINES.decode(capfd.readouterr().out)["nodes"]}
    assert by_name["node-2"] == {
        "name": "node-2",
        "pid": None,
        "address": nodes.config.node("node-2").client,
        "ready": False,
        "groups": [],
        "pauses": {},
    }
    # Only what is down is started again.
    assert run([*up, "--wait", "60"]) == Exit.DONE
    again = {name: process.pid for name, process in nodes.running().items()}
    assert {name for name in NODES if again[name] != pids[name]} == {"node-2"}

    assert run(["verify", str(nodes.directory)]) == Exit.REFUSED
    assert run(["cluster", "stop", *where]) == Exit.DONE
    assert nodes.running() == {}
    assert run(["cluster", "stop", *where]) == Exit.DONE
    assert "no node was running" in capfd.readouterr().out
    assert run(["verify", str(nodes.directory)]) == Exit.DONE


def test_an_emptied_node_is_not_born_again(
    nodes: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    nodes.start()
    assert all(view.ready for view in nodes.wait_ready(WAIT_SECONDS))
    end(nodes, "node-3")
    shutil.rmtree(nodes.node_dir("node-3"))
    up = ["cluster", "up", "--config", str(nodes.path), "--data-dir", str(nodes.directory)]
    assert run([*up, "--wait", "60"]) == Exit.UNAVAILABLE
    said = capfd.readouterr()
    assert "node-3 has ended" in said.err and "replica replace" in said.err
    assert list(nodes.running()) == ["node-1", "node-2"]

    # What the error names brings it back.
    url = ["--cluster", nodes.url]
    given = []
    for group in (0, 1):
        replace = ["replica", "replace", "--group", str(group), "--index", "2", "-o", "json"]
        assert run([*replace, *url]) == Exit.DONE
        answer = LINES.decode(capfd.readouterr().out)
        given += ["--incarnation", f"{group}={answer['incarnation']}"]
    init = ["init", "--config", str(nodes.path), "--node", "node-3"]
    assert run([*init, "--data-dir", str(nodes.node_dir("node-3")), *given]) == Exit.DONE
    assert run([*up, "--wait", "60"]) == Exit.DONE
    assert list(nodes.running()) == list(NODES)


def test_step_down_moves_the_lead(nodes: Cluster) -> None:
    nodes.start()
    assert all(view.ready for view in nodes.wait_ready(WAIT_SECONDS))

    def leader() -> tuple[int, str]:
        return max(
            (group.view, view.name)
            for view in nodes.look()
            for group in view.groups
            if group.group == 1 and group.role == "primary"
        )

    view, name = leader()
    assert run(["cluster", "step-down", "--group", "1", "--cluster", nodes.url]) == Exit.DONE
    later, other = leader()
    assert later > view and other != name
    assert run(["cluster", "step-down", "--group", "9", "--cluster", nodes.url]) != Exit.DONE


def test_the_foreground_ends_with_its_nodes_stopped(nodes: Cluster) -> None:
    up = ["cluster", "up", "--config", str(nodes.path), "--data-dir", str(nodes.directory)]
    front = processes.start([*up, "--foreground"], nodes.directory.parent / "front")
    log = nodes.directory.parent / "front" / processes.LOG_FILE
    while "Ctrl-C" not in log.read_text():
        assert processes.is_running(front), log.read_text()
    assert list(nodes.running()) == list(NODES)
    assert processes.send(front, signal.SIGINT)
    assert processes.wait([front], time.monotonic() + WAIT_SECONDS) == []
    assert processes.exit_code(front) == Exit.DONE
    assert nodes.running() == {}
    assert "node-1 stopped" in log.read_text()


def test_a_directory_keeps_its_cluster(nodes: Cluster) -> None:
    nodes.directory.mkdir()
    birth = Birth(1, "0" * 32, "elsewhere.toml", ())
    (nodes.directory / MARKER).write_bytes(msgspec.json.encode(birth))
    with pytest.raises(Failure, match="holds another cluster") as caught:
        nodes.start()
    assert caught.value.exit_code == Exit.USAGE
    assert set(os.listdir(nodes.directory)) == {MARKER, "up.lock"}


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"format": 9, "extra": 1}'])
def test_a_note_that_is_not_ours_is_not_believed(tmp_path: Path, text: bytes) -> None:
    (tmp_path / MARKER).write_bytes(text)
    with pytest.raises(Failure, match=MARKER):
        supervisor.find(tmp_path)


def test_birth_goes_on_where_it_stopped(nodes: Cluster) -> None:
    """A crash between a stamp and its note must neither stamp twice nor leave a node out."""
    nodes.directory.mkdir()
    birth = Birth(1, nodes.config.cluster_id.hex(), str(nodes.path), ("node-1",))
    supervisor.write_marker(nodes.directory, birth)
    for name in ("node-1", "node-2"):
        init(nodes.config, name, nodes.node_dir(name))
    stamps = [read_stamp(nodes.node_dir(name)) for name in ("node-1", "node-2")]
    nodes.start()
    assert all(view.ready for view in nodes.wait_ready(WAIT_SECONDS))
    assert [read_stamp(nodes.node_dir(name)) for name in ("node-1", "node-2")] == stamps
    found = supervisor.read_marker(nodes.directory)
    assert found is not None and found.born == NODES


def test_another_clusters_nodes_are_not_taken_for_ours(
    nodes: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The addresses are theirs, so none of ours can start; and theirs are not ours to stop."""
    up = ["cluster", "up", "--config", str(nodes.path), "--wait", "60", "--data-dir"]
    other = tmp_path / "other"
    assert run([*up, str(nodes.directory)]) == Exit.DONE
    capfd.readouterr()
    assert run([*up, str(other)]) == Exit.UNAVAILABLE
    said = capfd.readouterr()
    assert said.out.count("down") == len(NODES) and "address already in use" in said.err
    assert run(["cluster", "stop", "--data-dir", str(other)]) == Exit.DONE
    assert len(nodes.running()) == len(NODES)
