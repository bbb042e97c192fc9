"""How peers are found, configured and driven."""

from pathlib import Path

import pytest

from benchmarks.appends import Workload
from benchmarks.cluster import NODES
from benchmarks.peers import etcd, jetstream, pgbench, postgresql, servers, tools
from benchmarks.peers.__main__ import explain, is_asked_for, main
from benchmarks.peers.jetstream import JetStream
from benchmarks.peers.tools import Tools
from benchmarks.peers.works import Kind, Work


def found(version: tools.Version) -> Tools:
    somewhere = Path("there")
    return Tools(
        own=None,
        etcd=somewhere,
        nats=somewhere,
        nats_version=version,
        postgresql=somewhere,
        go=somewhere,
        clients=True,
    )


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_programs_of_the_named_directory_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = program(tmp_path / "own" / "python" / "bin" / "nats-server")
    usual = program(tmp_path / "usual" / "nats-server")
    (tmp_path / "usual" / "etcd").write_text("not a program")
    monkeypatch.setenv("PATH", str(usual.parent))
    places = tools.places(tmp_path / "own")
    assert tools.found_in(places, "nats-server")[:2] == [own, usual]
    assert tmp_path / "usual" / "etcd" not in tools.found_in(places, "etcd")


def test_versions_are_numbers() -> None:
    assert tools.read_version("nats-server: v2.15.1") == (2, 15, 1)
    assert tools.read_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)") == (15, 18)
    assert tools.read_version("none") == ()
    assert tools.natural(Path("postgresql/9/bin")) < tools.natural(Path("postgresql/15/bin"))


def test_python_clients_of_the_named_directory_can_be_imported(tmp_path: Path) -> None:
    for name in tools.MODULES:
        (tmp_path / "python" / name.replace(".", "/")).mkdir(parents=True)
    assert tools.has_clients(tmp_path)
    assert tools.is_here("msgspec")
    assert not tools.is_here("no_such_package.at_all")


def test_what_is_missing_is_said_with_the_package_that_has_it() -> None:
    nobody = Tools(
        own=None, etcd=None, nats=None, nats_version=(), postgresql=None, go=None, clients=False
    )
    missing = {"etcd": etcd.Etcd(nobody, None).missing()}
    text = explain(missing)
    assert missing == {"etcd": ["etcd", "go", "Python clients"]}
    assert "etcd needs etcd, go, Python clients" in text
    for package in ("etcd-server", "golang-go", "psycopg"):
        assert package in text


def test_an_old_server_can_only_be_measured_as_unsafe() -> None:
    assert JetStream(found((2, 9, 10)), None, durable=True).missing() == ["nats-server"]
    assert JetStream(found((2, 9, 10)), None, durable=False).missing() == []
    assert JetStream(found((2, 15, 1)), None, durable=True).missing() == []


def test_a_peer_stands_for_its_unsafe_variant() -> None:
    assert is_asked_for("veritydb", ["etcd"])
    assert is_asked_for("jetstream-unsafe", ["jetstream"])
    assert not is_asked_for("jetstream", ["jetstream-unsafe"])
    assert not is_asked_for("postgresql", ["etcd"])


def test_an_unknown_peer_or_workload_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--peers", "oracle"]) == 2
    assert "oracle" in capsys.readouterr().err
    assert main(["--workloads", "nothing-*"]) == 2
    assert main(["--list", "--workloads", "batch-*x8"]) == 0
    assert "batches of 1,000, 8 clients, 256 B" in capsys.readouterr().out


def test_members_of_etcd_know_each_other() -> None:
    clients, peers = servers.hosts([1, 2, 3]), servers.hosts([4, 5, 6])
    line = etcd.arguments(1, Path("data"), clients, peers)
    assert line[line.index("--name") + 1] == "node-2"
    assert line[line.index("--listen-client-urls") + 1] == "http://127.0.0.1:2"
    assert line[line.index("--initial-cluster") + 1].count("http://127.0.0.1:") == NODES


def test_only_the_durable_jetstream_syncs_always() -> None:
    addresses = servers.hosts(list(range(1, 3 * NODES + 1)))
    durable = jetstream.config(2, Path("data"), addresses, durable=True)
    assert "sync_interval: always" in durable
    assert 'server_name: "node-3"' in durable
    assert 'listen: "127.0.0.1:6"' in durable
    assert "sync_interval" not in jetstream.config(2, Path("data"), addresses, durable=False)


def test_postgresql_waits_for_a_disk_on_two_of_three() -> None:
    lines = postgresql.lines(postgresql.settings(5, "primary"))
    assert "synchronous_commit = 'on'\n" in lines
    assert "fsync = 'on'\n" in lines
    assert postgresql.SYNCHRONOUS == "ANY 1 (standby_1, standby_2)"


def test_pgbench_appends_whole_batches() -> None:
    single = pgbench.appends_of(Workload(lanes=64, payload_bytes=16))
    assert single.connections == 64
    assert "prepared" in single.options
    [text] = single.scripts
    assert ":payload" in text
    batches = pgbench.appends_of(Workload(clients=8, batch=3, payload_bytes=16))
    assert (batches.connections, batches.events) == (8, 3)
    assert "simple" in batches.options
    [text] = batches.scripts
    assert text.count('"\\\\x') == 3
    assert "\\set number :number + 3" in text


def test_pgbench_reads_nine_times_out_of_ten() -> None:
    mix = pgbench.mix_of(Work(key="mix", name="mix", kind=Kind.MIX, events=1000), "stream")
    weights = {"SELECT" in text: weight for text, weight in mix.scripts.items()}
    assert weights == {True: 9, False: 1}
    assert any("random(0, 990)" in text for text in mix.scripts)
    assert 0 <= pgbench.number_of("stream") < 1 << 63


def test_transactions_count_by_when_they_ended() -> None:
    lines = ["0 1 900 0 99 999999", "0 2 1000 0 100 0", "0 3 1100 0 101 999999", "0 4 7 0 102 0"]
    assert pgbench.durations([*lines, "0 5 failed 0 101 0"], 100.0, 102.0) == [1000, 1100]


def test_the_leader_comes_first() -> None:
    assert servers.leader_first(["a", "b", "c"], 1) == "b,c,a"
