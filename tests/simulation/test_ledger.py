"""Who may vouch for a replica whose disk may have forgotten."""

from simulation.ledger import Ledger
from veritydb.types.durable import ViewState
from veritydb.types.ids import Op, View

FORGETFUL, OTHER = (1, 0), (1, 1)


def state(view: int, log_view: int) -> ViewState:
    return ViewState(
        view=View(view),
        log_view=View(log_view),
        commit=Op(0),
        epoch=0,
        members=(0,) * 3,
        headers=(),
    )


def test_one_that_holds_as_much_of_the_same_view_vouches() -> None:
    ledger = Ledger()
    ledger.noted(FORGETFUL, state(2, 2))
    ledger.acknowledged(FORGETFUL, 2, 7)
    ledger.noted(OTHER, state(2, 2))
    assert not ledger.vouches(OTHER, 6, FORGETFUL)
    assert ledger.vouches(OTHER, 7, FORGETFUL)


def test_one_of_an_older_view_does_not_and_one_of_a_later_view_does() -> None:
    ledger = Ledger()
    ledger.noted(FORGETFUL, state(3, 2))
    ledger.acknowledged(FORGETFUL, 2, 7)
    ledger.noted(OTHER, state(3, 2))
    assert not ledger.vouches(OTHER, 9, FORGETFUL), "it may still hear what the other one told"
    ledger.noted(OTHER, state(3, 3))
    assert ledger.vouches(OTHER, 5, FORGETFUL), "what the view began without was not committed"


def test_what_was_promised_is_never_less_and_another_disk_owes_nothing() -> None:
    ledger = Ledger()
    ledger.acknowledged(FORGETFUL, 2, 7)
    ledger.acknowledged(FORGETFUL, 2, 5)
    ledger.acknowledged(FORGETFUL, 1, 90)
    ledger.noted(OTHER, state(2, 2))
    assert not ledger.vouches(OTHER, 6, FORGETFUL)
    ledger.begins(FORGETFUL)
    assert ledger.vouches(OTHER, 0, FORGETFUL)
