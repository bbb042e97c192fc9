"""Three nodes under faults: rot in any file, a primary that stands still, a disk that is lost."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemesis.nodes import Nodes, Stuck, replica, veritydb
from tests.cluster.helpers import TENANT, make_stream, payloads, payloads_everywhere
from veritydb.client.sync import Stream
from veritydb.server.datadir import GROUPS
from veritydb.server.failures import EXIT_DATA_DIR, EXIT_DISK
from veritydb.types.event import Event

pytestmark = pytest.mark.cluster

GROUP = "1-au-syd"
FREEZE_SECONDS = 10.0


class Writer:
    """Appends numbered events without a pause, on a thread, until it is told to stop."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.sent = 0
        self.longest = 0.0
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self.stream.append([Event("Numbered", b"%d" % self.sent)])
                self.longest = max(self.longest, time.monotonic() - began)
                self.sent += 1
        except BaseException as error:
            self._error = error

    def past(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        goal = self.sent + count
        while self.sent < goal and self._thread.is_alive():
            self._over.wait(0.01)

    def __enter__(self) -> "Writer":
        self._thread.start()
        self.past(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def check(self, nodes: Nodes) -> None:
        """All that was acknowledged is on every node, once and in order."""
        expected = [b"%d" % number for number in range(self.sent)]
        assert payloads_everywhere(nodes, self.stream) == [expected] * 3


@contextlib.contextmanager
def writing(nodes: Nodes, what: str) -> Iterator[Writer]:
    """A writer to a new stream, checked in the end."""
    with nodes.client() as db:
        writer = Writer(make_stream(db, what))
        with writer:
            yield writer
        writer.check(nodes)


def flip(path: Path) -> None:
    """Flip a bit in the middle of what was written to a file; what follows is preallocated."""
    data = path.read_bytes()
    used = len(data.rstrip(b"\0"))
    at = next(at for at in range(used // 2, used) if data[at])
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ 0x10]))


FILES = [
    "node.toml",
    f"{GROUPS}/{GROUP}/superblock",
    f"{GROUPS}/{GROUP}/headers",
    f"{GROUPS}/{GROUP}/segments/*.log",
    f"{GROUPS}/{GROUP}/outcomes",
    f"{GROUPS}/{GROUP}/index.db",
]


@pytest.mark.parametrize("pattern", FILES)
def test_a_flipped_bit_is_mended_or_named_and_never_served(nodes: Nodes, pattern: str) -> None:
    with nodes.client() as db:
        stream = make_stream(db, "rot")
        for number in range(200):
            stream.append([Event("Numbered", b"%d" % number)])
        nodes.level()
        victim = next(name for name in nodes.names if name != nodes.primary(1))
        nodes.stop(victim)
        [path] = sorted(nodes.data(victim).glob(pattern))[:1]
        sound = path.read_bytes()
        flip(path)
        nodes.start(victim)
        try:
            nodes.ready(victim)
        except Stuck:
            # It does not start with it, and says what is wrong; the other two go on.
            assert nodes.ended(victim) in (EXIT_DATA_DIR, EXIT_DISK)
            assert path.name in nodes.last(victim)
            stream.append([Event("Meanwhile", b"200")])
            path.write_bytes(sound)
            nodes.start(victim)
        else:
            stream.append([Event("Meanwhile", b"200")])
        expected = [b"%d" % number for number in range(201)]
        assert payloads_everywhere(nodes, stream) == [expected] * 3
    # What is on its disk is sound again, to the last byte. Only a place of the index that nothing
    # has looked at since may still be wrong (every answer is held against the log): that is named.
    nodes.stop(victim)
    checked = veritydb("verify", str(nodes.data(victim)))
    damage = [line for line in checked.stdout.decode().splitlines() if line.startswith("damage:")]
    if path.name == "index.db":
        damage = [line for line in damage if f"{GROUPS}/{GROUP}/index.db" not in line]
    else:
        assert checked.returncode == 0, checked.stdout.decode()
    assert damage == []


def test_a_primary_that_stands_still_is_followed_by_another(nodes: Nodes) -> None:
    with writing(nodes, "freeze") as writer:
        first = nodes.primary(1)
        nodes.signal(first, signal.SIGSTOP)
        began = time.monotonic()
        writer.past(50)
        assert nodes.primary(1) != first
        while time.monotonic() < began + FREEZE_SECONDS:
            writer.past(10)
        nodes.signal(first, signal.SIGCONT)
        nodes.ready()
        writer.past(50)
    assert len({replica(one, 1).primary for one in nodes.status().values()}) == 1


def test_each_node_is_killed_in_turn(nodes: Nodes) -> None:
    with writing(nodes, "turns") as writer:
        for name in nodes.names:
            nodes.kill(name)
            writer.past(30)
            nodes.start(name)
            nodes.ready()


def test_all_are_killed_at_once(nodes: Nodes) -> None:
    with writing(nodes, "blackout") as writer:
        writer.past(30)
        for name in nodes.names:
            nodes.signal(name, signal.SIGKILL)
        for name in nodes.names:
            nodes.ended(name)
        for name in nodes.names:
            nodes.start(name)
        nodes.ready()
        writer.past(30)


def test_an_emptied_disk_is_refused_and_replaced_under_load(nodes: Nodes) -> None:
    with writing(nodes, "replace") as writer:
        victim = nodes.primary(1)
        nodes.kill(victim)
        nodes.empty(victim)
        nodes.start(victim)
        assert nodes.ended(victim) == EXIT_DATA_DIR
        assert "replica replace" in nodes.log(victim)
        # As the operator is told to: one command for each group, one for the directory.
        given = []
        for group in nodes.config.groups_of(victim):
            index = str(group.replicas.index(victim))
            options = ["--group", str(group.number), "--index", index, "--cluster", nodes.url]
            done = veritydb("replica", "replace", *options, "-o", "json")
            assert done.returncode == 0, done.stderr.decode()
            incarnation = json.loads(done.stdout)["incarnation"]
            given += ["--incarnation", f"{group.number}={incarnation}"]
        where = [
            "--config",
            str(nodes.file),
            "--node",
            victim,
            "--data-dir",
            str(nodes.data(victim)),
        ]
        done = veritydb("init", *where, *given)
        assert done.returncode == 0, done.stderr.decode()
        nodes.start(victim)
        nodes.ready()
        writer.past(30)
    with nodes.client(victim) as alone:
        stream = alone.stream(writer.stream.name, tenant=TENANT)
        assert len(payloads(stream, victim)) == writer.sent
