"""The configurations we hand out: they load, say what they claim, and explain themselves."""

from pathlib import Path

import pytest

from veritydb.server.config import Config, load, parse
from veritydb.server.failures import ConfigError

CONFIGS = Path(__file__).parents[1] / "cluster-configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.toml"))


def replicas_by_region(config: Config, number: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in config.group(number).replicas:
        region = config.node(name).region
        counts[region] = counts.get(region, 0) + 1
    return counts


def test_there_are_the_three_of_them() -> None:
    assert NAMES == ["single", "three-node", "two-regions"]


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_without_its_suffix_and_says_how_to_start_it(name: str) -> None:
    config = load(CONFIGS / name)
    text = (CONFIGS / f"{name}.toml").read_text()
    assert config.cluster.name == name
    assert f"veritydb cluster up --config cluster-configs/{name} --data-dir" in text
    comments = sum(line.lstrip().startswith("#") for line in text.splitlines())
    assert comments >= 8


@pytest.mark.parametrize("name", NAMES)
def test_each_is_on_loopback_and_a_bare_client_finds_it(name: str) -> None:
    config = load(CONFIGS / name)
    assert all(node.client.startswith("127.0.0.1:") for node in config.nodes)
    assert config.nodes[0].client == "127.0.0.1:7401"


def test_no_two_have_the_same_identity() -> None:
    assert len({load(CONFIGS / name).cluster_id for name in NAMES}) == len(NAMES)


def test_three_nodes_hold_both_groups() -> None:
    config = load(CONFIGS / "three-node")
    names = tuple(node.name for node in config.nodes)
    assert len(names) == 3
    assert [(g.number, g.region, g.replicas) for g in config.groups] == [
        (0, "", names),
        (1, "au-syd", names),
    ]


def test_two_regions_share_only_the_global_group() -> None:
    config = load(CONFIGS / "two-regions")
    assert len(config.nodes) == 6
    assert replicas_by_region(config, 0) == {"au-syd": 2, "eu-fra": 1}
    assert replicas_by_region(config, 1) == {"au-syd": 3}
    assert replicas_by_region(config, 2) == {"eu-fra": 3}


def test_a_region_cannot_be_spread_by_an_edit() -> None:
    text = (CONFIGS / "two-regions.toml").read_text()
    moved = text.replace('"syd-3"]', '"?"]').replace('"fra-3"]', '"syd-3"]').replace("?", "fra-3")
    assert moved != text
    with pytest.raises(ConfigError, match="must not leave the region"):
        parse(moved)
