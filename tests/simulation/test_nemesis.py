"""Each class of faults really strikes, alone, and the run around it passes."""

import msgspec
import pytest

from simulation.plan import CLOCK_FAULTS, FAULTS, NEMESES, NETWORK_FAULTS, Plan, make
from simulation.run import Result, simulate
from simulation.segments import SMALL
from simulation.world import MS

EVERY = 400 * MS
RATE = 20_000


def one_fault(fault: str, core: bool = False) -> Plan:
    """A plan in which nothing goes wrong but this."""
    calm = next(plan for plan in map(make, range(100)) if plan.shape == "three" and not plan.faults)
    network = calm.network
    if fault in NETWORK_FAULTS:
        network = msgspec.structs.replace(network, **{f"{fault}_ppm": RATE}, burst_packets=10)
    if fault == "oversize":
        network = msgspec.structs.replace(network, big_lost_bytes=600)
    return msgspec.structs.replace(
        calm,
        faults=(fault,),
        nemeses={fault: EVERY} if fault in NEMESES else {},
        network=network,
        clock_rate_ppm=500_000 if fault == "rate" else 0,
        clock_offset=MS if fault == "skew" else 0,
        clock_drift_ppm=1_000 if fault == "drift" else 0,
        segment_bytes=SMALL,
        requests=70,
        events=1_200,
        core=core,
    )


def passed(result: Result) -> dict[str, int]:
    assert result.failure is None, result.failure
    assert result.empty == ""
    return result.counts


@pytest.mark.parametrize("fault", FAULTS)
def test_it_strikes(fault: str) -> None:
    assert passed(simulate(1, one_fault(fault)))["fault." + fault] > 0


def test_every_class_has_its_place() -> None:
    assert set(FAULTS) == {*NETWORK_FAULTS, *NEMESES, *CLOCK_FAULTS}
    assert len(FAULTS) == len(set(FAULTS))


@pytest.mark.parametrize("seed", range(6))
def test_a_core_does_without_the_rest(seed: int) -> None:
    plan = msgspec.structs.replace(one_fault("crash", core=True), seed=seed)
    counts = passed(simulate(seed, plan))
    assert any(name.startswith("core.") for name in counts)
    assert "core.excused" not in counts
