"""The people who run the cluster: what they take for an answer, and whom they give up."""

from simulation.calls import Answered
from simulation.operator import HELD_BACK
from simulation.plan import make
from simulation.run import Simulation
from veritydb.types.entry import Kind
from veritydb.types.outcome import Code, Outcome

KEY = (1, 1)
DONE = Outcome(
    code=Code.OK,
    kind=Kind.REPLACE_REPLICA,
    policy=0,
    op=1,
    tenant=0,
    stream=0,
    base=0,
    count=1,
    entry=0,
)


def calm() -> Simulation:
    """Three replicas, none of which runs."""
    plans = map(make, range(100))
    return Simulation(next(plan for plan in plans if plan.shape == "three" and not plan.faults))


def test_a_late_answer_is_not_taken_for_that_to_the_next_command() -> None:
    run = calm()
    (group,) = run.cluster.groups
    done = Answered(1, 0, DONE)
    run.operator.replace(group, 1)
    run.operator.receive(done)
    assert run.cluster.incarnations[KEY] == 1
    run.operator.replace(group, 1)
    run.operator.receive(done)
    assert run.cluster.incarnations[KEY] == 1, "replayed by the network"
    run.operator.receive(done._replace(key=2))
    assert run.cluster.incarnations[KEY] == 2


def test_a_replica_that_may_not_start_for_long_is_replaced() -> None:
    run = calm()
    cluster, world = run.cluster, run.world
    cluster.suspects.add(KEY)
    cluster.boxes[1].start()
    world.run(HELD_BACK - 1)
    assert not cluster.boxes[1].up and KEY not in cluster.retiring
    world.run(2 * HELD_BACK)
    assert KEY in cluster.retiring
    assert world.counts["held-back.replaced"] == 1
