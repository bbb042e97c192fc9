"""A Merkle tree over byte strings, as in RFC 6962 section 2.1: domains apart, odd nodes promoted.

Leaf and node hashes start with different bytes, so no node can be passed off as a leaf.
"""

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32
NO_HASH = bytes(HASH_BYTES)
NODE_PREFIX = b"\x01"


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes (32 bytes each), 32 zero bytes for none."""
    if not leaves:
        return NO_HASH
    level = list(leaves)
    while len(level) > 1:
        pairs = [
            sha256(NODE_PREFIX + level[at] + level[at + 1]).digest()
            for at in range(0, len(level) - 1, 2)
        ]
        if len(level) % 2:
            pairs.append(level[-1])
        level = pairs
    assert len(level[0]) == HASH_BYTES
    return level[0]
