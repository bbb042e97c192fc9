"""How many are enough."""

from collections.abc import Sequence


def quorum(replicas: int) -> int:
    """How many replicas a commit needs, and a view change: any two such groups share a member."""
    assert replicas in (1, 3, 5)
    enough = replicas // 2 + 1
    assert 2 * enough > replicas
    return enough


def nack_quorum(replicas: int) -> int:
    """How many must say "never acknowledged" to prove that no quorum ever did."""
    assert replicas in (1, 3, 5)
    enough = replicas - quorum(replicas) + 1
    assert enough + quorum(replicas) > replicas
    return enough


def reached(values: Sequence[int]) -> int:
    """Return the highest number that a quorum of the values has reached; one value per replica."""
    assert len(values) in (1, 3, 5)
    return sorted(values)[-quorum(len(values))]
