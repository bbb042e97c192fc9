"""Publishing and reading: byte for byte, once, and again where it stopped."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import Server, Type
from veritydb.cli.exits import Exit
from veritydb.client.sync import connect
from veritydb.types.limits import EVENT_BYTES_MAX

pytestmark = pytest.mark.cluster

AWKWARD = b'{"a": 1}\n\n  \r\n\xff\xfe not text\n\x00\x1b[2J\n{"b": "\xc3\xa9"}\n'


def make(vdb: Type, name: str) -> tuple[str, ...]:
    """Create a stream; return the options that name it."""
    options = ("--tenant", "1", "--stream", name)
    made = vdb("stream", "create", *options, "--data-class", "phi", "--placement", "region:au-syd")
    assert made.code == Exit.DONE, made.err
    return options


def test_what_is_read_is_what_was_published(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "awkward")
    file = tmp_path / "awkward.ndjson"
    file.write_bytes(AWKWARD)
    done = vdb("publish", *options, "--ndjson", file, "-o", "json", "--batch", "2")
    assert done.json == {
        "published": 6,
        "already_there": 0,
        "first_offset": 0,
        "next_offset": 6,
    }
    assert vdb("read", *options, "--raw").out == AWKWARD
    assert vdb("read", *options, "--raw", "--from", "4").out == b"".join(
        line + b"\n" for line in AWKWARD.split(b"\n")[4:-1]
    )
    assert vdb("read", *options, "--raw", "--limit", "1").out == b'{"a": 1}\n'
    backwards = vdb("read", *options, "--raw", "--backwards").out
    assert backwards.split(b"\n")[:-1] == AWKWARD.split(b"\n")[-2::-1]


def test_the_last_line_may_end_without_a_newline(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "unended")
    file = tmp_path / "unended.ndjson"
    file.write_bytes(b"one\ntwo")
    assert vdb("publish", *options, "--ndjson", file).code == Exit.DONE
    assert vdb("read", *options, "--raw").out == b"one\ntwo\n"


def test_again_adds_nothing_and_a_longer_file_adds_the_rest(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "again")
    file = tmp_path / "again.ndjson"
    text = b"".join(b"%d\n" % number for number in range(25))
    file.write_bytes(text)
    publish = ("publish", *options, "--ndjson", file, "-o", "json")
    assert vdb(*publish, "--batch", "10").json["published"] == 25
    # Smaller and larger batches than those of the first run.
    for batch in (7, 1_000):
        again = vdb(*publish, "--batch", batch).json
        assert (again["published"], again["already_there"]) == (0, 25)
    file.write_bytes(text + b"more\nand more\n")
    grown = vdb(*publish, "--batch", "10").json
    assert (grown["published"], grown["already_there"], grown["first_offset"]) == (2, 25, 25)
    assert vdb("read", *options, "--raw").out == text + b"more\nand more\n"


@pytest.mark.parametrize("content", [b"other\n1\n2\n", b"0\n1\nother\n", b"0\n1\n"])
def test_another_file_at_the_same_place_is_not_taken_for_it(
    vdb: Type, tmp_path: Path, content: bytes
) -> None:
    options = make(vdb, f"other-{len(content)}-{content[:1].hex()}")
    file = tmp_path / "export.ndjson"
    file.write_bytes(b"0\n1\n2\n")
    assert vdb("publish", *options, "--ndjson", file).code == Exit.DONE
    file.write_bytes(content)
    refused = vdb("publish", *options, "--ndjson", file)
    assert refused.code == Exit.REFUSED
    assert "--origin" in refused.err
    assert vdb("publish", *options, "--ndjson", file, "--origin", "tuesday").code == Exit.DONE
    assert vdb("read", *options, "--raw").out == b"0\n1\n2\n" + content


def test_an_empty_file_is_nothing_to_do(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "empty")
    (tmp_path / "empty.ndjson").touch()
    done = vdb("publish", *options, "--ndjson", tmp_path / "empty.ndjson", "-o", "json")
    assert done.json["published"] == 0
    assert vdb("read", *options, "--raw").out == b""


def test_types_come_from_the_option_or_the_line(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "types")
    file = tmp_path / "types.ndjson"
    file.write_bytes(b'{"resourceType": "Patient"}\n{"resourceType": "Encounter"}\n')
    assert vdb("publish", *options, "--ndjson", file, "--type-field", "resourceType").code == 0
    assert vdb("publish", *options, "--payload", "hello", "--type", "Greeting").code == 0
    assert vdb("publish", *options, "--payload", "hello").code == 0
    found = vdb("read", *options, "-o", "json").lines
    assert [item["type"] for item in found] == ["Patient", "Encounter", "Greeting", "Event"]
    assert [item["offset"] for item in found] == [0, 1, 2, 3]
    assert found[3]["payload"] == "hello"
    later = vdb("read", *options, "-o", "json", "--from-time", str(found[2]["timestamp"])).lines
    assert [item["offset"] for item in later] == [2, 3]


def test_a_line_that_cannot_be_an_event_is_named(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "bad-lines")
    file = tmp_path / "bad.ndjson"
    file.write_bytes(b'{"kind": "A"}\n{"kind": "B"}\nnothing\n')
    publish = ("publish", *options, "--ndjson", file, "--batch", "1")
    refused = vdb(*publish, "--type-field", "kind")
    assert refused.code == Exit.USAGE
    assert "line 3" in refused.err and "2 lines are in the stream" in refused.err
    assert "nothing" not in refused.err
    file.write_bytes(b'{"kind": "A"}\n{"kind": "B"}\n' + b"x" * (EVENT_BYTES_MAX + 1))
    assert "line 3 is longer" in vdb(*publish, "--type-field", "kind").err
    assert vdb("read", *options, "--raw").out == b'{"kind": "A"}\n{"kind": "B"}\n'


def test_the_largest_event_passes(vdb: Type, tmp_path: Path) -> None:
    options = make(vdb, "large")
    file = tmp_path / "large.ndjson"
    text = b"x" * EVENT_BYTES_MAX + b"\n" + b"y\n"
    file.write_bytes(text)
    assert vdb("publish", *options, "--ndjson", file).code == Exit.DONE
    assert vdb("read", *options, "--raw").out == text


def test_stdin_is_published_and_resumed_under_a_name(
    vdb: Type, server: Server, tmp_path: Path
) -> None:
    options = make(vdb, "stdin")
    command = [sys.executable, "-m", "veritydb.cli", "publish", *options, "--ndjson", "-"]
    url = ["--cluster", server.address]
    for text in (b"one\n", b"one\ntwo\n"):
        subprocess.run(
            [*command, *url, "--origin", "feed"], input=text, check=True, capture_output=True
        )
    subprocess.run([*command, *url], input=b"one\n", check=True, capture_output=True)
    assert vdb("read", *options, "--raw").out == b"one\ntwo\none\n"


def test_a_publisher_that_was_killed_goes_on_where_it_stopped(
    vdb: Type, server: Server, tmp_path: Path
) -> None:
    options = make(vdb, "killed")
    file = tmp_path / "killed.ndjson"
    text = b"".join(b'{"number": %d}\n' % number for number in range(20_000))
    file.write_bytes(text)
    publish = ("publish", *options, "--ndjson", str(file), "--batch", "20")
    publisher = subprocess.Popen(
        [sys.executable, "-m", "veritydb.cli", *publish, "--cluster", server.address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with connect(server.url) as db:
        stream = db.stream("killed", tenant=1)
        while stream.info().next_offset < 200:
            assert publisher.poll() is None
        publisher.kill()
        assert publisher.wait() == -signal.SIGKILL
    again = vdb("publish", *options, "--ndjson", file, "-o", "json")
    assert again.code == Exit.DONE, again.err
    published, already = again.json["published"], again.json["already_there"]
    assert published + already == 20_000
    assert published > 0 and already >= 200
    assert vdb("read", *options, "--raw").out == text


def test_a_reader_that_leaves_early_is_no_error(vdb: Type, server: Server, tmp_path: Path) -> None:
    options = make(vdb, "left")
    file = tmp_path / "left.ndjson"
    text = b"".join(b"%d %s\n" % (number, b"x" * 500) for number in range(2_000))
    file.write_bytes(text)
    assert vdb("publish", *options, "--ndjson", file).code == Exit.DONE
    command = [sys.executable, "-m", "veritydb.cli", "read", *options, "--cluster", server.address]
    for output in (["--raw"], ["-o", "json"], []):
        reader = subprocess.Popen(
            [*command, *output],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert reader.stdout is not None and reader.stderr is not None
        reader.stdout.read(100)
        reader.stdout.close()
        assert reader.stderr.read() == b""
        reader.stderr.close()
        assert reader.wait() == 128 + signal.SIGPIPE
