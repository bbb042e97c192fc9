"""Small limits hold inside a run and nowhere else."""

import msgspec
import pytest

from simulation import limits
from simulation.plan import make
from veritydb.vsr import normal, sessions


def values() -> list[int]:
    return [vars(module)[name] for module, name, _ in limits.FEW]


@pytest.mark.parametrize("few", [True, False])
def test_limits_are_put_back(few: bool) -> None:
    before = values()
    plan = msgspec.structs.replace(make(1), few=few)
    with limits.scaled(plan):
        assert (values() == [limit for _, _, limit in limits.FEW]) is few
    assert values() == before


def test_the_product_has_what_is_made_small() -> None:
    for module, name, limit in limits.FEW:
        assert vars(module)[name] > limit
    assert {sessions, normal} <= {module for module, _, _ in limits.FEW}
