"""Links that misbehave as planned, and partitions of every shape."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

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
    packet = replace(PACKET, source=CLIENTS)
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


def test_a_bad_link_loses_in_bursts_and_gets_better() -> None:
    world = World(Choices(4))
    network = Network(world, NetworkPlan(burst_ppm=20_000, burst_packets=30), nodes=3)
    got: list[Packet] = []
    network.receive = got.append
    for number in range(3_000):
        network.send(replace(PACKET, data=number.to_bytes(2, "big")))
    world.run(SECOND)
    there = sorted(int.from_bytes(packet.data, "big") for packet in got)
    gaps = [after - before for before, after in pairwise(there) if after > before + 1]
    assert 1_000 < len(there) < 2_900
    assert len(gaps) < (3_000 - len(there)), "the lost ones lie together"


def test_a_clogged_link_holds_back_and_lets_go_in_order() -> None:
    world = World(Choices(4))
    network = Network(world, NetworkPlan(delay_min=1_000, delay_mean=1), nodes=3)
    got: list[Packet] = []
    network.receive = got.append
    network.clog({(0, 1), (2, 1)})
    for number in range(20):
        network.send(Packet(number % 2 * 2, 1, None, bytes((number,))))
        world.run(world.now + SECOND)
    assert got == []
    network.release()
    world.run(world.now + SECOND)
    for source in (0, 2):
        numbers = [packet.data[0] for packet in got if packet.source == source]
        assert len(numbers) == 10 and numbers == sorted(numbers)


def test_messages_of_one_kind_are_lost_from_one_node_or_all() -> None:
    beat = replace(PACKET, tag=("peer", 1, "Heartbeat"))
    other = replace(PACKET, tag=("peer", 1, "Prepare"))
    for source, lost in ((None, True), (0, True), (2, False)):

        def prepare(network: Network, source: int | None = source) -> None:
            network.lose_kinds(("Heartbeat", "Ping"), source)

        assert delivered(NetworkPlan(), beat, prepare) == ([] if lost else [beat])
        assert delivered(NetworkPlan(), other, prepare) == [other]


def test_a_slow_node_takes_longer_in_both_directions() -> None:
    world = World(Choices(4))
    network = Network(world, NetworkPlan(delay_min=10, delay_mean=1), nodes=3)
    got: list[tuple[int, Packet]] = []
    network.receive = lambda packet: got.append((world.now, packet))
    network.slow[1] = SECOND
    for source, target in ((0, 1), (1, 2), (0, 2)):
        network.send(Packet(source, target, None, b""))
    world.run(5 * SECOND)
    assert [when >= SECOND for when, packet in got] == [False, True, True]
    assert got[0][1].target == 2
