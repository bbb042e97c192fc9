"""Plans: drawn from a seed, printed, read back."""

from simulation import plan


def test_a_seed_has_one_plan() -> None:
    assert plan.make(12) == plan.make(12) != plan.make(13)


def test_a_printed_plan_reads_back() -> None:
    for seed in range(20):
        made = plan.make(seed)
        assert plan.parse(made.text()) == made


def test_the_mix_has_every_fault_and_every_shape_and_runs_without() -> None:
    plans = [plan.make(seed) for seed in range(400)]
    present = [sum(made.has(fault) for made in plans) for fault in plan.FAULTS]
    assert all(30 < count < 340 for count in present)
    assert {made.shape for made in plans} == set(plan.REPLICAS)
    assert sum(not made.faults for made in plans) > 10
    assert sum(len(made.faults) == 1 for made in plans) > 10
    for made in plans:
        assert set(made.nemeses) == set(made.faults) & set(plan.NEMESES)
        assert made.shape != "one" or not any(made.has(fault) for fault in plan.NEED_PEERS)
