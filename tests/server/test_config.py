"""The configuration: what it accepts, and that every error names the key and the file."""

from pathlib import Path

import pytest

from veritydb.server import config, print_config
from veritydb.server.failures import ConfigError

THREE = """
[cluster]
name = "three"

[[nodes]]
name = "n1"
client = "127.0.0.1:7401"
peer = "127.0.0.1:7501"
region = "au-syd"

[[nodes]]
name = "n2"
client = "127.0.0.1:7402"
peer = "127.0.0.1:7502"
region = "au-syd"

[[nodes]]
name = "n3"
client = "[::1]:7403"
peer = "localhost:7503"
region = "au-syd"

[[groups]]
number = 0
replicas = ["n1", "n2", "n3"]

[[groups]]
number = 1
region = "au-syd"
replicas = ["n3", "n2", "n1"]
"""


def test_a_file_is_read_with_or_without_its_ending(tmp_path: Path) -> None:
    (tmp_path / "three.toml").write_text(THREE)
    loaded = config.load(tmp_path / "three.toml")
    assert loaded == config.load(tmp_path / "three")
    assert [group.name for group in loaded.groups_of("n2")] == ["0-global", "1-au-syd"]
    assert loaded.group(1).replicas == ("n3", "n2", "n1")
    assert loaded.node_dir("n1") == Path("veritydb-data/n1")
    with pytest.raises(ConfigError, match=r"no configuration file .*four"):
        config.load(tmp_path / "four")


def test_a_node_may_listen_elsewhere_than_where_it_is_reached() -> None:
    moved = THREE.replace(
        'client = "127.0.0.1:7402"', 'client = "127.0.0.1:9402"\nclient_listen = "127.0.0.1:7402"'
    )
    [_, node, _] = config.parse(moved).nodes
    assert (node.client, node.client_listen, node.peer_listen) == (
        "127.0.0.1:9402",
        "127.0.0.1:7402",
        "",
    )
    assert config.parse(moved).cluster_id == config.parse(THREE).cluster_id
    # Containers all listen on the same address, which is theirs alone.
    everywhere = THREE.replace(
        'region = "au-syd"\n\n[[', 'peer_listen = "[::1]:7"\nregion = "au-syd"\n\n[['
    )
    assert everywhere.count("peer_listen") == 3
    config.parse(everywhere)
    with pytest.raises(ConfigError, match=r"node n2: client_listen .* loopback"):
        config.parse(moved.replace('listen = "127.0.0.1', 'listen = "10.0.0.1'))


def test_the_id_follows_from_name_and_layout_but_not_from_addresses() -> None:
    base = config.parse(THREE)
    assert len(base.cluster_id) == 16
    assert config.parse(THREE.replace("7401", "7411")).cluster_id == base.cluster_id
    assert config.parse(THREE.replace('"three"', '"four"')).cluster_id != base.cluster_id
    swapped = THREE.replace('["n3", "n2", "n1"]', '["n1", "n2", "n3"]')
    assert config.parse(swapped).cluster_id != base.cluster_id
    named = THREE.replace('"three"', f'"three"\nid = "{"0f" * 16}"')
    assert config.parse(named).cluster_id == b"\x0f" * 16


def test_what_is_printed_reads_back_as_the_same() -> None:
    base = config.parse(THREE)
    text = print_config.describe(base)
    again = config.parse(text)
    assert again.cluster_id == base.cluster_id
    assert again.groups == base.groups
    assert again.nodes == base.nodes
    assert "# event_bytes_max = 1048576" in text


def test_one_process_is_a_cluster_too() -> None:
    single = config.one_node(b"\x01" * 16, "au-syd")
    assert single.cluster_id == b"\x01" * 16
    assert [group.name for group in single.groups_of("local")] == ["0-global", "1-au-syd"]
    with pytest.raises(ConfigError, match="not a region name"):
        config.one_node(b"\x01" * 16, "Sydney!")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "three"', 'name = "three"\nnmae = 1', r"unknown field `nmae`.*cluster"),
        (
            'name = "n2"',
            'name = "n2"\nzone = "b"',
            r"unknown field `zone`.*nodes\[1\]|nodes\[...\]",
        ),
        ("[cluster]", "[servr]\n[cluster]", "unknown field `servr`"),
        ("number = 1", 'number = "one"', "Expected `int`"),
        ("[cluster]", "[cluster", "not TOML"),
        ("127.0.0.1:7401", "10.0.0.1:7401", "loopback.*allow_insecure"),
        ("127.0.0.1:7401", "db.example.org:7401", "loopback.*allow_insecure"),
        ("127.0.0.1:7401", "127.0.0.1", "not host:port"),
        ("127.0.0.1:7401", "127.0.0.1:99999", "not host:port"),
        ("127.0.0.1:7402", "127.0.0.1:7401", "appears twice"),
        ('"n3", "n2", "n1"', '"n3", "n2"', "2 replicas, not 1, 3 or 5"),
        ('"n3", "n2", "n1"', '"n3", "n2", "n9"', "no node is called 'n9'"),
        ('"n3", "n2", "n1"', '"n3", "n2", "n2"', "'n2' appears twice"),
        ("number = 1", "number = 0", "0 appears twice"),
        ("number = 1", "number = 70000", "outside 0 to 65535"),
        ('number = 1\nregion = "au-syd"', "number = 1", "the others name a region|appears twice"),
        ('number = 1\nregion = "au-syd"', 'number = 1\nregion = "us"', "must not leave the region"),
        ('name = "n1"', 'name = "n 1"', "letters, digits and hyphens"),
        ('region = "au-syd"', 'region = "Au"', "not a region name"),
        ('name = "three"', 'name = "three"\nid = "XY"', "32 lower-case hex digits"),
        ("[cluster]", '[server]\nlog_level = "loud"\n[cluster]', "log_level is one of"),
        ("[cluster]", "[server]\ntick_ms = 0\n[cluster]", "tick_ms lies between"),
        ('peer = "127.0.0.1:7502"', "", "needs a peer address"),
    ],
)
def test_errors_name_the_file_and_the_key(old: str, new: str, says: str) -> None:
    assert old in THREE
    with pytest.raises(ConfigError, match=says) as caught:
        config.parse(THREE.replace(old, new, 1), "cluster.toml")
    assert str(caught.value).startswith("cluster.toml: ")


def test_no_loopback_is_needed_where_that_was_accepted() -> None:
    text = "[server]\nallow_insecure = true\n" + THREE.replace("127.0.0.1:7401", "10.0.0.1:7401")
    assert config.parse(text).nodes[0].client == "10.0.0.1:7401"
