"""What two nodes say when one connects to the other: messages of schemas/replica.capnp."""

import struct
from typing import Any, NamedTuple

import capnp
from crc32c import crc32c

from veritydb.vsr.messages import BadMessage
from veritydb.wire.schemas import load

SCHEMA: Any = load("replica")
PROTOCOL_VERSION = 2
HELLO_WORDS_MAX = 1 << 16

Replica = tuple[int, int, int]
"""Group, index and incarnation."""


class Hello(NamedTuple):
    """Who connects."""

    version: int
    cluster: bytes
    node: str
    instance: bytes
    replicas: tuple[Replica, ...]


class Answer(NamedTuple):
    """Whether its messages are taken. `reason` says why they are not.

    `lost`: one of its replicas is known with another directory than the one of `instance`.
    """

    reason: str
    lost: bool = False
    instance: bytes = b""

    @property
    def accepted(self) -> bool:
        """Whether they are."""
        return not self.reason


def check_of(hello: Hello) -> int:
    """The checksum of what a hello says. Its texts and lists are short; their lengths count too."""
    words = [hello.version, len(hello.replicas)]
    for one in hello.replicas:
        words += one
    name = hello.node.encode()
    sizes = [len(hello.cluster), len(name), len(hello.instance)]
    numbers = struct.pack(f"<{len(words) + len(sizes)}I", *words, *sizes)
    return int(crc32c(b"".join((numbers, hello.cluster, name, hello.instance))))


def write_hello(hello: Hello) -> bytes:
    """Return it as a `PeerHello`."""
    to = SCHEMA.PeerHello.new_message()
    to.protocolVersion = hello.version
    to.cluster, to.node, to.instance = hello.cluster, hello.node, hello.instance
    for one, replica in zip(to.init("replicas", len(hello.replicas)), hello.replicas, strict=True):
        one.group, one.index, one.incarnation = replica
    to.check = check_of(hello)
    return bytes(to.to_bytes())


def read_hello(data: bytes) -> tuple[Hello, bool]:
    """Return what a `PeerHello` says, and whether its check holds. Raises BadMessage."""
    try:
        with SCHEMA.PeerHello.from_bytes(data, traversal_limit_in_words=HELLO_WORDS_MAX) as said:
            hello = Hello(
                version=said.protocolVersion,
                cluster=said.cluster,
                node=said.node,
                instance=said.instance,
                replicas=tuple((one.group, one.index, one.incarnation) for one in said.replicas),
            )
            return hello, said.check == check_of(hello)
    except (capnp.KjException, ValueError):
        raise BadMessage("no hello") from None


def write_answer(answer: Answer) -> bytes:
    """Return it as a `PeerAnswer`."""
    to = SCHEMA.PeerAnswer.new_message()
    to.accepted, to.reason = answer.accepted, answer.reason
    to.lost, to.instance = answer.lost, answer.instance
    return bytes(to.to_bytes())


def read_answer(data: bytes) -> Answer:
    """Return what a `PeerAnswer` says. Raises BadMessage."""
    try:
        with SCHEMA.PeerAnswer.from_bytes(data, traversal_limit_in_words=HELLO_WORDS_MAX) as said:
            answer = Answer(said.reason, said.lost, said.instance)
            if said.accepted != answer.accepted:
                raise BadMessage("an answer that contradicts itself")
            return answer
    except (capnp.KjException, ValueError):
        raise BadMessage("no answer") from None
