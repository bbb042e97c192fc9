"""Links that carry what they are given, and each way in which they do not."""

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from nemesis.proxy import CLIENTS, FAIR, HOST, Ends, Network, Weather, bend

PATIENCE = 30.0
PAYLOAD = b"what is carried " * 64


class Echo:
    """Sends back what it gets, to any number of connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server((HOST, 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                pass
        self.ended.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.listener.close()


@pytest.fixture
def network(echo: Echo) -> Iterator[Network]:
    with Network(("a", "b", "c"), 1) as made:
        for name in made.names:
            made.lead(name, echo.address, echo.address)
        yield made


def dial(network: Network, near: str, far: str) -> socket.socket:
    host, _, port = network.address(near, far).rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def all_of(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the connection ends before."""
    found = b""
    while len(found) < size:
        try:
            data = sock.recv(size - len(found))
        except ConnectionResetError:
            return found
        if not data:
            return found
        found += data
    return found


def carried(network: Network, ends: Ends) -> int:
    return next(size for one, size, _ in network.counts() if one == ends)


def round_trip(network: Network, near: str, far: str) -> None:
    with dial(network, near, far) as sock:
        sock.sendall(PAYLOAD)
        assert all_of(sock, len(PAYLOAD)) == PAYLOAD


def test_every_two_nodes_and_the_clients_with_each_have_a_link(network: Network) -> None:
    links = [ends for ends, _, _ in network.counts()]
    assert len(links) == len(set(links)) == 9
    for ends in links:
        round_trip(network, *ends)
    assert set(network.links("a")) == {
        Ends(CLIENTS, "a"),
        Ends("a", "b"),
        Ends("a", "c"),
        Ends("b", "a"),
        Ends("c", "a"),
    }


def test_what_is_held_waits_until_it_is_healed(network: Network) -> None:
    network.partition([Ends("a", "b")])
    with dial(network, "a", "b") as held:
        held.sendall(PAYLOAD)
        # A way that is open takes longer than the one that is held would have taken.
        round_trip(network, "a", "c")
        assert carried(network, Ends("a", "b")) == 0
        network.heal()
        assert all_of(held, len(PAYLOAD)) == PAYLOAD


def test_one_way_is_held_whoever_connected(network: Network) -> None:
    network.partition([Ends("b", "a")])
    with dial(network, "a", "b") as held:
        held.sendall(PAYLOAD)
        round_trip(network, "a", "c")
        # It got there, and what comes back does not.
        while carried(network, Ends("a", "b")) < len(PAYLOAD):
            round_trip(network, "a", "c")
        held.settimeout(0)
        with pytest.raises(BlockingIOError):
            held.recv(1)
        held.settimeout(PATIENCE)
        network.heal()
        assert all_of(held, len(PAYLOAD)) == PAYLOAD


def test_a_bridge_reaches_both_who_do_not_reach_each_other(network: Network) -> None:
    network.partition([Ends("a", "c"), Ends("c", "a")])
    for near, far in (("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), (CLIENTS, "a")):
        round_trip(network, near, far)
    for near, far in (("a", "c"), ("c", "a")):
        with dial(network, near, far) as held:
            held.sendall(PAYLOAD)
            round_trip(network, "a", "b")
        assert carried(network, Ends(near, far)) == 0


def test_a_reset_ends_what_there_is_and_nothing_that_comes(network: Network) -> None:
    with dial(network, "a", "b") as sock:
        sock.sendall(b"x")
        assert all_of(sock, 1) == b"x"
        network.reset([Ends("a", "b")])
        assert all_of(sock, 1) == b""
    round_trip(network, "a", "b")


def test_a_storm_resets_until_it_is_over(network: Network) -> None:
    over = network.storm([Ends("a", "b")], 0.001)
    for _ in range(3):
        with dial(network, "a", "b") as sock:
            assert all_of(sock, 1) == b""
    over()
    round_trip(network, "a", "c")
    round_trip(network, "a", "b")


def test_a_half_open_connection_says_nothing_to_who_made_it(network: Network, echo: Echo) -> None:
    with dial(network, "a", "b") as sock:
        sock.sendall(b"x")
        assert all_of(sock, 1) == b"x"
        network.swallow([Ends("a", "b")])
        assert echo.ended.wait(PATIENCE)
        sock.sendall(PAYLOAD)
        round_trip(network, "a", "b")
        sock.settimeout(0)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_a_piece_that_is_cut_ends_the_connection(network: Network) -> None:
    network.become([Ends("a", "b")], Weather(cut=1.0))
    with dial(network, "a", "b") as sock:
        sock.sendall(PAYLOAD)
        got = all_of(sock, len(PAYLOAD))
        assert len(got) < len(PAYLOAD)
        assert PAYLOAD.startswith(got)


def test_damage_is_one_bit_of_a_piece(network: Network) -> None:
    network.become([Ends("a", "b")], Weather(bent=1.0))
    with dial(network, "a", "b") as sock:
        sock.sendall(PAYLOAD)
        got = all_of(sock, len(PAYLOAD))
    assert got != PAYLOAD
    assert len(got) == len(PAYLOAD)
    assert sum(damaged for _, _, damaged in network.counts()) > 0


def test_one_bit_is_bent() -> None:
    bent = bend(PAYLOAD, random.Random(1))
    assert sum((a ^ b).bit_count() for a, b in zip(bent, PAYLOAD, strict=True)) == 1


def test_slow_and_narrow_links_carry_all_the_same(network: Network) -> None:
    for weather in (Weather(delay=0.001, jitter=0.001), Weather(rate=1e6), FAIR):
        network.become(network.links("a"), weather)
        round_trip(network, "a", "b")


def test_nobody_there_is_a_refusal(network: Network) -> None:
    with socket.create_server((HOST, 0)) as unused:
        gone = unused.getsockname()
    with Network(("x",), 1) as other:
        other.lead("x", gone, gone)
        with dial(other, CLIENTS, "x") as sock:
            assert all_of(sock, 1) == b""
