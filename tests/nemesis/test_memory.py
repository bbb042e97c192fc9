"""What counts as flat memory."""

import os

from nemesis.memory import MIB, judge, judge_all, resident


def samples(sizes: list[float]) -> list[tuple[float, int]]:
    return [(600.0 * at / len(sizes), int(size * MIB)) for at, size in enumerate(sizes)]


def test_constant_memory_is_flat() -> None:
    found = judge(samples([100.0] * 100))
    assert found is not None
    assert found.flat
    assert (found.second, found.last, found.per_minute) == (100 * MIB, 100 * MIB, 0)


def test_a_leak_is_found() -> None:
    found = judge(samples([100 + at for at in range(100)]))
    assert found is not None
    assert found.flat is False
    assert round(found.per_minute / MIB) == 10


def test_what_fills_at_first_does_not_count() -> None:
    found = judge(samples([at * 4.0 for at in range(25)] + [100.0] * 75))
    assert found is not None
    assert found.flat


def test_restarts_do_not_hide_a_leak() -> None:
    # Each life begins at what the last one came to, as when state itself grows.
    found = judge(samples([60 + at / 2 + 20 * (at % 10) / 10 for at in range(200)]))
    assert found is not None
    assert found.flat is False


def test_a_short_run_is_not_judged() -> None:
    found = judge([(float(at), (100 + at) * MIB) for at in range(120)])
    assert found is not None
    assert found.flat is None


def test_few_samples_say_nothing() -> None:
    assert judge(samples([1.0] * 3)) is None
    assert judge([(1.0, 1)] * 20) is None


def test_a_process_that_is_gone_has_no_memory() -> None:
    size = resident(os.getpid())
    assert size is not None
    assert size > MIB
    assert resident(1 << 30) is None


def test_a_node_that_only_becomes_what_the_others_are_has_not_grown() -> None:
    young = samples([80.0] * 60 + [140.0] * 40)
    alone, old = judge_all({"a": young}), samples([140.0] * 100)
    assert alone["a"] is not None and alone["a"].flat is False
    assert all(one is not None and one.flat for one in judge_all({"a": young, "b": old}).values())
    leaking = samples([100 + at for at in range(100)])
    both = judge_all({"a": leaking, "b": leaking})
    assert all(one is not None and one.flat is False for one in both.values())
    assert judge_all({"a": [(1.0, 1)]}) == {"a": None}
