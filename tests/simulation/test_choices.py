"""Chance that can be repeated."""

from simulation.choices import PPM, Choices


def draws(choices: Choices, label: str) -> list[int]:
    return [choices.choose(label, 1000) for _ in range(20)]


def test_a_seed_draws_the_same_again() -> None:
    assert draws(Choices(7), "a") == draws(Choices(7), "a")
    assert draws(Choices(7), "a") != draws(Choices(8), "a")


def test_a_label_does_not_notice_the_draws_of_others() -> None:
    busy = Choices(7)
    draws(busy, "b")
    assert draws(busy, "a") == draws(Choices(7), "a")


def test_a_recorded_tape_is_replayed_whatever_the_seed() -> None:
    recorded = Choices(7, record=True)
    drawn = draws(recorded, "a")
    assert recorded.tape == {"a": drawn}
    assert draws(Choices(99, replay=recorded.tape), "a") == drawn


def test_a_replayed_value_stays_in_range() -> None:
    assert Choices(1, replay={"a": [50]}).choose("a", 10) == 9


def test_certain_answers_draw_nothing() -> None:
    choices = Choices(7, record=True)
    assert choices.chance("a", PPM)
    assert not choices.chance("a", 0)
    assert choices.tape == {}


def test_ranges() -> None:
    choices = Choices(3)
    for _ in range(200):
        assert 5 <= choices.between("between", 5, 7) <= 7
        assert 10 <= choices.log_uniform("log", 10, 1000) <= 1000
        assert choices.exponential("exponential", 100) >= 0
        assert choices.pick("pick", "xyz") in "xyz"
    assert sorted(choices.sample("sample", [1, 2, 3], 5)) == [1, 2, 3]
    assert len(choices.bytes("bytes", 16)) == 16
