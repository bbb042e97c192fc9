"""Each check of the nemesis is shown the fault it is there for, and a run that is sound."""

from nemesis.checks import Reading, judge, totals
from nemesis.ledger import Ledger, digest_of
from veritydb.client.values import Appended, Token
from veritydb.types.errors import Applied

DIGESTS = [digest_of(str(number).encode()) for number in range(6)]


def appended(base: int | None, count: int) -> Appended:
    return Appended(1, base, count, base is None, Token(((1, 7),)))


def ledger(upto: int = 4) -> Ledger:
    made = Ledger()
    for offset in range(upto):
        made.answered([DIGESTS[offset]], appended(offset, 1))
    return made


def reading(digests: list[bytes]) -> Reading:
    return Reading(range(len(digests)), digests)


def problems(made: Ledger, *readings: Reading) -> list[str]:
    named = {f"n{number}": one for number, one in enumerate(readings, start=1)}
    return list(judge(made, named).problems)


def test_a_sound_run_has_no_problems() -> None:
    verdict = judge(ledger(), {"n1": reading(DIGESTS[:4]), "n2": reading(DIGESTS[:4])})
    assert verdict.problems == ()
    assert (verdict.acknowledged, verdict.read) == (4, 4)
    assert totals([verdict, verdict])["acknowledged"] == 8


def test_an_acknowledged_event_that_is_missing_is_lost() -> None:
    verdict = judge(ledger(), {"n1": reading(DIGESTS[:4]), "n2": reading(DIGESTS[:3])})
    assert verdict.lost == 1
    assert verdict.problems[0] == "n2: 1 acknowledged and lost, the first: [3]"


def test_an_acknowledged_event_at_another_offset_is_lost() -> None:
    swapped = reading([DIGESTS[1], DIGESTS[0], *DIGESTS[2:4]])
    assert judge(ledger(), {"n1": swapped}).lost == 2


def test_an_event_that_stands_twice_is_duplicated() -> None:
    verdict = judge(ledger(), {"n1": reading([*DIGESTS[:4], DIGESTS[0]])})
    assert (verdict.lost, verdict.duplicated) == (0, 1)
    assert verdict.problems == ("n1: 1 there more than once, the first: [4]",)


def test_nodes_that_differ_are_found() -> None:
    made = ledger()
    made.failed([DIGESTS[4]], Applied.UNKNOWN)
    same, more = reading(DIGESTS[:4]), reading(DIGESTS[:5])
    assert problems(made, same, same) == []
    assert problems(made, more, more) == []
    assert problems(made, same, more) == ["n2 and n1 gave back different events"]


def test_what_was_refused_must_not_be_there() -> None:
    made = ledger()
    made.failed([DIGESTS[4]], Applied.NO)
    assert problems(made, reading(DIGESTS[:4])) == []
    assert len(problems(made, reading(DIGESTS[:5]))) == 1


def test_what_nobody_published_must_not_be_there() -> None:
    assert len(problems(ledger(), reading(DIGESTS[:5]))) == 1


def test_offsets_are_dense() -> None:
    hole = Reading([0, 1, 2, 3, 5], DIGESTS[:5])
    made = ledger()
    made.failed([DIGESTS[4]], Applied.UNKNOWN)
    assert problems(made, hole) == ["n1: 1 not dense, the first: [5]"]
    backwards = Reading([1, 0], DIGESTS[1::-1])
    assert "not dense" in problems(ledger(2), backwards)[0]


def test_what_lies_below_the_floor_is_not_lost() -> None:
    rest = Reading([2, 3], DIGESTS[2:4], floor=2)
    verdict = judge(ledger(), {"n1": rest})
    assert (verdict.problems, verdict.given_up) == ((), 2)
    assert judge(ledger(), {"n1": Reading([3], DIGESTS[3:4], floor=2)}).lost == 1
    assert problems(ledger(), Reading([2, 3], DIGESTS[2:4])) != []
    assert problems(ledger(), rest, Reading([3], DIGESTS[3:4], floor=3)) != []


def test_an_offset_given_twice_is_a_conflict() -> None:
    made = ledger()
    made.answered([DIGESTS[4]], appended(0, 1))
    assert problems(made, reading(DIGESTS[:4])) == ["offset 0 was given to two events"]


def test_an_answer_for_another_number_of_events_is_a_conflict() -> None:
    made = ledger()
    made.answered([DIGESTS[4]], appended(4, 2))
    assert "1 events were sent, 2 acknowledged" in problems(made, reading(DIGESTS[:4]))


def test_an_event_acknowledged_without_its_place_must_be_somewhere() -> None:
    made = ledger()
    made.answered([DIGESTS[4]], appended(None, 1))
    assert problems(made, reading(DIGESTS[:5])) == []
    verdict = judge(made, {"n1": reading(DIGESTS[:4])})
    assert (verdict.lost, verdict.acknowledged) == (1, 5)


def test_what_was_unknown_and_then_found_counts_as_acknowledged() -> None:
    made = ledger()
    made.failed([DIGESTS[4]], Applied.UNKNOWN)
    made.found(4, [DIGESTS[4]])
    assert judge(made, {"n1": reading(DIGESTS[:4])}).lost == 1
