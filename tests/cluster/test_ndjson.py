"""Files of lines come back byte for byte, whatever dies while they are published."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nemesis.nodes import PATIENCE_SECONDS, Nodes, veritydb
from tests.cluster.helpers import TENANT, fresh_name
from veritydb.types.limits import EVENT_BYTES_MAX

pytestmark = pytest.mark.cluster

# Clinical records of a realistic shape, if somebody has put some here or says where they are.
BESIDE = Path(__file__).parents[3] / "shared" / "data" / "fhir-10-patients"
RECORDS = sorted(Path(os.environ.get("VERITYDB_FHIR", BESIDE)).glob("*.ndjson.gz"))

ODD = [
    b"",
    b" ",
    b"  leading and trailing  ",
    b"\t",
    b"{}",
    b"not JSON at all",
    b"a carriage return\r",
    b"\x00 and \x01",
    b"\xff\xfe not UTF-8",
    "Żółć, 漢字, 👩‍⚕️, \u2028 and \u00a0".encode(),
    b"",
    b"x" * 70_000,
    b"y" * EVENT_BYTES_MAX,
    b"",
]


def fhir(count: int) -> list[bytes]:
    """Lines of the shape of clinical records, the same every time."""
    dice = random.Random(11)
    return [
        json.dumps(
            {
                "resourceType": dice.choice(["Patient", "Encounter", "Observation"]),
                "id": f"{dice.getrandbits(64):016x}",
                "text": {"div": "é" * dice.randrange(300)},
                "valueQuantity": {"value": dice.random(), "unit": "mm[Hg]"},
                "number": number,
            },
            ensure_ascii=False,
        ).encode()
        for number in range(count)
    ]


class Publishing:
    """One stream and one file, published by the command."""

    def __init__(self, nodes: Nodes, file: Path, name: str) -> None:
        self.nodes = nodes
        self.stream = ["--tenant", str(TENANT), "--stream", fresh_name(name)]
        self.url = ["--cluster", nodes.url, "--timeout", "30"]
        self.publish = ["publish", *self.stream, "--ndjson", str(file), *self.url, "-o", "json"]
        place = ["--data-class", "phi", "--placement", "region:au-syd"]
        self.run("stream", "create", *self.stream, *place, *self.url)

    def run(self, *arguments: str) -> bytes:
        """Run the command; what it prints."""
        done = veritydb(*arguments)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def begin(self) -> "subprocess.Popen[bytes]":
        """Publish in small batches, in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "veritydb.cli", *self.publish, "--batch", "20"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def until(self, count: int) -> None:
        """Wait until so many lines are in the stream."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self.nodes.client() as db:
            stream = db.stream(self.stream[3], tenant=TENANT)
            while stream.info().next_offset < count:
                assert time.monotonic() < deadline, "nothing is published any more"

    def read(self) -> bytes:
        """What the stream holds, as the command prints it."""
        return self.run("read", *self.stream, "--raw", *self.url)


def write(folder: Path, lines: list[bytes], *, ended: bool) -> Path:
    """A file of lines, with or without a newline at its end."""
    file = folder / "lines.ndjson"
    file.write_bytes(b"\n".join(lines) + (b"\n" if ended else b""))
    return file


@pytest.mark.parametrize("ended", [True, False])
def test_odd_lines(nodes: Nodes, tmp_path: Path, ended: bool) -> None:
    # Without a newline at its end a last line that is empty is no line at all.
    lines = ODD if ended else [*ODD, b"the end"]
    one = Publishing(nodes, write(tmp_path, lines, ended=ended), "odd")
    assert json.loads(one.run(*one.publish))["published"] == len(lines)
    assert json.loads(one.run(*one.publish))["already_there"] == len(lines)
    assert one.read() == b"".join(line + b"\n" for line in lines)


def test_clinical_records(nodes: Nodes, tmp_path: Path) -> None:
    files = [gzip.decompress(path.read_bytes()) for path in RECORDS]
    for number, content in enumerate([b"\n".join(fhir(2_000)) + b"\n", *files]):
        file = tmp_path / f"{number}.ndjson"
        file.write_bytes(content)
        one = Publishing(nodes, file, "records")
        one.run(*one.publish)
        assert one.read() == content.removesuffix(b"\n") + b"\n"


def test_the_primary_is_killed_half_way(nodes: Nodes, tmp_path: Path) -> None:
    lines = fhir(6_000)
    one = Publishing(nodes, write(tmp_path, lines, ended=True), "failover")
    with one.begin() as running:
        one.until(1_000)
        nodes.kill(nodes.primary(1))
        said, complaint = running.communicate(timeout=PATIENCE_SECONDS)
    # It follows the new primary by itself.
    assert running.returncode == 0, complaint
    assert json.loads(said)["published"] == len(lines)
    again = json.loads(one.run(*one.publish))
    assert (again["published"], again["already_there"]) == (0, len(lines))
    assert one.read() == b"".join(line + b"\n" for line in lines)


def test_the_publisher_is_killed_half_way(nodes: Nodes, tmp_path: Path) -> None:
    lines = fhir(6_000)
    one = Publishing(nodes, write(tmp_path, lines, ended=False), "interrupted")
    with one.begin() as running:
        one.until(500)
        running.kill()
    assert running.returncode == -signal.SIGKILL
    again = json.loads(one.run(*one.publish))
    assert again["already_there"] >= 500
    assert again["published"] + again["already_there"] == len(lines)
    assert one.read() == b"".join(line + b"\n" for line in lines)


def test_both_are_killed(nodes: Nodes, tmp_path: Path) -> None:
    lines = fhir(6_000)
    one = Publishing(nodes, write(tmp_path, lines, ended=True), "both")
    with one.begin() as running:
        one.until(300)
        victim = nodes.primary(1)
        nodes.kill(victim)
        running.kill()
    nodes.start(victim)
    again = json.loads(one.run(*one.publish))
    assert again["published"] + again["already_there"] == len(lines)
    assert one.read() == b"".join(line + b"\n" for line in lines)
