"""Links that misbehave as planned, and partitions of every shape."""

import pytest

from simulation.choices import PPM, Choices
from simulation.network import CLIENTS, SHAPES, Network, NetworkPlan, Packet, cut
from simulation.world import SECOND, World


def delivered(plan: NetworkPlan, packet: Packet, prepare: object = None) -> list[Packet]:
    world = World(Choices(5))
    network = Network(world, plan, nodes=3)
    got: list[Packet] = []
    network.receive = got.append
    if callable(prepare):
        prepare(network)
    network.send(packet)
    world.run(100 * SECOND)
    return got


PACKET = Packet(0, 1, None, b"some bytes")


def test_a_calm_link_delivers_once() -> None:
    assert delivered(NetworkPlan(), PACKET) == [PACKET]


def test_loss_duplication_and_replay() -> None:
    assert delivered(NetworkPlan(loss_ppm=PPM), PACKET) == []
    assert delivered(NetworkPlan(twice_ppm=PPM), PACKET) == [PACKET] * 2
    assert delivered(NetworkPlan(replay_ppm=PPM), PACKET) == [PACKET] * 2


def test_damage_changes_bits_and_nothing_else() -> None:
    (packet,) = delivered(NetworkPlan(damage_ppm=PPM), PACKET)
    assert packet.data != PACKET.data and len(packet.data) == len(PACKET.data)


def test_what_clients_send_is_not_damaged() -> None:
    packet = PACKET._replace(source=CLIENTS)
    assert delivered(NetworkPlan(damage_ppm=PPM, astray_ppm=PPM), packet) == [packet]


def test_large_packets_vanish_from_one_node_only() -> None:
    plan = NetworkPlan(big_lost_bytes=5)
    assert delivered(plan, PACKET, lambda network: network.lose_big_from(0)) == []
    assert delivered(plan, PACKET, lambda network: network.lose_big_from(2)) == [PACKET]


def test_a_cut_link_is_cut_in_one_direction_until_it_heals() -> None:
    assert delivered(NetworkPlan(), PACKET, lambda network: network.block({(0, 1)})) == []
    assert delivered(NetworkPlan(), PACKET, lambda network: network.block({(1, 0)})) == [PACKET]

    def heal(network: Network) -> None:
        network.block({(0, 1)})
        network.heal()

    assert delivered(NetworkPlan(), PACKET, heal) == [PACKET]


@pytest.mark.parametrize("nodes", [1, 3, 6])
def test_every_shape_of_partition_is_drawn(nodes: int) -> None:
    world = World(Choices(2))
    shapes = [cut(world, nodes, clients=2, victim=0) for _ in range(200)]
    assert {shape for shape, _ in shapes} >= set(SHAPES) - {"one-way"}
    ends = {*range(nodes), CLIENTS, CLIENTS + 1}
    for _, links in shapes:
        assert all({a, b} <= ends and a != b for a, b in links)
