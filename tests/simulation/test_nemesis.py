"""Each class of faults really strikes, alone, and the run around it passes."""

import msgspec
import pytest

from simulation.plan import CLOCK_FAULTS, FAULTS, NEMESES, NETWORK_FAULTS, Plan, make
from simulation.run import Result, Simulation, simulate
from simulation.segments import SMALL
from simulation.world import MS, SECOND

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
        requests=80,
        events=1_200,
        core=core,
    )


def passed(result: Result) -> dict[str, int]:
    assert result.failure is None, result.failure
    assert result.empty == ""
    return result.counts


@pytest.mark.parametrize("fault", FAULTS)
def test_it_strikes(fault: str) -> None:
    # In so short a run there may be nothing yet to erase, or to put back.
    plans = [msgspec.structs.replace(one_fault(fault), seed=seed) for seed in range(1, 9)]
    assert any(passed(simulate(plan.seed, plan)).get("fault." + fault) for plan in plans)


def test_every_class_has_its_place() -> None:
    assert set(FAULTS) == {*NETWORK_FAULTS, *NEMESES, *CLOCK_FAULTS}
    assert len(FAULTS) == len(set(FAULTS))


def test_a_core_that_cannot_let_a_replacement_in_says_so() -> None:
    """Its predecessor and a node that nobody hears, and that may not know, could be a quorum."""
    run = Simulation(one_fault("crash"))
    cluster, core = run.cluster, run.nemesis.core
    for box in cluster.boxes:
        box.start()
    run.world.run(SECOND)
    leads = next(box.index for box in cluster.boxes if box.leads)
    new, other = (leads + 1) % 3, (leads + 2) % 3
    cluster.boxes[new].crash("replaced")
    cluster.format(cluster.groups[0], new, 1)
    cluster.boxes[new].start()
    core.outside.add(other)
    assert core.excuse() == ""
    cluster.network.block({(other, leads), (other, new)})
    assert "too few can say" in core.excuse()


@pytest.mark.parametrize("seed", range(6))
def test_a_core_does_without_the_rest(seed: int) -> None:
    plan = msgspec.structs.replace(one_fault("crash", core=True), seed=seed)
    counts = passed(simulate(seed, plan))
    assert any(name.startswith("core.") for name in counts)
    assert "core.excused" not in counts
