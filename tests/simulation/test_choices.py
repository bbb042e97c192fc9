"""Chance that can be repeated."""

import pytest

from simulation.choices import PPM, Choices, Taped


def draws(choices: Choices, label: str) -> list[int]:
    return [choices.choose(label, 1000) for _ in range(20)]


def pieces(choices: Choices, count: int = 3) -> dict[str, list[int]]:
    """What some pieces draw."""
    drawn: dict[str, list[int]] = {}
    for at in range(count):
        name = f"crash#{at}"
        choices.apart(name, lambda name=name: drawn.update({name: draws(choices, "who")}))
    return drawn


def test_a_seed_draws_the_same_again() -> None:
    assert draws(Choices(7), "a") == draws(Choices(7), "a")
    assert draws(Choices(7), "a") != draws(Choices(8), "a")


def test_a_label_does_not_notice_the_draws_of_others() -> None:
    busy = Choices(7)
    draws(busy, "b")
    assert draws(busy, "a") == draws(Choices(7), "a")


def test_a_piece_draws_from_a_stream_of_its_own() -> None:
    busy = Choices(7)
    drawn = pieces(busy)
    assert drawn == pieces(Choices(7))
    assert len({tuple(values) for values in drawn.values()}) == 3
    assert draws(busy, "who") == draws(Choices(7), "who")


def test_a_piece_that_is_left_out_changes_nothing_for_the_others() -> None:
    whole = pieces(Choices(7))
    less = Taped(7, left_out=["crash#1"])
    assert pieces(less) == {name: whole[name] for name in ("crash#0", "crash#2")}
    assert not less.apart("crash#1", lambda: None)


def test_a_piece_that_raises_leaves_the_streams_as_they_were() -> None:
    def fail() -> None:
        raise ValueError("planned")

    for choices in (Choices(7), Taped(7)):
        with pytest.raises(ValueError, match="planned"):
            choices.apart("crash#0", fail)
        assert draws(choices, "a") == draws(Choices(7), "a")


def test_keeping_a_tape_changes_nothing() -> None:
    kept = Taped(7)
    assert draws(kept, "a") == draws(Choices(7), "a")
    assert pieces(kept) == pieces(Choices(7))


def test_a_tape_is_replayed_whatever_the_seed() -> None:
    first = Taped(7)
    drawn, pieced = draws(first, "a"), pieces(first)
    again = Taped(99, first.tape)
    assert draws(again, "a") == drawn
    assert pieces(again) == pieced
    assert again.tape == first.tape


def test_where_a_tape_ends_the_seed_goes_on() -> None:
    assert draws(Taped(7, {"": {"a": [5]}}), "a") == [5, *draws(Choices(7), "a")[1:]]


def test_a_replayed_value_stays_in_range() -> None:
    assert Taped(1, {"": {"a": [50]}}).choose("a", 10) == 9


def test_nought_is_dull() -> None:
    dull = Taped(1, nought=["a"])
    assert not dull.chance("a", PPM - 1)
    assert dull.exponential("a", 1000) == 0
    assert dull.pick("a", "xyz") == "x"
    assert dull.chance("a", PPM)


def test_certain_answers_draw_nothing() -> None:
    choices = Taped(7)
    assert choices.chance("a", PPM)
    assert not choices.chance("a", 0)
    assert choices.tape == {"": {}}


def test_ranges() -> None:
    choices = Choices(3)
    for _ in range(200):
        assert 5 <= choices.between("between", 5, 7) <= 7
        assert 10 <= choices.log_uniform("log", 10, 1000) <= 1000
        assert choices.exponential("exponential", 100) >= 0
        assert choices.pick("pick", "xyz") in "xyz"
    assert sorted(choices.sample("sample", [1, 2, 3], 5)) == [1, 2, 3]
    assert len(choices.bytes("bytes", 16)) == 16
