"""Every other noun, typed at a real node."""

import re
from pathlib import Path

import pytest

from tests.cli.terminal import Type, start_server
from veritydb.cli.exits import Exit
from veritydb.cli.main import run
from veritydb.server.datadir import STAMP
from veritydb.server.failures import EXIT_DATA_DIR
from veritydb.storage.journal import RECORD_BYTES
from veritydb.storage.names import INDEX, JOURNAL

pytestmark = pytest.mark.cluster

PHI = ("--data-class", "phi", "--placement", "region:au-syd")
OPEN = ("--data-class", "nonphi", "--placement", "global")


def test_a_stream_from_its_birth_to_its_end(vdb: Type) -> None:
    one = ("--tenant", "7", "--stream", "life")
    made = vdb("stream", "create", *one, *PHI, "--max-events", "1000", "-o", "json").json
    assert (made["name"], made["data_class"], made["placement"]) == ("life", "phi", "region:au-syd")
    assert made["retention"] == {"max_age_ns": 0, "max_bytes": 0, "max_events": 1000}
    again = vdb("stream", "create", *one, *PHI, "--max-events", "1000", "-o", "json")
    assert again.json["id"] == made["id"]
    assert vdb("stream", "create", *one, "--data-class", "nonphi", *PHI[2:]).code == Exit.REFUSED
    for text in ("a", "b", "c"):
        assert vdb("publish", *one, "--payload", text).code == Exit.DONE
    bounded = vdb("stream", "set-retention", *one, "--max-age", "7y", "-o", "json").json
    assert bounded["retention"]["max_events"] == 1000
    assert bounded["retention"]["max_age_ns"] == 7 * 31_557_600 * 1_000_000_000
    assert vdb("stream", "set-retention", *one).code == Exit.USAGE
    assert vdb("stream", "truncate", *one, "--before", "2", "-o", "json").json["floor"] == 2
    assert vdb("stream", "truncate", *one, "--before", "9").code != Exit.DONE
    assert vdb("stream", "seal", *one, "-o", "json").json["sealed"] is True
    refused = vdb("publish", *one, "--payload", "late", "-o", "json")
    assert refused.code == Exit.REFUSED
    assert '"name":"STREAM_SEALED"' in refused.err and "late" not in refused.err
    shown = vdb("stream", "show", *one, "-o", "json").json
    assert (shown["next_offset"], shown["floor"], shown["events"]) == (3, 2, 1)
    kept = vdb("read", *one, "--raw")
    assert kept.out == b"c\n"
    assert "2 events are gone" in kept.err
    assert vdb("read", *one, "-o", "json").lines[0] == {"offset": 0, "truncated": True, "end": 2}


def test_streams_are_listed_by_tenant_and_place(vdb: Type) -> None:
    for name, where in (("inside", PHI), ("outside", OPEN)):
        assert vdb("stream", "create", "--tenant", "8", "--stream", name, *where).code == 0
    names = [
        one["name"] for one in vdb("stream", "list", "--tenant", "8", "-o", "json").json["streams"]
    ]
    assert sorted(names) == ["inside", "outside"]
    here = vdb("stream", "list", "--tenant", "8", "--placement", "global", "-o", "json").json
    assert [one["name"] for one in here["streams"]] == ["outside"]
    assert vdb("stream", "list", "--tenant", "9", "-o", "json").json == {"streams": []}
    assert "outside" in vdb("stream", "list", "--tenant", "8").out.decode()


def test_a_name_that_is_in_two_places_needs_its_place(vdb: Type) -> None:
    one = ("--tenant", "10", "--stream", "twice")
    for where in (PHI, OPEN):
        assert vdb("stream", "create", *one, *where).code == Exit.DONE
    refused = vdb("publish", *one, "--payload", "x")
    assert refused.code == Exit.REFUSED
    assert "--placement" in refused.err
    assert vdb("publish", *one, "--placement", "global", "--payload", "x").code == Exit.DONE


def test_phi_stays_in_its_region(vdb: Type) -> None:
    one = ("--tenant", "1", "--stream", "wrong", "--data-class", "phi")
    assert vdb("stream", "create", *one, "--placement", "global").code == Exit.REFUSED
    elsewhere = vdb("stream", "create", *one, "--placement", "region:eu-fra")
    assert elsewhere.code == Exit.NOT_FOUND and "no group serves region:eu-fra" in elsewhere.err
    assert vdb("stream", "show", "--tenant", "1", "--stream", "wrong").code == Exit.NOT_FOUND


def test_policy_is_shown_and_narrowed(vdb: Type) -> None:
    before = vdb("policy", "show", "-o", "json").json
    assert before["tenants"] == "all"
    change = ("policy", "set", "--no-deidentified-global", "--retention", "nonphi:max-age=30d")
    after = vdb(*change, "-o", "json").json
    assert after["version"] == before["version"] + 1
    assert after["deidentified_global"] is False
    assert after["retention"]["nonphi"]["max_age_ns"] == 30 * 86_400 * 1_000_000_000
    late = vdb("policy", "set", "--nonphi-global", "--expected-version", str(before["version"]))
    assert late.code == Exit.REFUSED
    refused = vdb(
        *("stream", "create", "--tenant", "1", "--stream", "study"),
        *("--data-class", "deidentified", "--placement", "global"),
    )
    assert refused.code == Exit.REFUSED
    back = vdb("policy", "set", "--deidentified-global", "--retention", "nonphi:none", "-o", "json")
    assert back.json["deidentified_global"] is True
    assert back.json["retention"] == {}
    assert vdb("policy", "show", "--region", "au-syd", "-o", "json").json["version"] == 1
    assert vdb("policy", "show", "--region", "nowhere").code == Exit.NOT_FOUND
    assert vdb("policy", "set", "--retention", "nonsense").code == Exit.USAGE
    assert vdb("policy", "set", "--allow-tenant", "x").code == Exit.USAGE


def test_the_audit_names_refusals_and_proves_itself(vdb: Type) -> None:
    one = ("--tenant", "11", "--stream", "watched")
    vdb("stream", "create", *one, *PHI)
    vdb("publish", *one, "--payload", "secret words")
    vdb("stream", "seal", *one)
    vdb("publish", *one, "--payload", "too late")
    listed = vdb("audit", "list", "--tenant", "11", "-o", "json")
    assert [(line["command"], line["outcome"]) for line in listed.lines] == [
        ("CreateStream", "OK"),
        ("Append", "OK"),
        ("Seal", "OK"),
        ("Append", "STREAM_SEALED"),
    ]
    assert b"words" not in listed.out and b"watched" not in listed.out
    assert len(vdb("audit", "list", "--tenant", "11", "--limit", "2", "-o", "json").lines) == 2
    assert b"STREAM_SEALED" in vdb("audit", "list", "--tenant", "11").out
    proof = vdb("audit", "verify", "--tenant", "11", "-o", "json")
    known = [one["known"] for one in proof.json["verified"]]
    assert sum(one["records"] for one in proof.json["verified"]) == 4
    vdb("stream", "create", "--tenant", "11", "--stream", "later", *PHI)
    options = [word for one in known for word in ("--known", one)]
    assert vdb("audit", "verify", "--tenant", "11", *options).code == Exit.DONE
    group, op, head = known[-1].split(":")
    forged = f"{group}:{op}:{'0' * len(head)}"
    broken = vdb("audit", "verify", "--tenant", "11", "--known", forged)
    assert broken.code == Exit.DAMAGED
    assert f"group {group}, op {op}" in broken.err
    ahead = f"{group}:{int(op) + 1_000}:{head}"
    assert vdb("audit", "verify", "--tenant", "11", "--known", ahead).code == Exit.DAMAGED


def test_status_has_the_promised_shape(vdb: Type) -> None:
    [node] = vdb("cluster", "status", "-o", "json").json["nodes"]
    assert {"name", "pid", "address", "ready", "groups"} <= set(node)
    assert node["ready"] is True
    for group in node["groups"]:
        assert {"group", "role", "view", "op", "commit"} <= set(group)
        assert group["role"] == "primary"
    table = vdb("cluster", "status").out.decode()
    assert "primary" in table and str(node["pid"]) in table


def test_reading_one_node_needs_its_name(vdb: Type) -> None:
    one = ("--tenant", "12", "--stream", "near")
    vdb("stream", "create", *one, *PHI)
    vdb("publish", *one, "--payload", "here")
    [node] = vdb("cluster", "status", "-o", "json").json["nodes"]
    assert vdb("read", *one, "--raw", "--node", node["name"]).out == b"here\n"
    assert vdb("read", *one, "--raw", "--node", "nobody", "--timeout", "1").code != Exit.DONE


def test_a_stopped_node_is_verified_to_the_last_byte(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "node"
    server = start_server(directory)
    url = ["--cluster", server.address]
    one = ["--tenant", "1", "--stream", "notes"]
    assert run(["stream", "create", *one, *PHI, *url]) == Exit.DONE
    for text in ("one", "two", "three"):
        assert run(["publish", *one, "--payload", text, *url]) == Exit.DONE
    assert run(["verify", str(directory)]) == Exit.REFUSED, "it is running"
    assert server.stop() == 0
    assert run(["verify", str(directory)]) == Exit.DONE
    capfd.readouterr()
    region = directory / "groups" / "1-au-syd"
    for file, at in (
        (next(region.glob("segments/*.log")), 700),
        (region / JOURNAL, 2 * RECORD_BYTES + 40),
        (region / "outcomes", 70),
        (region / "superblock", 30),
        (region / INDEX, 20),
    ):
        data = bytearray(file.read_bytes())
        data[at] ^= 1
        whole = file.read_bytes()
        file.write_bytes(data)
        assert run(["verify", str(directory)]) == Exit.DAMAGED, file.name
        assert file.name in capfd.readouterr().out
        file.write_bytes(whole)
    assert run(["verify", str(directory)]) == Exit.DONE
    assert run(["verify", str(tmp_path)]) == Exit.NOT_FOUND


def test_verify_misses_what_is_gone_and_what_cannot_be_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "node"
    assert run(["init", "--data-dir", str(directory), "--region", "au-syd"]) == Exit.DONE
    verify = ["verify", str(directory)]
    assert run(verify) == Exit.DONE
    (directory / "peers").write_bytes(b'{"format":1,"check":"00000000","seen":[]}')
    assert run(verify) == Exit.DAMAGED
    assert "peers byte 0" in capfd.readouterr().out
    (directory / "peers").unlink()
    stamp = (directory / STAMP).read_text()
    (directory / STAMP).write_text(stamp.replace("au-syd", "au-sye"))
    assert run(verify) == Exit.DAMAGED
    (directory / STAMP).write_text(stamp)
    (directory / "groups" / "1-au-syd").rename(tmp_path / "gone")
    assert run(verify) == Exit.DAMAGED
    assert "of group 1" in capfd.readouterr().err
    (tmp_path / "gone").rename(directory / "groups" / "1-au-syd")
    superblock = directory / "groups" / "0-global" / "superblock"
    superblock.unlink()
    superblock.mkdir()
    assert run(verify) == Exit.DAMAGED
    assert re.search("0-global: cannot .* superblock", capfd.readouterr().err)


def test_a_directory_belongs_to_one_node_for_ever(tmp_path: Path) -> None:
    directory = str(tmp_path / "node")
    assert run(["init", "--data-dir", directory, "--region", "au-syd"]) == Exit.DONE
    assert run(["init", "--data-dir", directory, "--region", "au-syd"]) == Exit.REFUSED
    other = ["server", "--data-dir", directory, "--region", "eu-fra"]
    assert run(other) == EXIT_DATA_DIR
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").touch()
    unknown = ["server", "--data-dir", str(tmp_path / "letters"), "--region", "au-syd"]
    assert run(unknown) == EXIT_DATA_DIR
    for region in (["--region", "au-syd"], []):
        assert run(["server", "--data-dir", directory, *region, "--print-config"]) == Exit.DONE
    lost = ["init", "--config", "cluster-configs/three-node", "--node", "node-1"]
    huge = ["--data-dir", str(tmp_path / "huge"), "--incarnation", f"1={1 << 32}"]
    assert run([*lost, *huge]) == Exit.USAGE
    assert not (tmp_path / "huge").exists()


def test_print_config_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "none"
    command = ["server", "--data-dir", str(directory), "--region", "au-syd", "--print-config"]
    assert run(command) == Exit.DONE
    assert "event_bytes_max" in capsys.readouterr().out
    assert not directory.exists()
