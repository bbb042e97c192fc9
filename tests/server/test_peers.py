"""What a peer says of itself counts only if it arrived as it was said."""

from veritydb.server.peers import SCHEMA, check_of


def hello() -> bytes:
    req = SCHEMA.PeerHello.new_message()
    req.protocolVersion = 1
    req.cluster = b"c" * 16
    req.node = "node-1"
    req.instance = b"i" * 16
    for number, to in enumerate(req.init("replicas", 2)):
        to.group, to.index, to.incarnation = number, 2, 5
    req.check = check_of(req)
    return bytes(req.to_bytes())


def sense(data: bytes) -> tuple[object, ...]:
    with SCHEMA.PeerHello.from_bytes(data) as req:
        replicas = [(one.group, one.index, one.incarnation) for one in req.replicas]
        said = (req.protocolVersion, req.cluster, req.node, req.instance, replicas)
        return (*said, req.check == check_of(req))


def test_no_flipped_bit_of_a_hello_passes_its_check() -> None:
    sound = hello()
    *said, holds = sense(sound)
    assert holds
    noticed = 0
    for at in range(len(sound)):
        for bit in range(8):
            bent = sound[:at] + bytes([sound[at] ^ (1 << bit)]) + sound[at + 1 :]
            try:
                *other, holds = sense(bent)
            except Exception:
                # Not a message any more.
                continue
            assert not holds or other == said
            noticed += not holds
    assert noticed > 8 * 40
